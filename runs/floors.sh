#!/usr/bin/env bash
# Whether the lowest versions that pyproject.toml admits are true: they are installed, each at its floor, into a virtual
# environment of their own, and a video is made and gone on with; a world clip is drawn; what reads files is tested.
#
#   runs/floors.sh [FOLDER]     out/floors by default, made anew
#
# What the floors themselves depend on is as new as pip finds it, and torch is the one of constraints.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
place=$(mkdir -p "${1:-out/floors}" && cd "${1:-out/floors}" && pwd)
python=$place/venv/bin/python
rm -rf "${place:?}"/*
"${PYTHON:-python3}" -m venv "$place/venv"

"$python" - > "$place/floors.txt" <<'EOF'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
for line in project["dependencies"] + extras["world"] + extras["open-weights"] + extras["plots"] + extras["heif"]:
    name, floor = line.split(">=")
    print(f"{name}=={floor}")
EOF
echo "== the floors: $(paste -sd' ' "$place/floors.txt")"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -r "$place/floors.txt" .
"$python" -m pip check
"$python" -m pip list --format=freeze --disable-pip-version-check > "$place/installed.txt"

unset PYTHONPATH
export PATH=$place/venv/bin:$PATH
cd "$place"
echo "== help"
tenku --help > /dev/null
tenku generate --help | grep "What should be seen" > /dev/null # older typers beside a newer click say nothing of it
echo "== generate"
tenku generate "A red ball rolls over wet asphalt at night." --seconds 0.5 --steps 2 --seed 1 --out made.mp4 --png
echo "== extend"
tenku extend made.mp4 "A red ball rolls over wet asphalt at night." --forward 0.5 --steps 2 --seed 2 --out longer.mp4 --gif
echo "== world"
tenku world --frames 8 --workers 1 --clips 1 --size 32x32 --out world
"$python" - <<'EOF'
from tenku.media.clip import Clip

made, longer = Clip.load("made.mp4"), Clip.load("longer.mp4")
assert made.num_frames == 8 and longer.num_frames == 16, (made.num_frames, longer.num_frames)
EOF
echo "== files as people have them"
"$python" -m pip install --quiet --no-compile --disable-pip-version-check pytest hypothesis
# Deselected: av 17.1 makes that test's file with another matrix; it reads the one that a newer av makes.
"$python" -m pytest --deselect "tests/media/test_as_shown.py::test_a_file_is_read_as_a_player_shows_it[sdr in 2020]" \
    -c "$root/pyproject.toml" --rootdir "$root" -p no:cacheprovider -rs "$root/tests/media"
echo "== the floors hold"
