"""CDG (Wang et al. 2022): contrastive regression.  No public code; the formula is ours."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from train.gaze import losses
from train.gaze.methods.base import Method, TensorBatch
from train.gaze.models import GazeModel, Outputs
from train.loop.training_loop import Scalars


@dataclass(frozen=True, slots=True)
class CdgOptions:
    """Weight and temperatures (ours)."""

    contrast: float = 0.1
    """Weight of the contrast beside L_g, in radians per nat."""
    gaze_temperature: float = 0.1
    """In radians."""
    feature_temperature: float = 0.1


class Cdg(Method):
    """L_g + weight · contrast, over the images of all processes.

    Of a twin, the features that are contrasted are of the picture as it is.
    """

    def __init__(self, model: GazeModel, options: CdgOptions) -> None:
        super().__init__(model)
        self.options = options

    def terms(self, out: Outputs, error: Tensor, batch: TensorBatch) -> tuple[Tensor, Scalars]:
        """The two terms."""
        o = self.options
        contrast = losses.contrastive(
            self.gather(out.f_re),
            self.gather(batch["gaze"]),
            o.gaze_temperature,
            o.feature_temperature,
        )
        return error.mean() + o.contrast * contrast, {"contrast": contrast.detach()}
