"""Everything that a rendered person can wear, as lists of parts; one door for the renderer."""

from __future__ import annotations

from train.synth.worn.clothes import clothes
from train.synth.worn.fitting import Part
from train.synth.worn.glasses import glasses
from train.synth.worn.headwear import headwear
from train.synth.worn.masks import mask

__all__ = ["Part", "clothes", "glasses", "headwear", "mask"]
