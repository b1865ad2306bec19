#!/usr/bin/env bash
# CLIP-Gaze against ERM on domains left out, with the shipped backbone:  train/recipes/left_out.sh
#
# Both train on laptop, phone and lab from the same leg, with the same data, schedule and seeds, and
# are measured on street, in_car, low_light and medical_masked, of which they saw nothing.  The data
# is that of bundled.sh render.  Every command goes on where it was stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-python}"
export OMP_NUM_THREADS="${THREADS:-1}"
OUT=runs/left_out

sources=(--source rendered:data/ablation/source
    --source "rendered:data/bands2?domains=lab,laptop,phone")
network=(--backbone twin --set band=true --set half=true --set landmarks=1 --set augment=0.5
    --set keep_epochs=0 --batch 32 --workers 0 --decoded data/decoded)
short=(--set "init=$OUT/base" --set separator=true --steps 600 --learning-rate 5e-4)

"$PYTHON" -m train.gaze.fit --method erm "${sources[@]}" "${network[@]}" --set separator=false \
    --steps 3000 --learning-rate 2e-3 --out "$OUT/base"
targets=()
for name in street in_car low_light medical_masked; do
    targets+=("rendered:data/ablation/$name")
done
for method in erm clip_gaze; do
    runs=()
    for seed in 0 1 2; do
        guide=()
        if [ "$method" = clip_gaze ]; then
            guide=(--clip train/weights/face_clip --prompts train/weights/prompts_pco
                --set centred=true --cache "$OUT/features")
        fi
        "$PYTHON" -m train.gaze.fit --method "$method" "${sources[@]}" "${network[@]}" "${short[@]}" \
            "${guide[@]}" --seed "$seed" --out "$OUT/$method$seed"
        runs+=("$OUT/$method$seed")
    done
    "$PYTHON" -m train.eval.assess --run "${runs[@]}" --data "${targets[@]}" --out "$OUT/report_$method"
done
