"""Ways to train one gaze model: ERM, PureGaze, CDG, CLIP-Gaze.

One file a method; :mod:`.base` says what the trainer asks of each.
"""

from __future__ import annotations

from train.gaze.methods.base import Method
from train.gaze.methods.cdg import Cdg, CdgOptions
from train.gaze.methods.clip_gaze import ClipGaze, ClipGazeOptions
from train.gaze.methods.erm import Erm, ErmOptions
from train.gaze.methods.pure_gaze import PureGaze, PureGazeOptions
from train.gaze.models import GazeModel

MethodOptions = ErmOptions | PureGazeOptions | CdgOptions | ClipGazeOptions


def make_method(model: GazeModel, options: MethodOptions) -> Method:
    """The method that these options are of."""
    match options:
        case ErmOptions():
            return Erm(model, options)
        case PureGazeOptions():
            return PureGaze(model, options)
        case CdgOptions():
            return Cdg(model, options)
        case ClipGazeOptions():
            return ClipGaze(model, options)


__all__ = ["Method", "MethodOptions", "make_method"]
