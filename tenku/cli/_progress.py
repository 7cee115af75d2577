"""How far the work is: bars on a terminal, a line every ten seconds elsewhere, or JSON for programs."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

EVERY = 10.0  # seconds between lines where no terminal shows bars
HOW = ("auto", "json", "none")
OF_DENOISING = 0.85  # of the time that a window takes; decoding and writing are the rest


class Stages:
    """Progress by stages: calling it with ("denoise", 3, 8) says how far the stage called denoise is.

    Where a video's length is known (`expect`), it also says how far all of it is, and how many seconds are left.
    """

    def __init__(self, how: str, progress: Progress) -> None:
        self.how = how
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}
        self.started = self.said = time.monotonic()
        self.frames = self.window = self.written = 0
        self.fraction: float | None = None

    def expect(self, frames: int, window: int) -> None:
        """Of a video of so many frames, which are made so many at a time."""
        self.frames, self.window = frames, window

    def wrote(self, frames: int) -> None:
        """So many more frames are done."""
        self.written += frames
        self._advance(0.0)

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage == "denoise" and total:
            self._advance(OF_DENOISING * done / total)
        if self.how == "json":
            self._say(json.dumps({"stage": stage, "done": done, "total": total} | self._overall()))
        elif not self.progress.disable:
            if stage not in self.tasks:
                self.tasks[stage] = self.progress.add_task(stage, total=total)
            self.progress.update(self.tasks[stage], completed=done, total=total)
        elif self.how == "auto" and time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            self._say(f"{stage} {done}" + (f" of {total}" if total else "") + self._in_words())

    def _advance(self, of_window: float) -> None:
        """Move the whole: frames that are written, and the share of the window that is at work."""
        if not self.frames:
            return
        at_work = min(self.window, self.frames - self.written)
        self.fraction = max(self.fraction or 0.0, min(1.0, (self.written + of_window * at_work) / self.frames))
        if not self.progress.disable:
            if "all" not in self.tasks:
                self.tasks["all"] = self.progress.add_task("all", total=self.frames)
            self.progress.update(self.tasks["all"], completed=round(self.fraction * self.frames))

    def _overall(self) -> dict[str, float]:
        if not self.fraction:
            return {}
        left = (time.monotonic() - self.started) * (1 - self.fraction) / self.fraction
        return {"fraction": round(self.fraction, 4), "seconds_left": round(left, 1)}

    def _in_words(self) -> str:
        found = self._overall()
        return f", {found['fraction']:.0%} of all, {found['seconds_left']:.0f} s left" if found else ""

    def _say(self, line: str) -> None:
        with suppress(BrokenPipeError):
            print(line, file=sys.stderr, flush=True)


@contextmanager
def progress_bars(how: str = "auto") -> Iterator[Stages]:
    """Progress on stderr while the block runs. how: one of `HOW`; ValueError: another."""
    if how not in HOW:
        raise ValueError(f"--progress is {', '.join(HOW[:-1])} or {HOW[-1]}, not {how!r}")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=how != "auto" or not console.is_terminal) as progress:
        yield Stages(how, progress)
