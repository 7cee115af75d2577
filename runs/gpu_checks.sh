#!/usr/bin/env bash
# What only a GPU can show, within nine minutes: what is most wanted comes first, and one part that fails or takes too
# long does not keep the others from running.
#
#   runs/gpu_checks.sh LATENTS          a folder that `tenku encode` wrote, for the part about training
#   runs/gpu_checks.sh LATENTS --tiny   the same parts on a CPU with the smallest networks, to see that they hold together
#
# 1. Open weights: Wan 1.3B's shape with random weights against diffusers, both compiled (wanted: 1.15 times as fast).
# 2. Where the time of a training step goes, and its share of the measured peak (wanted: 30 %).
# 3. Streamed and 8-bit blocks, parity, and memory as predicted (wanted: within 10 % of what is allocated).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

latents=${1:?name a folder with latents} tiny=${2:-}
python=${PYTHON:-.venv/bin/python}
speed=(--preset wan2.1-1.3b --device cuda --width 832 --height 480 --frames 81 --text-tokens 512 --dtypes bf16 --regional
    --check-frames 5 --check-steps 1 --steps 1 --repeats 3 --profile)
training=(--batch-size 192)
if [[ $tiny ]]; then
    speed=(--preset nano --device cpu --width 64 --height 64 --frames 9 --steps 1 --repeats 1 --no-compile)
    training=(--batch-size 2 --steps 2 --preset nano)
fi

failed=0
part() { # seconds at most, then a command
    local limit=$1
    shift
    echo "== ${*:1:3} ($limit s at most)"
    timeout --kill-after=5 "$limit" "$@" || { echo "== it ended with $?"; failed=1; }
}
part 270 "$python" benchmarks/vs_diffusers.py "${speed[@]}"
part 120 "$python" benchmarks/training.py --latents "$latents" "${training[@]}"
part 140 "$python" -m pytest -q -s tests/model/test_large.py tests/sample/test_memory.py tests/model/test_parity.py
exit $failed
