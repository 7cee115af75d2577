"""Former names of options, which still work for one version and are not shown in the help."""

from collections.abc import Sequence

from tenku.cli._options import say

# Command (None: any of them) -> former option -> its name today.
FORMER: dict[str | None, dict[str, str]] = {
    None: {"--negative": "--negative-prompt"},
    "animate": {"--ends": "--as-last"},
    "train": {"--stills": "--image-frac", "--polish": "--low-lr-finetune", "--text-share": "--text-lr-mult"},
    "train-autoencoder": {"--polish": "--decoder-only-from", "--made-by": "--latents-from"},
    "export": {"--mix": "--merge-with", "--share": "--merge-ratio"},
}


def with_new_names(arguments: Sequence[str]) -> list[str]:
    """A command's arguments with former names of options replaced; what comes after `--` stays as it is."""
    command = next((each for each in arguments if not each.startswith("-")), None)
    names = FORMER[None] | FORMER.get(command, {})
    renamed: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return renamed + list(arguments[number:])
        option, equals, value = argument.partition("=")
        if option in names:
            say(f"note: {option} is called {names[option]} now; the old name goes with the next version")
            argument = f"{names[option]}{equals}{value}"
        renamed.append(argument)
    return renamed
