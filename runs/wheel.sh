#!/usr/bin/env bash
# Whether what would be published works: builds the sdist and, from it, the wheel, looks into both, installs the wheel
# into a clean virtual environment outside of this folder, and makes a clip with it from an empty folder.
#
#   runs/wheel.sh [FOLDER]     a temporary folder by default, removed at the end; sdist and wheel are in FOLDER/dist
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1:-} ]]; then
    mkdir -p "$1"
    place=$(cd "$1" && pwd)
    rm -rf "$place"/{dist,build,build.log,venv,empty}
else
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
fi
unset PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1
python=${PYTHON:-python3}

"$python" -m venv "$place/build"
"$place/build/bin/python" -m pip install --no-compile build hatchling
"$place/build/bin/python" -m build --no-isolation --outdir "$place/dist" . > "$place/build.log" 2>&1 ||
    { cat "$place/build.log" >&2; exit 1; }

"$python" - "$place"/dist/*.tar.gz "$place"/dist/*.whl <<'EOF'
import sys
import tarfile
import zipfile
from pathlib import Path

wanted = ["tenku/py.typed", "LICENSE"]
wanted += [path.as_posix() for path in Path("tenku/weights").rglob("*") if path.is_file()]
for path in sys.argv[1:]:
    names = zipfile.ZipFile(path).namelist() if path.endswith(".whl") else tarfile.open(path).getnames()
    missing = [name for name in wanted if not any(each.endswith(f"/{name}") or each == name for each in names)]
    tests = [name for name in names if "tests" in name.split("/")]
    print(f"{Path(path).name}: {len(names)} files, {Path(path).stat().st_size / 1e6:.0f} MB")
    if missing or tests:
        sys.exit(f"error: {path} lacks {missing} and holds {tests}")
EOF

"$python" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --no-compile -c constraints.txt "$place"/dist/*.whl
mkdir "$place/empty"
cd "$place/empty"
"$place/venv/bin/tenku" generate "A red ball rolls over wet asphalt at night." \
    --seconds 0.5 --steps 2 --seed 1 --out made.mp4
"$place/venv/bin/python" - <<'EOF'
import sys

import tenku

clip = tenku.Clip.load("made.mp4")
assert tenku.__file__.startswith(sys.prefix), tenku.__file__
assert clip.num_frames == 8 and clip.frames.std() > 5, clip.frames.shape
print(f"the wheel makes a clip: {clip.num_frames} frames of {clip.size[0]}x{clip.size[1]}")
EOF
