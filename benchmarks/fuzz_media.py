"""Damage small files of every container in every way and read them, in a process of its own that is watched.

    python benchmarks/fuzz_media.py [--number 2000] [--kinds mp4 webm …] [--seed 0]

Of each file: an answer or one line that refuses it, within 5 s and 1 GB, and no other file opened. What fails is kept
in out/fuzz and named; exit code 1. `tests/media/test_fuzz.py` does the same with hypothesis.
"""

import argparse
import ctypes
import json
import os
import random
import resource
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

LONGEST_SECONDS, MOST_MEMORY = 5.0, 10**9  # of processor time, so that a busy machine fails nothing
PATIENCE = 60.0  # seconds after which a process hangs
CANARY = "canary.mp4"  # lies beside the file that is read, and is named in some of them
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


# ----------------------------------------------------------------------------------------------------------
# small files of every container


def make_seeds(folder: Path) -> dict[str, bytes]:
    """A small file of each container, by its ending."""
    import av
    import numpy as np
    import pillow_heif
    from PIL import Image

    rng = np.random.default_rng(0)
    frames = np.repeat(np.repeat(rng.integers(0, 255, (6, 6, 8, 3), np.uint8), 8, axis=1), 8, axis=2)

    def video(name: str, codec: str, kind: str, sound: str | None, **options: str) -> bytes:
        path = folder / name
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=Fraction(8))
            stream.width, stream.height, stream.pix_fmt = 64, 48, kind
            heard = container.add_stream(sound, rate=48000, layout="mono") if sound else None
            for array in frames:
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                container.mux(stream.encode(frame.reformat(format=kind)))
            container.mux(stream.encode())
            if heard is not None:
                for index in range(20):
                    wave = (rng.normal(size=(1, 960)) * 0.1).astype(np.float32)
                    part = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                    part.sample_rate, part.pts = 48000, 960 * index
                    container.mux(heard.encode(part))
                container.mux(heard.encode())
        return path.read_bytes()

    pictures = [Image.fromarray(frame) for frame in frames]
    for ending, options in (("gif", {}), ("webp", {"quality": 60}), ("png", {}), ("avif", {})):
        pictures[0].save(folder / f"a.{ending}", save_all=True, append_images=pictures[1:], duration=80, **options)
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures[0].save(folder / "a.jpg", exif=exif)
    pillow_heif.register_heif_opener()
    pictures[0].save(folder / "a.heic")
    seeds = {
        "mp4": video("a.mp4", "libx264", "yuv420p", "aac"),
        "fragmented.mp4": video("f.mp4", "libx264", "yuv420p", None, movflags="frag_keyframe+empty_moov"),
        "mov": video("a.mov", "qtrle", "argb", None),
        "mkv": video("a.mkv", "libx264", "yuv420p10le", None),
        "webm": video("a.webm", "libvpx-vp9", "yuv420p", "libopus"),
    }
    seeds |= {ending: (folder / f"a.{ending}").read_bytes() for ending in ("gif", "webp", "png", "avif", "jpg", "heic")}
    return seeds | {"elsewhere.mov": with_reference_elsewhere(seeds["mov"])}


def with_reference_elsewhere(content: bytes) -> bytes:
    """A mov whose data reference names the file beside it instead of itself."""
    at = content.index(b"dref") + 12  # its only entry: size, "url ", version and flags (1: in this file)
    changed = bytearray(content)
    changed[at + 4 : at + 8], changed[at + 8 : at + 12] = b"url ", bytes(4)
    return bytes(changed)


# ----------------------------------------------------------------------------------------------------------
# damage

Damage = tuple[str, float, int, int]  # what, where (0 to 1), how much, and a number that it is made with
KINDS = ("cut", "hole", "noise", "flip", "delete", "repeat", "field", "insert", "name")


def damaged(content: bytes, damages: Sequence[Damage]) -> bytes:
    """The content with all of the damages done to it, one after the other."""
    changed = bytearray(content)
    for kind, where, much, number in damages:
        at = int(where * max(0, len(changed) - 1))
        draw = random.Random(number)
        if kind == "cut":
            del changed[at:]
        elif kind == "hole":
            changed[at : at + much] = bytes(len(changed[at : at + much]))
        elif kind == "noise":
            changed[at : at + much] = draw.randbytes(len(changed[at : at + much]))
        elif kind == "flip" and changed:
            changed[at] ^= 1 << (number % 8)
        elif kind == "delete":
            del changed[at : at + much]
        elif kind == "repeat":
            changed[at:at] = changed[at : at + much] * (1 + number % 3)
        elif kind == "field":
            changed[at : at + 4] = struct.pack(">I", EXTREMES[number % len(EXTREMES)])[: len(changed[at : at + 4])]
        elif kind == "insert":
            changed[at:at] = draw.randbytes(much % 64)
        elif kind == "name":
            changed[at : at + len(CANARY)] = CANARY.encode()[: len(changed[at : at + len(CANARY)])]
    return bytes(changed)


def drawn(draw: random.Random) -> list[Damage]:
    """One to four damages."""
    return [
        (draw.choice(KINDS), draw.random() ** draw.choice((1, 3)), 2 ** draw.randrange(12), draw.randrange(2**16))
        for _ in range(draw.randrange(1, 5))
    ]


# ----------------------------------------------------------------------------------------------------------
# the process that reads


@dataclass(frozen=True)
class Answer:
    """said: the line that refuses the file, None where it was read. wrong: what must not be, None where all is well."""

    said: str | None
    wrong: str | None
    seconds: float = 0.0


class Reader:
    """A child process that reads files in a folder; one that hangs or dies is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / CANARY).write_bytes(b"not to be opened")
        self.child: Any = None

    def read(self, name: str, content: bytes) -> Answer:
        """Write the content to a file of that name and read it."""
        (self.folder / name).write_bytes(content)
        if self.child is None or self.child.poll() is not None:
            command = [sys.executable, __file__, "--child", str(self.folder)]
            self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert self.child.stdout.readline() == "ready\n"
        self.child.stdin.write(name + "\n")
        self.child.stdin.flush()
        if not select.select([self.child.stdout], [], [], PATIENCE)[0]:
            self.close()
            return Answer(None, f"no answer in {PATIENCE:.0f} s")
        line = self.child.stdout.readline()
        if not line:
            return Answer(None, f"the process ended with {self.child.wait()}")
        answer = json.loads(line)
        wrong, taken = answer["wrong"], answer["seconds"]
        if taken > LONGEST_SECONDS:
            wrong = wrong or f"it took {taken:.1f} s"
        if answer["peak"] > MOST_MEMORY:
            wrong = wrong or f"{answer['peak'] / 1e6:.0f} MB"
            self.close()  # the peak of a process never goes down
        return Answer(answer["said"], wrong, taken)

    def close(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child.stdin.close()
            self.child.stdout.close()
            self.child = None


def read_for_ever(folder: Path) -> None:
    """The child: names of files come in, a line of JSON goes out for each."""
    from functools import partial

    from tenku.media.clip import Clip
    from tenku.media.describe import describe
    from tenku.media.resize import covering

    resource.setrlimit(resource.RLIMIT_AS, (6 * MOST_MEMORY, 6 * MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    opened = Opened(folder)
    needed = partial(covering, sizes=((128, 128), (160, 96)))
    answers, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        name = line.strip()
        said, wrong, clock = None, None, time.process_time()
        opened.names()
        for read in (describe, partial(Clip.load, size_fn=needed, fps=16)):
            try:
                read(folder / name)
            except ValueError as error:
                said = str(error)
                wrong = wrong or (f"more than a line: {said!r}" if "\n" in said or not said else None)
            except BaseException as error:
                wrong = f"{type(error).__name__}: {error}"
        others = opened.names() - {name}
        wrong = wrong or (f"opened {', '.join(sorted(others))}" if others else None)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer = {"said": said, "wrong": wrong, "peak": peak, "seconds": time.process_time() - clock}
        print(json.dumps(answer), file=answers, flush=True)


class Opened:
    """The names of files in a folder that this process, or another, has opened since it was last asked (inotify)."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.handle = libc.inotify_init1(os.O_NONBLOCK)
        opens = 0x20
        if self.handle < 0 or libc.inotify_add_watch(self.handle, os.fsencode(folder), opens) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def names(self) -> set[str]:
        return set(self._read())

    def _read(self) -> Iterator[str]:
        while True:
            try:
                events = os.read(self.handle, 1 << 16)
            except BlockingIOError:
                return
            while events:
                _, _, _, length = struct.unpack_from("iIII", events)
                name = events[16 : 16 + length].rstrip(b"\0").decode()
                events = events[16 + length :]
                if name:
                    yield name


# ----------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--number", type=int, default=2000, help="files of each container")
    parser.add_argument("--kinds", nargs="*", help="endings; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        read_for_ever(given.child)
        return 0
    failures, kept = 0, Path("out/fuzz")
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as making:
        reader = Reader(Path(place))
        for ending, content in make_seeds(Path(making)).items():
            if given.kinds and ending not in given.kinds:
                continue
            draw, read, slowest = random.Random(f"{given.seed} {ending}"), 0, 0.0
            for number in range(given.number):
                changed = damaged(content, drawn(draw))
                answer = reader.read(f"a.{ending}", changed)
                read += answer.said is None
                slowest = max(slowest, answer.seconds)
                if answer.wrong is not None:
                    failures += 1
                    kept.mkdir(parents=True, exist_ok=True)
                    (kept / f"{number}.{ending}").write_bytes(changed)
                    print(f"{kept / f'{number}.{ending}'}: {answer.wrong}", flush=True)
            print(
                f"{ending}: {given.number} files, {read} read, the others refused; slowest {slowest:.2f} s", flush=True
            )
        reader.close()
    print(f"{failures} went wrong")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
