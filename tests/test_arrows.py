"""Imports go one way: cli → sample, train, data, evaluate → model, flow → types."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "tenku"

# What each room may import from the others. A room that is not named here is a new arrow to think about.
MAY_IMPORT = {
    "system": set(),
    "flow": set(),
    "media": {"system"},
    "model": {"flow", "media", "system"},
    "wan": {"model", "system"},
    "loading": {"model", "wan", "system"},
    "sample": {"flow", "media", "system", "model", "wan", "loading", "__init__"},  # of the package itself: its version
    "world": {"media"},
    "prompts": {"world", "model", "loading"},
    "data": {"media", "system", "model", "world"},
    "train": {"flow", "media", "system", "model", "loading", "data"},
    "evaluate": {"flow", "media", "system", "model", "loading", "sample", "data", "train", "world"},
    "file_doctor": {"doctor", "loading", "media", "sample"},
    "doctor": {"system", "model", "wan", "loading", "sample", "train", "__init__"},
    "__init__": {"media", "sample", "prompts"},
}
FREE = {"cli", "__main__"}
BANNED = {"utils", "misc", "helpers", "manager", "common"}


def python_files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[str]:
    """Every room of tenku that a file imports, inside functions and under TYPE_CHECKING too."""
    package = ["tenku", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            # `from tenku import world` names the room on the right-hand side.
            names = [".".join([*module, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] != "tenku":
                continue
            second = parts[1] if len(parts) > 1 else "__init__"
            is_room = (ROOT / second).is_dir() or (ROOT / f"{second}.py").exists()
            yield second if is_room else "__init__"


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(path)
    if room in FREE:
        return
    assert room in MAY_IMPORT, f"tenku/{room} is new: say in this test what it may import"
    allowed = MAY_IMPORT[room] | {room}
    wrong = sorted(set(imported_rooms(path)) - allowed)
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}; {room} may import only {sorted(allowed)}"


def test_the_reader_of_imports_sees_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would pass on anything if it overlooked an import."""
    import test_arrows

    monkeypatch.setattr(test_arrows, "ROOT", tmp_path)
    for room in ("world", "sample", "train", "data"):
        (tmp_path / room).mkdir()
    file = tmp_path / "train" / "loop.py"
    file.write_text(
        "import tenku.world\nfrom tenku import sample\n"
        "def inside():\n    from ..data.loader import Loader\n    from tenku import load\n"
    )
    assert set(imported_rooms(file)) == {"world", "sample", "data", "__init__"}


def test_no_file_is_named_after_nothing() -> None:
    assert not [path for path in python_files() if path.stem in BANNED]


def test_files_stay_readable() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert not {name: lines for name, lines in long.items() if lines > 400}
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                assert node.end_lineno - node.lineno < 80, f"{path}: {node.name} is too long to read"


def module_of(path: Path) -> str:
    return ".".join(["tenku", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


def imported_modules(node: ast.AST, known: set[str]) -> set[str]:
    """Modules of tenku that are imported anywhere below a node; a name of a package counts as the package."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Import):
            found |= {alias.name for alias in each.names}
        elif isinstance(each, ast.ImportFrom) and each.module and not each.level:
            inner = {f"{each.module}.{alias.name}" for alias in each.names}
            found |= {name if name in known else each.module for name in inner}
    return found & known


def test_no_circle_hidden_imports_counted() -> None:
    """No file needs itself by way of others, imports in functions and under TYPE_CHECKING included."""
    trees = {module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in python_files()}
    packages = {module_of(path) for path in python_files() if path.stem == "__init__"}
    edges = {name: imported_modules(tree, set(trees)) - {name} for name, tree in trees.items()}
    lazy = {"tenku"}  # its names are looked up when they are used
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        assert name not in way, " → ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(edges[name] - lazy):
                # A package's own file lists its parts: that they lie in it is no arrow back.
                if not (other in packages and name.startswith(f"{other}.")):
                    visit(other, [*way, name])
            done.add(name)

    for name in edges:
        if name not in lazy:
            visit(name, [])


# Needs a package that only a machine with an NVIDIA card has, so it is imported where such a card is asked for.
OPTIONAL = {"tenku.world.cuda"}


def test_files_of_one_room_know_one_another_openly() -> None:
    """Between files of one room, nothing is imported inside a function or under TYPE_CHECKING, but for its door."""
    known = {module_of(path) for path in python_files()} - OPTIONAL
    for path in python_files():
        room = path.relative_to(ROOT).parts[0]
        if path.name == "__init__.py":  # loads what it names when that is first used
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.If):
                hidden = {name for name in imported_modules(node, known) if name.split(".")[1:2] == [room]}
                assert not hidden, f"{path.relative_to(ROOT)}, line {node.lineno}: {hidden}"


def frames_of_ours(error: BaseException) -> list[str]:
    """The functions of tenku that a traceback passes, outermost first."""
    names, step = [], error.__traceback__
    while step is not None:
        if Path(step.tb_frame.f_code.co_filename).is_relative_to(ROOT):
            names.append(step.tb_frame.f_code.co_name)
        step = step.tb_next
    return names


def test_a_prompt_reaches_the_network_in_ten_frames(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command to the network, counted with a traceback that is raised there."""
    from tenku.cli import main
    from tenku.model.transformer import Transformer

    def forward(self: Transformer, *arguments: object, **more: object) -> None:
        raise RuntimeError("the network")

    monkeypatch.setattr(Transformer, "forward", forward)
    with pytest.raises(RuntimeError, match="the network") as caught:
        main(["generate", "a red ball", "--model", str(tiny_folder), "--out", str(tmp_path / "a.mp4")])
    frames = frames_of_ours(caught.value)
    # `forward` itself is the test's, and stands for the network's.
    assert frames[:2] == ["main", "generate"] and len(frames) + 1 <= 10, frames


def test_nothing_heavy_is_imported_for_help() -> None:
    """`tenku --help` answers at once: torch, PyAV and MuJoCo are imported inside the commands."""
    import subprocess
    import sys

    heavy = ("torch", "av", "numpy", "mujoco", "numba")
    code = f"import sys, tenku.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
