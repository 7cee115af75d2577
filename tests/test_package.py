"""What is published: one set of Pythons, versions that fit together, scripts that can be run."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_the_workflow_tries_every_python_that_the_package_names() -> None:
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if "Python :: 3." in each]
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    tried = re.search(r"python: \[(.*)\]", workflow)
    assert tried and re.findall(r"[\d.]+", tried[1]) == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_every_dependency_has_a_floor_that_the_constraints_meet() -> None:
    wanted = PROJECT["dependencies"] + [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    floors = dict(each.split(">=") for each in wanted)  # runs/floors.sh reads them in the same way
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for name, pinned in (line.split("==") for line in lines if line and not line.startswith("#")):
        assert version(pinned) >= version(floors[name])


def test_types_are_published() -> None:
    assert (ROOT / "tenku" / "py.typed").is_file() and (ROOT / PROJECT["license-files"][0]).is_file()


@pytest.mark.parametrize("path", [*(ROOT / "runs").glob("*.sh"), ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_scripts_can_be_run(path: Path) -> None:
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", path], check=True)
