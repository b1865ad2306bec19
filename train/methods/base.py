"""What every method of training shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from train import losses
from train.models import GazeModel, Outputs

Scalars = dict[str, Tensor]
"""Detached numbers to log."""

TensorBatch = Mapping[str, Tensor]
"""Batch of ``train.data.samples``, and with CLIP ``image_features`` and ``text_features``."""

SIGMA_WEIGHT = 0.1
"""Of the uncertainty's likelihood, which reaches its own head alone (ours)."""


class Untouched:
    """A batch that Fabric does not see into: it would round labels to bfloat16, by 0.06°."""

    __slots__ = ("batch",)

    def __init__(self, batch: TensorBatch) -> None:
        self.batch = batch


class Method(nn.Module):
    """A gaze model and the loss that trains it.

    ``turns`` names what is optimised in turn in every step: each turn has an optimiser of its own,
    and ``loss(batch, step, turn)`` is called once for each.  ``gather`` joins tensors (B, ...) of
    all processes to (world · B, ...), with gradient; with one process it changes nothing.
    """

    needs_clip: ClassVar[bool] = False
    turns: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(self, model: GazeModel) -> None:
        super().__init__()
        self.model = model
        self.gather: Callable[[Tensor], Tensor] = lambda tensor: tensor

    def loss(self, batch: TensorBatch, step: int, turn: int = 0) -> tuple[Tensor, Scalars]:
        """The loss of a batch, and what to log of it."""
        out = self.model(batch["image"])
        with torch.autocast(batch["gaze"].device.type, enabled=False):
            error = losses.angular_error(out.gaze, batch["gaze"])
            loss, scalars = self.terms(out, error, batch)
            sigma = losses.uncertainty(out.log_sigma, error)
        scalars = {
            **scalars,
            "error_deg": error.detach().mean().rad2deg(),
            "sigma": sigma.detach(),
        }
        return loss + SIGMA_WEIGHT * sigma, scalars

    def terms(self, out: Outputs, error: Tensor, batch: TensorBatch) -> tuple[Tensor, Scalars]:
        """The method's own loss; ``error`` (B,) is the gaze's angle to the truth, in radians."""
        raise NotImplementedError

    def forward(
        self, batch: TensorBatch | Untouched, step: int = 0, turn: int = 0
    ) -> tuple[Tensor, Scalars]:
        """As :meth:`loss`: what DistributedDataParallel calls."""
        return self.loss(batch.batch if isinstance(batch, Untouched) else batch, step, turn)

    def parameters_of(self, turn: int) -> Iterator[nn.Parameter]:
        """What the optimiser of this turn changes."""
        return self.model.parameters()
