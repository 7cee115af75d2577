#!/usr/bin/env bash
# From nothing to the weights that ship with tenku: clips → autoencoder → latents → transformer → export → evaluation.
#
#   runs/embedded.sh                        two hours on two CPU cores: 64×64, 80×48 and 48×80, three seconds
#   runs/embedded.sh --machine gpu          25 minutes on one big GPU: 128×128, 160×96 and 96×160, three seconds
#   runs/embedded.sh --from FOLDER          its autoencoder goes on from one that is there, such as tenku/weights/embedded
#   runs/embedded.sh --autoencoder FOLDER   that one as it is
#   runs/embedded.sh --minutes 30           the same with less of everything
#   runs/embedded.sh --chunk 9              stop after 9 minutes, wherever it is
#   runs/embedded.sh --tiny                 the whole chain in about two minutes, to see that it holds together
#
# Stop it whenever you like: started again with the same options it goes on where it was.
# The weights end up in OUT/model (--out, default out/embedded); copy them to tenku/weights/embedded to ship them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

machine=cpu minutes= chunk= out= tiny= given= start=
while (($#)); do
    case $1 in
        --machine) machine=${2:?--machine needs cpu or gpu}; shift 2 ;;
        --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
        --chunk) chunk=${2:?--chunk needs a number of minutes}; shift 2 ;;
        --out) out=${2:?--out needs a folder}; shift 2 ;;
        --autoencoder) given=${2:?--autoencoder needs a folder}; shift 2 ;;
        --from) start=${2:?--from needs a folder}; shift 2 ;;
        --tiny) tiny=yes; shift ;;
        -h | --help) sed -n '2,/^set/{/^#/p}' "$0" | cut -c3-; exit ;;
        *) echo "error: unknown option $1 (see $0 --help)" >&2; exit 2 ;;
    esac
done
for number in "$minutes" "$chunk"; do
    [[ $number =~ ^[0-9]*$ ]] || { echo "error: --minutes and --chunk are whole numbers, not $number" >&2; exit 2; }
done
tenku=${TENKU:-.venv/bin/tenku}
[[ -x $tenku ]] || make .venv/installed-dev
share() { awk "BEGIN { printf \"%.2f\", $minutes * $1 / 100 }"; } # of the budget, in minutes

# The dial. A budget in minutes is split between the stages; clip counts are what a machine of the kind draws meanwhile.
# Change a line here to change the run.
case $machine in
    cpu)
        minutes=${minutes:-120} device=cpu preset=embedded-cpu
        buckets=("64x64 $((minutes * 22))" "80x48 $((minutes * 3))" "48x80 $((minutes * 3))") # size and clips
        autoencoder_buckets=("128x128 $((minutes * 10 / 3))")                                 # seen by it alone
        autoencoder_minutes=$(share 30) decoder_minutes=$(share 4) transformer_minutes=$(share 44) made_minutes=$(share 8)
        judge_minutes=6
        samples=4 # rays a pixel: at this size the autoencoder loses more than the rough edges add
        # Many steps rather than large ones; of so few samples, most should practise what people ask for first: text alone.
        training=(--batch-size 16 --conditioned 0.3)
        ;;
    gpu) # most clips never become files: all cores draw them straight to latents while the transformer trains
        minutes=${minutes:-25} device=cuda preset=embedded
        buckets=("128x128 $((minutes * 160))" "160x96 $((minutes * 20))" "96x160 $((minutes * 20))")
        drawn=("128x128:$((minutes * 3200))" "160x96:$((minutes * 400))" "96x160:$((minutes * 400))")
        autoencoder_buckets=()
        autoencoder_minutes=$(share 20) decoder_minutes=$(share 3) transformer_minutes=$(share 66) made_minutes=$(share 5)
        judge_minutes=1.5
        samples=12
        training=(--batch-size 192 --conditioned 0.4 --shift 1.5 --image-frac 0.12 --muon-lr 6e-3)
        ;;
    *) echo "error: --machine is cpu or gpu, not $machine" >&2; exit 2 ;;
esac
frames=48 validation=100 judged=4000 autoencoder_preset=embedded
autoencoder_budget=(--minutes "$autoencoder_minutes") decoder_budget=(--minutes "$decoder_minutes")
transformer_budget=(--minutes "$transformer_minutes") made_budget=(--minutes "$made_minutes")
if [[ $tiny ]]; then
    buckets=("64x64 8" "80x48 4") drawn=(64x64:8 80x48:4) autoencoder_buckets=() frames=16 validation=4 judge_minutes=0.1
    preset=nano autoencoder_preset=nano
    autoencoder_budget=(--steps 10) decoder_budget=(--steps 5) transformer_budget=(--steps 20)
    made_budget=(--steps 3)
fi
if [[ $given && $start ]]; then
    echo "error: --from and --autoencoder both name the autoencoder: choose one" >&2
    exit 2
fi
if [[ $given || $start ]]; then autoencoder_preset=embedded; fi
out=${out:-out/embedded${tiny:+-tiny}}
mkdir -p "$out"
main_size=${buckets[0]% *}

stage() { printf '\n== %s (%d s)\n' "$*" "$SECONDS" >&2; }
set -m # each command is a group of processes, which a signal reaches as Ctrl-C would
beside=() # the groups that work in the background; they end with this script
trap 'for group in ${beside[@]+"${beside[@]}"}; do kill -- "-$group" 2>/dev/null || true; done' EXIT
if [[ $chunk ]]; then
    (sleep $((chunk * 60)) && stage "stopping after $chunk minutes: run it again to go on" && pkill -INT -P $$) &
    beside+=($!)
fi
once() { # NAME COMMAND …: not again when it came to its end before
    [[ -e $out/$1.done ]] || { "${@:2}" && touch "$out/$1.done"; }
}
beside() { # NAME COMMAND …: on a GPU in the background, which leaves a log; on a CPU before what follows
    if [[ $machine == cpu ]]; then
        once "$@"
        return
    fi
    once "$@" 2>"$out/$1.log" &
    beside+=($!)
    echo $! >"$out/$1.pid"
}
await() { # NAME COMMAND …: until the command succeeds, as long as what works on it is alive
    until "${@:2}"; do
        sleep 1
        kill -0 "$(<"$out/$1.pid")" 2>/dev/null || "${@:2}" ||
            { tail -n 3 "$out/$1.log" >&2; echo "error: $1 failed, see $out/$1.log" >&2; exit 2; }
    done
}

workers=$(nproc)
many=(env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 nice "$tenku") # many processes, which take no more than a core each
draw() { # FOLDER "WxH COUNT" FIRST-SEED WORKERS
    read -r size count <<<"$2"
    "${many[@]}" world --clips "$count" --size "$size" --frames "$frames" \
        --seed "$3" --out "$1/$size" --samples "$samples" --device "$device" --workers "$4"
}
draw_validation() {
    "$tenku" world --split validation --clips "$validation" --size "$main_size" --frames "$frames" \
        --samples "$samples" --out "$out/validation" --device "$device"
}
draw_all() { # the seeds go on counting, so that no scene comes twice, in another shape either
    local first=0 bucket drawing=() failed=0
    for bucket in "${buckets[@]}"; do
        if [[ $machine == gpu ]]; then # all sizes at once, the first by most of the workers
            draw "$out/clips" "$bucket" "$first" "$((first ? (workers + 7) / 8 : (workers * 3 + 3) / 4))" &
            drawing+=($!)
        else
            draw "$out/clips" "$bucket" "$first" "$workers" || return
        fi
        first=$((first + ${bucket#* }))
    done
    for bucket in ${autoencoder_buckets[@]+"${autoencoder_buckets[@]}"}; do
        draw "$out/larger-clips" "$bucket" "$first" "$workers" || return
        first=$((first + ${bucket#* }))
    done
    for process in ${drawing[@]+"${drawing[@]}"}; do wait "$process" || failed=1; done
    return "$failed"
}
have_clips() {
    for folder in "${clips[@]}"; do
        [[ -e $out/clips.done || $(find "$folder" -name '*.mp4' 2>/dev/null | head -40 | wc -l) -ge 40 ]] || return
    done
}
autoencoder() {
    "$tenku" train-autoencoder "${clips[@]}" ${larger[@]+"${larger[@]}"} --out "$out/autoencoder" \
        --preset "$autoencoder_preset" ${start:+--from "$start"} "${autoencoder_budget[@]}"
}
train_decoder() { # FROM TO OPTIONS …: the decoder alone
    "$tenku" train-autoencoder "${@:3}" --out "$2" --preset "$autoencoder_preset" --decoder-only-from "$1"
}
encode() { "$tenku" encode "${clips[@]}" --autoencoder "$out/decoder" --out "$out/latents"; }
draw_latents() {
    "${many[@]}" encode "${drawn[@]/#/--draw=}" --frames "$frames" \
        --samples "$samples" --workers "$((workers > 4 ? workers - 2 : workers))" --autoencoder "$out/decoder" \
        --out "$out/latents"
}
train() {
    "$tenku" train --latents "$out/latents" --out "$out/run" --preset "$preset" --autoencoder "$out/decoder" \
        "${training[@]}" "${transformer_budget[@]}"
}
judge() {
    "$tenku" evaluate recogniser --clips "$out/clips/$main_size" --validation "$out/validation" --number "$judged" \
        --autoencoder "$out/decoder" --minutes "$judge_minutes" --out "$out/recogniser" >"$out/recogniser.json"
}
clips=() larger=()
for bucket in "${buckets[@]}"; do clips+=("$out/clips/${bucket% *}"); done
for bucket in ${autoencoder_buckets[@]+"${autoencoder_buckets[@]}"}; do larger+=("$out/larger-clips/${bucket% *}"); done

stage "1. Clips of the miniature world"
once validation draw_validation
beside clips draw_all
await clips have_clips

stage "2. The autoencoder: pixels to latents, 4 times shorter, 8 times narrower and lower; then its decoder alone"
if [[ $given ]]; then
    take() { rm -rf "$out/decoder" && cp -r "$given/autoencoder" "$out/decoder"; }
    once decoder take
else
    once "autoencoder-$autoencoder_minutes" autoencoder
    once "decoder-$decoder_minutes" train_decoder "$out/autoencoder" "$out/decoder" "${clips[@]}" \
        ${larger[@]+"${larger[@]}"} "${decoder_budget[@]}"
fi
"$tenku" evaluate autoencoder "$out/decoder" --clips "$out/validation" | tee "$out/autoencoder.json"

stage "3. Latents, encoded once"
beside judge judge
if [[ $machine == gpu ]]; then
    beside latents draw_latents
    await latents test -e "$out/latents/manifest.json" # the others are met on the way
else
    once latents encode
fi

stage "4. The transformer and its text encoder"
once "run-$transformer_minutes" train

stage "5. One folder with everything a video needs; its decoder also learns from what the transformer makes"
export_with() { # AUTOENCODER
    "$tenku" export "$out/run" --autoencoder "$1" --out "$out/model" --name embedded \
        --steps 20 --guidance 3.5 --rescale 0.8 --shift 2
}
export_with "$out/decoder"
once "made-$made_minutes" train_decoder "$out/decoder" "$out/decoder-made" "${clips[@]}" "${made_budget[@]}" --latents-from "$out/model"
export_with "$out/decoder-made"
"$tenku" evaluate autoencoder "$out/model" --clips "$out/validation" | tee "$out/autoencoder-made.json"

stage "6. Unselected samples and what they are worth"
await judge test -e "$out/judge.done"
"$tenku" evaluate prompts --model "$out/model" --recogniser "$out/recogniser" --clips "$out/validation" \
    --number "$validation" --out "$out/evaluation"

stage "done: $out/model (weights), $out/evaluation/prompts.md (figures), $out/evaluation/prompts.png (samples)"
