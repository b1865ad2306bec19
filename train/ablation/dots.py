"""Crops of drawn dots for eyes, in shards as rendered people are: data for trying the whole path.

No renderer and no face model: a face is a disc, an eye a white disc with a dark one that moves with
the gaze.  Some factors are drawn (glasses, a hat, light, skin), the rest is off and not shown, and
identity shows in the face's width.  Good for tests and ``python -m train.ablation --preset smoke``;
figures of it say nothing.
"""

from __future__ import annotations

import json
import math
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.data.samples import IDENTITY
from train.factors import FACTORS
from train.gaze.losses import EYES_PX
from train.synth.outputs.shards import add_member, jpeg

SIZE_PX = 224
DRAWN = ("round_face", "dark_skin", "glasses", "cap", "dark", "warm_light")
"""Factors that are drawn and therefore shown."""

TINY_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {"context_length": 64, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
"""A CLIP that encodes anything at once, and knows nothing."""


def write_dots(
    folder: Path, *, people: int, pictures: int, seed: int = 0, gain: float = 1.0
) -> Path:
    """``people`` with ``pictures`` each, in one shard; ``gain`` is the light of this domain.

    Returns the folder; what is there already is left as it is.
    """
    if (folder / "manifest.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 71])
    with tarfile.open(folder / "shard-00000.tar", "w") as tar:
        for person in range(people):
            identity = rng.normal(size=IDENTITY)
            own = {"round_face": identity[0] > 0, "dark_skin": bool(rng.random() < 0.5)}
            for picture in range(pictures):
                key = f"{person * pictures + picture:08d}"
                on = own | {name: bool(rng.random() < 0.5) for name in DRAWN if name not in own}
                gaze = rng.uniform(-0.35, 0.35, 2)
                record = {
                    "person": f"{seed}-{person}",
                    "crop_gaze_pitch_yaw_rad": gaze.tolist(),
                    "crop_head_pitch_yaw_rad": (0.5 * gaze).tolist(),
                    "identity": identity.tolist(),
                    "factors": {f.name: bool(on.get(f.name, False)) for f in FACTORS},
                    "shown": list(DRAWN),
                }
                add_member(tar, f"{key}.jpg", jpeg(face(gaze, on, gain)))
                add_member(tar, f"{key}.json", json.dumps(record).encode())
    shards = [{"name": "shard-00000.tar", "count": people * pictures}]
    manifest = {"product": "crops", "drawn": "dots", "seed": seed, "shards": shards}
    (folder / "manifest.json").write_text(json.dumps(manifest) + "\n")
    return folder


def face(gaze: NDArray[np.float64], on: dict[str, bool], gain: float = 1.0) -> NDArray[np.uint8]:
    """(224, 224, 3) RGB of a gaze (pitch, yaw) in radians, with some factors."""
    skin = (110, 75, 60) if on.get("dark_skin") else (225, 180, 160)
    image = np.full((SIZE_PX, SIZE_PX, 3), (70, 90, 120), np.uint8)
    width = 105 if on.get("round_face") else 85
    cv2.ellipse(image, (111, 115), (width, 120), 0, 0, 360, skin, -1)
    for column, row in EYES_PX:
        eye = round(column), round(row)
        cv2.circle(image, eye, 20, (245, 245, 245), -1)
        # As an arrow of the gaze is drawn: dx = −L sin y cos p, dy = −L sin p.
        right = -22 * math.sin(gaze[1]) * math.cos(gaze[0])
        down = -22 * math.sin(gaze[0])
        cv2.circle(image, (round(column + right), round(row + down)), 9, (40, 30, 25), -1)
        if on.get("glasses"):
            cv2.circle(image, eye, 30, (20, 20, 20), 4)
    if on.get("cap"):
        cv2.rectangle(image, (20, 0), (203, 40), (150, 30, 40), -1)
    light = np.array([1.15, 1.0, 0.75] if on.get("warm_light") else [1.0, 1.0, 1.0])
    light = light * gain * (0.5 if on.get("dark") else 1.0)
    return np.clip(image * light, 0, 255).astype(np.uint8)


def write_tiny_clip(folder: Path, seed: int = 0) -> Path:
    """A CLIP of random weights, in the form of ``train.clip.pretrain``; returns its folder."""
    import torch
    from safetensors.torch import save_file

    from train.clip.clip_models import CONFIG, WEIGHTS, build_clip

    if (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": TINY_CLIP}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_clip(config)
    (folder / CONFIG).write_text(json.dumps(config) + "\n")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)
    return folder
