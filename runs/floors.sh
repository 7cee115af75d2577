#!/usr/bin/env bash
# Whether the lowest versions that pyproject.toml admits are true: they are installed, each at its floor, into a virtual
# environment of their own, and a video is made, gone on with, and an HDR clip is read; a world clip is drawn.
#
#   runs/floors.sh [FOLDER]     out/floors by default, made anew
#
# What the floors themselves depend on is as new as pip finds it, and torch is the one of constraints.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

place=$(mkdir -p "${1:-out/floors}" && cd "${1:-out/floors}" && pwd)
python=$place/venv/bin/python
rm -rf "${place:?}"/*
"${PYTHON:-python3}" -m venv "$place/venv"

"$python" - > "$place/floors.txt" <<'EOF'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
for line in project["dependencies"] + extras["world"] + extras["open-weights"] + extras["plots"]:
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
echo "== HDR"
"$python" - <<'EOF'
import av
import numpy as np

from tenku.media.clip import Clip

# 20, 203 and 1000 nits side by side in PQ (SMPTE ST 2084), as HDR10 has them: 10 bits, BT.2020.
powered = (np.array([20.0, 203, 1000]).repeat(16) / 10000) ** 0.1593017578125
signal = ((0.8359375 + 18.8515625 * powered) / (1 + 18.6875 * powered)) ** 78.84375
picture = np.broadcast_to((signal * 65535).astype(np.uint16)[None, :, None], (32, 48, 3)).copy()
with av.open("hdr.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=16, options={"crf": "8", "preset": "ultrafast"})
    stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p10le"
    context = stream.codec_context
    context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9
    for _ in range(4):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb48le").reformat(format="yuv420p10le")
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
clip = Clip.load("hdr.mp4")
dark, paper, lamp = clip.frames[0, 16, [8, 24, 40]].mean(-1)
assert clip.num_frames == 4 and 70 < dark < 110 and 225 < paper < 250 and paper < lamp <= 255, (dark, paper, lamp)
made, longer = Clip.load("made.mp4"), Clip.load("longer.mp4")
assert made.num_frames == 8 and longer.num_frames == 16, (made.num_frames, longer.num_frames)
EOF
echo "== the floors hold"
