#!/usr/bin/env bash
# The networks that ship, from nothing:  train/recipes/bundled.sh [STAGE...]
#
# Stages, in their order: render front clip gaze export frozen.  Every command goes on where it was
# stopped, so the script may be killed and run again.  It needs CLIPGAZE_FACEKIT (docs/training.md),
# about 12 GB below data/, and this repository's history: the detector and the landmark network start
# from the first ones (commit START), whose own recipe is in the cards there.  The networks that ship
# were made with the first renderer, which commit 64afbcd has last; from there on people are others.
set -euo pipefail
cd "$(dirname "$0")/../.."

START=e7719c1
THREADS="${THREADS:-1}"
PYTHON="${PYTHON:-python}"
SHIPPED=sdk/clipgaze_sdk/models

write() { "$PYTHON" -m train.synth write "$@"; }

render() {
    write --product cutouts --domain all --count 4800 --seed 71 --out data/cutouts
    write --product cutouts --domain profile --count 1600 --seed 72 --out data/profiles
    write --product cutouts --domain beyond_profile --count 1600 --seed 73 --out data/beyond
    write --product bands --domain all --count 3000 --seed 81 --out data/bands
    write --product bands --domain all --count 28000 --seed 101 --out data/bands2
    write --product crops --domain all --count 6000 --seed 41 --out data/faces
    write --product crops --domain lab,laptop,phone --count 4000 --seed 61 --out data/ablation/source
    write --product crops --domain street --count 320 --seed 62 --out data/ablation/street
    write --product crops --domain in_car --count 320 --seed 63 --out data/ablation/in_car
    write --product crops --domain low_light --count 320 --seed 64 --out data/ablation/low_light
    write --product crops --domain medical_masked --count 320 --seed 65 \
        --out data/ablation/medical_masked
    # What choices are made by; nothing is trained on it.
    write --product crops --domain all --count 1440 --seed 91 --out data/dev
}

front() {
    mkdir -p data/start
    for name in face_landmarks face_detector; do
        git show "$START:$SHIPPED/$name.onnx" > "data/start/$name.onnx"
    done
    "$PYTHON" -m train.front.landmarks --data data/cutouts --cache data/cutout_cache \
        --out runs/landmarks --init data/start/face_landmarks.onnx \
        --steps 800 --learning-rate 1.5e-3 --seed 1 --threads "$THREADS"
    "$PYTHON" -m train.front.detector --data data/cutouts --cache data/cutout_cache \
        --out runs/detector1 --init data/start/face_detector.onnx \
        --steps 1200 --learning-rate 1.5e-3 --seed 1 --threads "$THREADS"
    # A second leg on other frames of half of the people, with more faces that fill the picture.
    # (The first saw fewer of these: train/front/crops.py of commit cf61b56.)
    shards data/cutouts_b cutouts 06 07 08 09 10 11
    "$PYTHON" -m train.front.detector --data data/cutouts_b --cache data/cutout_cache_b \
        --out runs/detector2 --init runs/detector1 \
        --steps 450 --learning-rate 8e-4 --seed 2 --threads "$THREADS"
    "$PYTHON" -m train.front.mean runs/detector1 runs/detector2 --out runs/detector
    # A second leg of the landmark network, with heads turned to full profile.
    turned data/front profiles
    "$PYTHON" -m train.front.landmarks --data data/front --cache data/cutout_cache \
        --out runs/landmarks2 --init runs/landmarks \
        --steps 450 --learning-rate 1.2e-3 --seed 3 --threads "$THREADS"
    # A third by Muon, with heads turned beyond profile and crops after poor boxes.
    turned data/front_c profiles beyond
    "$PYTHON" -m train.front.landmarks --data data/front_c --cache data/cutout_cache \
        --out runs/landmarks3 --init runs/landmarks2 --optimizer muon --poor-boxes 0.15 \
        --steps 1000 --learning-rate 1.5e-3 --seed 4 --threads "$THREADS"
}

shards() { # FOLDER OF NUMBER...: a folder with some shards of data/OF
    local folder="$1" of="$2" number
    mkdir -p "$folder"
    for number in "${@:3}"; do
        ln -sf "../$of/shard-000$number.tar" "$folder/shard-000$number.tar"
    done
}

turned() { # FOLDER OF...: all cut-outs, and after them the four shards of each data/OF
    local folder="$1" of number at=12
    shards "$folder" cutouts 00 01 02 03 04 05 06 07 08 09 10 11
    for of in "${@:2}"; do
        for number in 0 1 2 3; do
            ln -sf "../$of/shard-0000$number.tar" "$folder/shard-000$at.tar"
            at=$((at + 1))
        done
    done
}

clip() {
    local prompts=(--kind pco --from-words --epochs 3 --learning-rate 0.1)
    local pretrain=(--source rendered:data/faces --cache data/clip_cache --batch 96)
    # Two legs; train/weights/face_clip and prompts_pco are these.
    "$PYTHON" -m train.clip.pretrain "${pretrain[@]}" --steps 700 \
        --threads "$THREADS" --out runs/face_clip1
    "$PYTHON" -m train.clip.pretrain "${pretrain[@]}" --init runs/face_clip1 --steps 550 \
        --learning-rate 8e-4 --warm-up 20 --threads "$THREADS" --out runs/face_clip
    "$PYTHON" -m train.clip.tune_prompts --clip runs/face_clip "${prompts[@]}" \
        --source rendered:data/ablation/source --cache runs/clip_features \
        --threads "$THREADS" --out runs/prompts_pco
}

gaze() {
    local sources=()
    for folder in bands2 bands faces ablation/source ablation/street ablation/in_car \
        ablation/low_light ablation/medical_masked; do
        sources+=(--source "rendered:data/$folder")
    done
    local network=(--backbone twin --set band=true --set half=true --set landmarks=1
        --set augment=0.5 --set keep_epochs=0 --batch 32 --workers 0 --decoded data/decoded)
    export OMP_NUM_THREADS="$THREADS"
    # Leg 1: the gaze loss, and landmarks beside it.
    "$PYTHON" -m train.gaze.fit --method erm "${sources[@]}" "${network[@]}" --set separator=false \
        --steps 12500 --learning-rate 2e-3 --out runs/gaze3_erm
    # Leg 2: CLIP-Gaze with our centred losses.
    "$PYTHON" -m train.gaze.fit --method clip_gaze "${sources[@]}" "${network[@]}" \
        --clip runs/face_clip --prompts runs/prompts_pco/seed0 --cache runs/clip_features \
        --set centred=true --set init=runs/gaze3_erm --steps 5500 --learning-rate 1.2e-3 \
        --out runs/gaze3_clip
}

card() { # TASK RUN SEED PEOPLE: the ONNX file of a run, and its card
    "$PYTHON" export/export_onnx.py "$1" --run "runs/$2" --out "$SHIPPED" --crops data/calibration \
        --seed "$3" --trained-on "$4" --command "train/recipes/bundled.sh"
}

export_() {
    write --product pictures --domain all --count 432 --seed 51 --out data/calibration
    write --product frames --domain all --count 96 --seed 53 --out data/calibration_frames
    write --product pictures --domain all --count 360 --seed 52 --out data/held_out
    card face_landmarks landmarks3 4 "8,000 cut-outs of 1,000 rendered people (seeds 71 to 73)"
    card face_detector detector 1 "frames composed of 4,800 cut-outs of 600 rendered people (seed 71)"
    card gaze gaze3_clip 0 "42,280 crops of 5,285 rendered people in nine domains"
    "$PYTHON" -c "from pathlib import Path; from train.gaze.shipped import ship
ship(Path('runs/gaze3_clip'), Path('$SHIPPED/gaze.onnx'), Path('train/weights/gaze'))"
    "$PYTHON" export/precisions.py --calibration data/calibration data/calibration_frames
    "$PYTHON" export/verify.py --data data/held_out --write-cards
}

frozen() {
    write --product pictures --domain all --seed 900 --count 6480 --out data/frozen
    "$PYTHON" -m train.eval.bundled --data data/frozen --write-cards
}

for stage in "${@:-render front clip gaze export frozen}"; do
    for one in $stage; do
        case "$one" in
            export) export_ ;;
            render | front | clip | gaze | frozen) "$one" ;;
            *)
                echo "no stage $one; expected render, front, clip, gaze, export or frozen" >&2
                exit 2
                ;;
        esac
    done
done
