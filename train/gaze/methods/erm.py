"""The baseline: the gaze loss alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from train.gaze.methods.base import Method, TensorBatch
from train.gaze.models import GazeModel, Outputs
from train.loop.training_loop import Scalars


@dataclass(frozen=True, slots=True)
class ErmOptions:
    """There is nothing to choose."""


class Erm(Method):
    """Empirical risk minimisation: L_g."""

    def __init__(self, model: GazeModel, options: ErmOptions) -> None:
        super().__init__(model)
        self.options = options

    def terms(self, out: Outputs, error: Tensor, batch: TensorBatch) -> tuple[Tensor, Scalars]:
        """L_g."""
        return error.mean(), {}
