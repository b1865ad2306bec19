"""Everything that a rendered person can wear, as lists of parts; one door for the renderer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from train.synth.clothes import clothes
from train.synth.facekit import PARTS, FaceKit
from train.synth.fitting import Floats, Part, anatomy
from train.synth.glasses import glasses
from train.synth.headwear import HATS, Head, headwear, rim_of
from train.synth.masks import mask
from train.synth.streams import Streams

__all__ = [
    "Part",
    "clothes",
    "covers_hair",
    "glasses",
    "headwear",
    "hidden_scalp",
    "mask",
]

_COVER = {"helmet": 0.85, "head_scarf": 1.0, "beanie": 0.85, "brimmed_hat": 0.6, "cap": 0.6}


def covers_hair(on: Mapping[str, bool]) -> float:
    """How much of the scalp's hair the headwear hides: 0 none, 1 all."""
    return next((_COVER[name] for name in HATS if on.get(name)), 0.0)


def hidden_scalp(streams: Streams, kit: FaceKit, calm: Floats, on: Mapping[str, bool]) -> Floats:
    """How much of the hair that grows at each vertex (26719,) the headwear hides, 0 to 1.

    It rises to 1 over the 15 mm above the rim, so that hair leaves the hat and none passes it.
    """
    hidden = np.zeros(len(calm), np.float32)
    rim = rim_of(streams, on)
    if rim is None:
        return hidden
    outer = PARTS["head"][1]
    ray = calm[:outer] - Head(kit, calm).center
    azimuth = np.arctan2(ray[:, 0], -ray[:, 2])
    elevation = np.arctan2(-ray[:, 1], np.hypot(ray[:, 0], ray[:, 2]))
    hidden[:outer] = np.clip((elevation - rim.elevation(azimuth)) / 0.15, 0, 1)
    if on.get("head_scarf"):
        hidden[anatomy(kit).skull] = 1.0
    return hidden
