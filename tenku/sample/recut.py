"""Cutting a storyboard anew: leave parts away, put new ones between two cards, keep what was already made.

Nothing is made here. A board goes in and another comes out, for `storyboard.produce`. Times are in seconds and are
brought to whole latent frames, `step` seconds each, so that what was made is cut where it can be put together again.
"""

from dataclasses import replace

from tenku.media.clip import Clip
from tenku.sample.storyboard import Card, Storyboard, card_at

STEP = 0.25  # seconds of a latent frame at 16 frames a second


def on_grid(moment: float, step: float) -> float:
    """The nearest beginning of a latent frame, without the last digits in which sums of seconds differ."""
    return round(int(moment / step + 0.5) * step, 6)


def over(board: Storyboard, video: Clip, step: float = STEP) -> Storyboard:
    """The board with its finished video standing on it: its cards still say what is seen, and nothing is made anew.

    Frames at the end that do not fill a latent frame are left away. ValueError when the video has no whole one, or is
    shorter than the board's cards need.
    """
    count = int(video.seconds / step + 1e-6)
    if not count:
        raise ValueError(f"a video of {video.seconds:.2f} s is too short: one latent frame has {step:g} s")
    seconds = round(count * step, 6)
    first, *others = (replace(card, given=None) for card in board.cards)
    given = video.part(0, round(seconds * video.fps))
    return replace(board, seconds=seconds, cards=(replace(first, given=given), *others))


def trim(board: Storyboard, start: float, end: float, step: float = STEP) -> Storyboard:
    """Only what lies from `start` to `end`. ValueError when that is nothing, or not on the board."""
    if not 0 <= start < end <= board.seconds:
        raise ValueError(f"a part from {start:g} to {end:g} s is not on a storyboard of {board.seconds:g} s")
    start, end = on_grid(start, step), min(on_grid(end, step), board.seconds)
    if start >= end:
        raise ValueError(f"a part must have at least one latent frame, {step:g} s")
    shown = [part(card, start, end) for card in board.cards]
    before = [given for card, given in zip(board.cards, shown, strict=True) if card.at <= start and given is not None]
    first = Card(0.0, card_at(board, start).prompt, before[-1] if before else None)
    later = [
        Card(round(card.at - start, 6), card.prompt, given)
        for card, given in zip(board.cards, shown, strict=True)
        if start < card.at < end
    ]
    return replace(board, seconds=round(end - start, 6), cards=(first, *later))


def insert(board: Storyboard, at: float, seconds: float, prompt: str, step: float = STEP) -> Storyboard:
    """`seconds` of something new at the time `at`; later parts move back. ValueError for a time not on the board."""
    if not (0 <= at <= board.seconds and seconds > 0):
        raise ValueError(f"{seconds:g} s cannot be put at {at:g} s of a storyboard of {board.seconds:g} s")
    at, seconds = min(on_grid(at, step), board.seconds), max(on_grid(seconds, step), step)
    before = trim(board, 0, at, step).cards if at else ()
    after = trim(board, at, board.seconds, step).cards if at < board.seconds else ()
    moved = [replace(card, at=round(card.at + at + seconds, 6)) for card in after]
    whole = round(board.seconds + seconds, 6)
    return replace(board, seconds=whole, cards=(*before, Card(at, prompt), *moved))


def part(card: Card, start: float, end: float) -> Clip | None:
    """What of a card's frames is seen from `start` to `end`."""
    given = card.given
    if given is None:
        return None
    first = max(0, round((start - card.at) * given.fps))
    stop = min(given.num_frames, max(0, round((end - card.at) * given.fps)))
    return given.part(first, stop) if first < stop else None
