"""Everything that a rendered person can wear, as lists of parts; one door for the renderer."""

from __future__ import annotations

from train.synth.clothes import clothes
from train.synth.fitting import Part
from train.synth.glasses import glasses
from train.synth.headwear import headwear
from train.synth.masks import mask

__all__ = ["Part", "clothes", "glasses", "headwear", "mask"]
