#!/usr/bin/env bash
# Backbones compared, after the same 19,200 images:  train/recipes/backbones.sh
#
# The data is that of bundled.sh render, less bands2; the table comes last.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-python}"
export OMP_NUM_THREADS="${THREADS:-1}"

sources=()
for folder in bands faces ablation/source ablation/street ablation/in_car ablation/low_light \
    ablation/medical_masked; do
    sources+=(--source "rendered:data/$folder")
done
runs=()
for backbone in twin medium small resnet18 resnet10t efficientnet_lite0; do
    "$PYTHON" -m train.gaze.fit --method erm "${sources[@]}" --decoded data/decoded \
        --backbone "$backbone" --set band=true --set half=true --set separator=false \
        --set landmarks=1 --set augment=0.5 --set keep_epochs=0 --batch 32 --steps 600 \
        --learning-rate 2e-3 --workers 0 --out "runs/backbones/$backbone"
    runs+=(--run "runs/backbones/$backbone")
done
"$PYTHON" export/backbones.py "${runs[@]}" --data data/dev --calibration data/calibration \
    --threads "${THREADS:-1}" --out runs/backbones/table.md
