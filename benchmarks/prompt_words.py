"""How many of the words that people type are in an expansion, are named in a note, or are lost.

    python benchmarks/prompt_words.py PROMPTS.txt [MORE.txt …] [--seed 0] [--show 20]

One prompt a line, English or Chinese, as in VBench's lists. Content words are counted here apart from the expansion's
own reading: English ones are all but a list of words of grammar, Chinese ones all characters but those of grammar.
A word is kept where it, or one that the table gives the same meaning, is in the expansion; named where a note holds it.
"""

import argparse
import re
from collections import Counter
from pathlib import Path

from tenku.model.vocabulary import is_visible_word, same_word
from tenku.prompts.content import CHINESE, MEASURES, content_words, dictionary, lookup, plain
from tenku.prompts.expand import Expansion, expand

ENGLISH_GRAMMAR = """
    a about across against all along also am an and another any are around as at be been being both by can
    could did do does down during each every features featuring for from get gets got had has have having he
    her him his i in inside into is it its just me more most my near next no not of off on one onto or other
    our out outside over s scene she shot so some such t than that the their them then there these they this
    those through to too toward towards under up upon us use uses using very view was we were which while who
    will with would you your
"""
GRAMMAR = set(ENGLISH_GRAMMAR.split())
CHINESE_GRAMMAR = set(
    "一上下与且个中为也了于从以件位使入其内出到前去又及只台名后向吗吧呢和啊在地块外它对将就幅并"
    "座张往很得或把是有条来某根正片的盏着给而被让起过还这进那里"
)


def words_of(prompt: str) -> list[str]:
    """Content words: of English each word, of Chinese each run of characters between those of grammar."""
    found = []
    for run in re.findall(r"[\u3400-\u9fff]+|[^\W\d_]+(?:['’][^\W\d_]+)?|\d+", prompt):
        if CHINESE.match(run):
            parts = (part.lstrip(MEASURES) for part in re.split(f"[{''.join(CHINESE_GRAMMAR)}]", run))
            found += [part for part in parts if part]
        elif (word := re.split("['’]", run)[0]).lower() not in GRAMMAR and is_visible_word(run[0]):
            found.append(word)
    return found


def fate(word: str, expansion: Expansion) -> str:
    """Kept, named or lost."""
    noted = " ".join(part for note in expansion.notes for part in note.words).lower()
    low, text = word.lower(), expansion.text.lower()
    if CHINESE.match(low):
        rest = [each for each in content_words(low) if each.text not in noted and each.text not in text]
        if not rest:
            return "named" if any(each.text in noted for each in content_words(low)) else "kept"
        return "kept" if all(means_something_in(each.meanings, text) for each in rest) else "lost"
    if any(same_word(low, each) for each in re.findall(r"[^\W\d_]+", noted)):
        return "named"
    if any(same_word(low, each) for each in re.findall(r"[^\W\d_]+", text)):
        return "kept"
    of_phrases = [m for key, (m, _) in dictionary().items() if low in key.split() and key in plain(expansion.prompt)]
    meanings = [*(lookup(plain(low), 1) or ((), False))[0], *(meaning for each in of_phrases for meaning in each)]
    return "kept" if means_something_in(meanings, text) else "lost"


def means_something_in(meanings, text: str) -> bool:
    """Whether a text has a word of one of the meanings, or of one that shows it too."""
    from tenku.prompts.expand import SHOWN_BY

    there = {meaning.name for word in content_words(text) for meaning in word.meanings}
    return any(meaning.name in there or there & SHOWN_BY.get(meaning.name, set()) for meaning in meanings)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=20, help="lost words that are shown with their prompts")
    given = parser.parse_args()
    for path in given.files:
        fates: Counter[str] = Counter()
        shown = whole = 0
        prompts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        for prompt in prompts:
            expansion = expand(prompt, given.seed)
            of_words = {word: fate(word, expansion) for word in words_of(prompt)}
            fates.update(of_words.values())
            whole += "lost" not in of_words.values()
            for word in (each for each, what in of_words.items() if what == "lost" and shown < given.show):
                shown += 1
                print(f"lost: {word} | {prompt} | {expansion.text}")
        total = sum(fates.values())
        shares = ", ".join(f"{what} {fates[what]} ({fates[what] / total:.1%})" for what in ("kept", "named", "lost"))
        print(f"{path.name}: {len(prompts)} prompts, {total} content words: {shares}; nothing lost in {whole} prompts")


if __name__ == "__main__":
    main()
