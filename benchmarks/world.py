"""How many clips of the miniature world this machine makes in a minute: simulation, pictures, captions and files.

python benchmarks/world.py                      # 24 clips of 48 frames at 128x128, one worker a core
python benchmarks/world.py --clips 60 --size 64x64
python benchmarks/world.py --clips 600 --device cuda  # the start of the workers counts: take many clips
"""

import argparse
import tempfile
import time
from pathlib import Path

from tenku.system.machine import usable_cores
from tenku.world.dataset import write_clips


def clips_a_minute(clips: int, size: tuple[int, int], workers: int, device: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_clips(Path(folder), clips, size=size, workers=workers, device=device)
        return 60 * clips / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--size", default="128x128")
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    clips_a_minute(1, (16, 16), 1, arguments.device)
    one = clips_a_minute(arguments.clips, (width, height), 1, arguments.device)
    print(f"1 worker: {one:.1f} clips a minute, 48 frames at {width}x{height}")
    if arguments.workers > 1:
        many = clips_a_minute(arguments.clips, (width, height), arguments.workers, arguments.device)
        print(f"{arguments.workers} workers: {many:.1f} clips a minute, {many / one:.2f} x one worker")


if __name__ == "__main__":
    main()
