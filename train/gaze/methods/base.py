"""What every method of training shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from train.data.samples import EYE_POINTS, SIZE_PX
from train.gaze import losses
from train.gaze.eye_losses import EyeSignsLoss, mean_of
from train.gaze.models import GazeModel, Outputs
from train.gaze.sheets import CENTER_PX
from train.loop.training_loop import Learner, Scalars, Untouched

TensorBatch = Mapping[str, Tensor]
"""Batch of ``train.data.samples``, and with CLIP ``image_features`` and ``text_features``."""

SIGMA_WEIGHT = 0.1
"""Of the uncertainty's likelihood, which reaches its own head alone (ours)."""

POINTS, OPENNESS, HEAD = 2.0, 0.3, 0.5
"""Weights within the loss of landmarks: of points in half widths of the crop, of the eyes' openness
and of the head's angular error in radians (ours)."""


IRISES = 3.0
"""Weight of an iris beside that of another point (ours)."""
MOST_OUTSIDE = 1.1
"""Points farther from the crop's middle, in half widths, are not asked for."""


class Method(Learner):
    """A gaze model and the loss that trains it.

    ``turns`` names what is optimised in turn in every step: each turn has an optimiser of its own,
    and ``loss(batch, step, turn)`` is called once for each.  ``gather`` joins tensors (B, ...) of
    all processes to (world · B, ...), with gradient; with one process it changes nothing.
    """

    needs_clip: ClassVar[bool] = False
    model: GazeModel

    def __init__(self, model: GazeModel) -> None:
        super().__init__(model)
        self.certainty = 0.0
        """How far samples count by the model's own certainty, see :func:`losses.certainty`."""
        self.landmarks_weight = 0.0
        self.anatomy: nn.Module | None = None
        self.eye_signs: EyeSignsLoss | None = None
        self.gather: Callable[[Tensor], Tensor] = lambda tensor: tensor

    def add_landmarks(self, weight: float, segmentation: float = 0.0) -> None:
        """Let f also say where the eyes' landmarks are, how open the eyes are and the head's pose.

        Rendered people have all of these labels, and a network that knows them has what gaze is
        made of.  ``weight`` is that of the loss beside L_g.  The layer that says it is not kept.
        A model with heat maps says it by these, and tells skin, sclera, iris and pupil apart where
        ``segmentation`` has a weight.
        """
        self.landmarks_weight = weight
        if self.model.has_heat:
            self.eye_signs = EyeSignsLoss(segmentation)
            return
        self.anatomy = nn.Linear(self.model.architecture.width, 2 * len(EYE_POINTS) + 4)

    def landmarks_loss(self, f: Tensor, batch: TensorBatch) -> Tensor:
        """Of f (B, width); labels that are not known, or not in the crop, count nothing."""
        assert self.anatomy is not None
        count = len(EYE_POINTS)
        said = self.anatomy(f)
        points = said[:, : 2 * count].unflatten(1, (count, 2))
        truth = (batch["points"] - CENTER_PX) / (SIZE_PX / 2)
        weight = torch.ones(count, device=f.device)
        for iris in (68, 69):
            weight[EYE_POINTS.index(iris)] = IRISES
        inside = (truth.abs().amax(-1) < MOST_OUTSIDE) * weight  # of NaN: no
        openness, head = batch["openness"], batch["head"]
        # Unknown labels become numbers before they meet a gradient: 0 · NaN is NaN.
        off = (points - truth.nan_to_num()).abs().sum(-1)
        shut = (said[:, -4:-2] - openness.nan_to_num()).abs()
        turned = losses.angular_error(said[:, -2:], head.nan_to_num())
        return (
            POINTS * mean_of(off, inside)
            + OPENNESS * mean_of(shut, openness.isfinite())
            + HEAD * mean_of(turned, head.isfinite().all(-1))
        )

    def loss(self, batch: TensorBatch, step: int, turn: int = 0) -> tuple[Tensor, Scalars]:
        """The loss of a batch, and what to log of it."""
        out = self.model.of(batch)
        with torch.autocast(batch["gaze"].device.type, enabled=False):
            error = losses.angular_error(out.gaze, batch["gaze"])
            counted = error * losses.certainty(out.log_sigma, self.certainty)
            loss, scalars = self.terms(out, counted, batch)
            sigma = losses.uncertainty(out.log_sigma, error)
            if self.anatomy is not None:
                anatomy = self.landmarks_loss(out.f, batch)
                loss = loss + self.landmarks_weight * anatomy
                scalars = {**scalars, "landmarks": anatomy.detach()}
            if self.eye_signs is not None:
                signs, said = self.eye_signs(out.eyes, batch)
                loss = loss + self.landmarks_weight * signs
                scalars = {**scalars, **said}
        scalars = {
            **scalars,
            "error_deg": error.detach().mean().rad2deg(),
            "sigma": sigma.detach(),
        }
        return loss + SIGMA_WEIGHT * sigma, scalars

    def terms(self, out: Outputs, error: Tensor, batch: TensorBatch) -> tuple[Tensor, Scalars]:
        """The method's own loss.

        ``error`` (B,) is the gaze's angle to the truth, in radians, times what the sample counts.
        """
        raise NotImplementedError

    def forward(
        self, batch: TensorBatch | Untouched, step: int = 0, turn: int = 0
    ) -> tuple[Tensor, Scalars]:
        """As :meth:`loss`: what DistributedDataParallel calls."""
        return self.loss(batch.batch if isinstance(batch, Untouched) else batch, step, turn)

    def parameters_of(self, turn: int) -> Iterator[nn.Parameter]:
        """What the optimiser of this turn changes."""
        yield from self.model.parameters()
        for beside in (self.anatomy, self.eye_signs):
            if beside is not None:
                yield from beside.parameters()
