"""Files that are damaged anyhow give an answer or one line: no traceback, no hang, no 1 GB, no other file opened.

They are read in a process of its own, which `benchmarks/fuzz_media.py` watches (2,000 of each container there).
"""

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]


def load_fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_media", ROOT / "benchmarks/fuzz_media.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


fuzz = load_fuzz()
ENDINGS = (
    "mp4", "fragmented.mp4", "mov", "mkv", "webm", "gif", "webp", "png", "avif", "jpg", "heic", "elsewhere.mov"
)  # fmt: skip
DAMAGE = st.tuples(st.sampled_from(fuzz.KINDS), st.floats(0, 1), st.integers(1, 4096), st.integers(0, 2**16))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    seeds = fuzz.make_seeds(tmp_path_factory.mktemp("seeds"))
    assert tuple(seeds) == ENDINGS
    return seeds


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    reader = fuzz.Reader(tmp_path_factory.mktemp("read"))
    yield reader
    reader.close()


@settings(
    max_examples=2000, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(ending=st.sampled_from(ENDINGS), damages=st.lists(DAMAGE, min_size=1, max_size=4))
def test_damage(ending, damages, seeds, reader):
    answer = reader.read(f"a.{ending}", fuzz.damaged(seeds[ending], damages))
    assert answer.wrong is None


@pytest.mark.parametrize("ending", ENDINGS)
def test_whole_ones_are_read(ending, seeds, reader):
    """The last of them names another file as the place of its frames; that one is not opened."""
    answer = reader.read(f"a.{ending}", seeds[ending])
    assert answer.wrong is None and answer.said is None


def test_the_watcher_sees_what_is_wrong(tmp_path, monkeypatch):
    """A reader that opens another file, one that dies, and one that hangs."""
    for code, wrong in (
        ("print('ready'); import sys\nfor line in sys.stdin: raise SystemExit(3)", "the process ended with 3"),
        ("print('ready', flush=True); import time\nfor _ in range(60): time.sleep(1)", "no answer in 0 s"),
    ):
        child = tmp_path / "child.py"
        child.write_text(code)
        monkeypatch.setattr(fuzz, "__file__", str(child))
        monkeypatch.setattr(fuzz, "PATIENCE", 3.0 if "3" in wrong else 0.2)
        reader = fuzz.Reader(tmp_path)
        assert reader.read("a.mp4", b"").wrong == wrong
        reader.close()
    opened = fuzz.Opened(tmp_path)
    (tmp_path / fuzz.CANARY).read_bytes()
    assert opened.names() == {fuzz.CANARY}
