"""Domains without a part of their variety, for ablations."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from train.factors import FACTORS
from train.synth.variety import Domain

Part = Literal["appearance", "world", "sensor"]
PARTS: tuple[Part, ...] = ("appearance", "world", "sensor")

_LIGHTING = (
    "side_light",
    "back_light",
    "hard_shadows",
    "warm_light",
    "cool_light",
    "near_infrared",
)
_EXPOSURE = ("dark", "overexposed", "low_contrast")
_OCCLUDERS = ("hand_on_face", "object_in_front")


def without(domain: Domain, part: Part) -> Domain:
    """The domain with one part of its variety taken out, for an ablation.

    appearance: every factor of a person's look and of what is worn is off, and skin has one medium
    tone; the shape of faces still varies.  world: plain background, one frontal studio light, no
    occluders, one face.  sensor: nothing degrades the picture and faces are at least 200 px.
    Exposure goes with either of the last two, since a picture is dark by the one or the other.
    """
    if part not in PARTS:
        raise ValueError(f"no part {part!r}; expected one of {', '.join(PARTS)}")
    off: tuple[str, ...]
    changed = replace(domain, name=f"{domain.name}-{part}", absent=domain.absent | {part})
    if part == "appearance":
        off = tuple(
            f.name for f in FACTORS if f.dimension != "image quality" and f.scope != "identity"
        )
    elif part == "world":
        off = (*_LIGHTING, *_EXPOSURE, *_OCCLUDERS)
        changed = replace(
            changed, lights={"studio": 1.0}, backgrounds={"plain": 1.0}, people={1: 1.0}
        )
    else:
        off = tuple(
            f.name for f in FACTORS if f.dimension == "image quality" and f.name not in _LIGHTING
        )
        low, high = domain.face_px
        changed = replace(changed, face_px=(max(low, 200.0), max(high, 320.0)), iso=(100.0, 100.0))
    return replace(changed, chances={**domain.chances, **dict.fromkeys(off, 0.0)})
