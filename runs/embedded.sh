#!/usr/bin/env bash
# From nothing to the weights that ship with tenku: clips → autoencoder → latents → transformer → export → evaluation.
#
#   runs/embedded.sh                        two hours on two CPU cores: 64×64, 80×48 and 48×80, three seconds
#   runs/embedded.sh --machine gpu          25 minutes of training on one big GPU: 128×128, three seconds
#   runs/embedded.sh --minutes 30           the same with less of everything
#   runs/embedded.sh --tiny                 the whole chain in about two minutes, to see that it holds together
#
# Stop it whenever you like: started again with the same options it goes on where it was.
# The weights end up in OUT/model (--out, default out/embedded); copy them to tenku/weights/embedded to ship them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

machine=cpu device=cpu minutes= out= tiny=
while (($#)); do
    case $1 in
        --machine) machine=${2:?--machine needs cpu or gpu}; shift 2 ;;
        --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
        --out) out=${2:?--out needs a folder}; shift 2 ;;
        --tiny) tiny=yes; shift ;;
        -h | --help) sed -n '2,/^set/{/^#/p}' "$0" | cut -c3-; exit ;;
        *) echo "error: unknown option $1 (see $0 --help)" >&2; exit 2 ;;
    esac
done
[[ $minutes =~ ^[0-9]*$ ]] || { echo "error: --minutes is a whole number, not $minutes" >&2; exit 2; }
tenku=${TENKU:-.venv/bin/tenku}
[[ -x $tenku ]] || make .venv/installed-dev

# The dial. A budget in minutes is split between making clips, the autoencoder and the transformer; clip counts are what
# a machine of the kind draws in its share. Change a line here to change the run.
case $machine in
    cpu)
        minutes=${minutes:-120}
        buckets=("64x64 $((minutes * 22))" "80x48 $((minutes * 3))" "48x80 $((minutes * 3))") # size and clips
        autoencoder_buckets=("128x128 $((minutes * 10 / 3))")                                 # seen by it alone
        autoencoder_minutes=$((minutes * 30 / 100)) decoder_minutes=$((minutes * 8 / 100))
        transformer_minutes=$((minutes * 48 / 100))
        samples=4       # rays a pixel: at this size the autoencoder loses more than the rough edges add
        batch=16        # many steps, rather than large ones
        conditioned=0.3 # of so few samples, most should practise what people ask for first: text alone
        ;;
    gpu)
        minutes=${minutes:-25}
        buckets=("128x128 $((minutes * 1200))" "160x96 $((minutes * 200))" "96x160 $((minutes * 200))")
        autoencoder_buckets=()
        autoencoder_minutes=$((minutes * 20 / 100)) decoder_minutes=$((minutes * 4 / 100))
        transformer_minutes=$((minutes * 72 / 100))
        samples=12 batch=64 conditioned=0.5 device=cuda
        ;;
    *) echo "error: --machine is cpu or gpu, not $machine" >&2; exit 2 ;;
esac
frames=48 validation=100 judge_minutes=6 preset=embedded
[[ $machine == cpu ]] || preset=embedded-gpu # a size of the autoencoder and one of the transformer
autoencoder_budget=(--minutes "$autoencoder_minutes") decoder_budget=(--minutes "$decoder_minutes")
transformer_budget=(--minutes "$transformer_minutes")
if [[ $tiny ]]; then
    buckets=("64x64 8" "80x48 4") autoencoder_buckets=() frames=16 validation=4 judge_minutes=0.1
    preset=nano
    autoencoder_budget=(--steps 10) decoder_budget=(--steps 5) transformer_budget=(--steps 20)
fi
out=${out:-out/embedded${tiny:+-tiny}}
mkdir -p "$out"

stage() { printf '\n== %s\n' "$*" >&2; }

stage "1. Clips of the miniature world"
first=0
draw() { # FOLDER "WxH COUNT": the seeds go on counting, so that no scene comes twice, in another shape either
    read -r size count <<<"$2"
    "$tenku" world --clips "$count" --size "$size" --frames "$frames" --seed "$first" --out "$1/$size" \
        --samples "$samples" --device "$device"
    first=$((first + count))
}
for bucket in "${buckets[@]}"; do draw "$out/clips" "$bucket"; done
for bucket in ${autoencoder_buckets[@]+"${autoencoder_buckets[@]}"}; do draw "$out/larger-clips" "$bucket"; done
clips=("$out"/clips/*x*) larger=()
[[ ! -d $out/larger-clips ]] || larger=("$out"/larger-clips/*x*)
main_size=${buckets[0]% *}
"$tenku" world --split validation --clips "$validation" --size "$main_size" --frames "$frames" \
    --samples "$samples" --out "$out/validation"

stage "2. The autoencoder: pixels to latents, 4 times shorter, 8 times narrower and lower; then its decoder alone"
"$tenku" train-autoencoder "${clips[@]}" ${larger[@]+"${larger[@]}"} --out "$out/autoencoder" \
    --preset "$preset" "${autoencoder_budget[@]}"
"$tenku" train-autoencoder "${clips[@]}" ${larger[@]+"${larger[@]}"} --out "$out/decoder" \
    --preset "$preset" "${decoder_budget[@]}" --polish "$out/autoencoder"
"$tenku" evaluate autoencoder "$out/decoder" --clips "$out/validation" | tee "$out/autoencoder.json"

stage "3. Latents, encoded once"
"$tenku" encode "${clips[@]}" --autoencoder "$out/decoder" --out "$out/latents"

stage "4. The transformer and its text encoder"
"$tenku" train --latents "$out/latents" --out "$out/run" --preset "$preset" --autoencoder "$out/decoder" \
    --conditioned "$conditioned" --batch-size "$batch" "${transformer_budget[@]}"

stage "5. One folder with everything a video needs"
"$tenku" export "$out/run" --autoencoder "$out/decoder" --out "$out/model" --name embedded

stage "6. Unselected samples and what they are worth"
if [[ ! -e $out/recogniser.json ]]; then # written last, so it means a trained judge
    "$tenku" evaluate recogniser --clips "$out/clips/$main_size" --validation "$out/validation" \
        --autoencoder "$out/decoder" --minutes "$judge_minutes" --out "$out/recogniser" >"$out/recogniser.partial"
    mv "$out/recogniser.partial" "$out/recogniser.json"
fi
"$tenku" evaluate prompts --model "$out/model" --recogniser "$out/recogniser" --clips "$out/validation" \
    --number "$validation" --out "$out/evaluation"

stage "done: $out/model (weights), $out/evaluation/prompts.md (figures), $out/evaluation/prompts.png (samples)"
