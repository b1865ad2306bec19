"""What teaches a network where lids and irises are: points, heat, openness, classes of pixels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.gaze.eye_backbone import STRIDE, WIDE, EyeSigns
from train.gaze.sheets import EYE_PX, LIDS, POINTS

POINT_UNIT_PX = 4.0
"""Errors of points count as squares up to this, and as distances beyond (Huber)."""
POINT_WEIGHT, HEAT_WEIGHT, OPENNESS_WEIGHT = 0.5, 0.15, 0.3
"""Within the loss (ours)."""
HEAT_SIGMA_PX = 3.0
"""Of the Gaussian that a heat map is to be; below a cell of STRIDE it would be one cell."""
MARGIN_PX = 4.0
"""Points farther outside of the patch are not asked for."""
CLASSES = 5
"""0 nothing of these, 1 skin, 2 sclera, 3 iris, 4 pupil; glasses and what hides count as 0."""


class EyeSignsLoss(nn.Module):
    """Loss of what ``eyes`` says of lids and irises; the layer that names pixels is not kept.

    ``segmentation`` is the weight of the classes' cross-entropy; 0 leaves that layer out.
    """

    def __init__(self, segmentation: float = 0.0) -> None:
        super().__init__()
        self.segmentation = segmentation
        # Every cell says all of its pixels' classes.
        self.classes = nn.Conv2d(WIDE, CLASSES * STRIDE**2, 1) if segmentation else None

    def forward(
        self, signs: EyeSigns | None, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and what to log; labels that are not known, or not in the patch, count nothing.

        ``batch`` is what ``train.gaze.sheet_augment`` makes.
        """
        assert signs is not None
        truth = batch["eye_points"]
        inside = inside_patch(truth)
        truth = truth.nan_to_num()
        off = F.smooth_l1_loss(
            signs.points / POINT_UNIT_PX, truth / POINT_UNIT_PX, reduction="none"
        ).sum(-1)
        loss = POINT_WEIGHT * mean_of(off, inside) + HEAT_WEIGHT * self._heat(signs, truth, inside)
        openness = batch["openness"]
        shut = (signs.openness - openness.nan_to_num()).abs()
        loss = loss + OPENNESS_WEIGHT * mean_of(shut, openness.isfinite())
        with torch.no_grad():
            far = (signs.points - truth).norm(dim=-1)
            iris = mean_of(far[:, :, LIDS], inside[:, :, LIDS])
            lids = mean_of(far[:, :, :LIDS], inside[:, :, :LIDS])
        said = {"landmarks": loss.detach(), "iris_px": iris, "lids_px": lids}
        if self.classes is not None:
            named = self._named(signs, batch)
            loss = loss + self.segmentation * named
            said["segmentation"] = named.detach()
        return loss, said

    @staticmethod
    def _heat(signs: EyeSigns, truth: Tensor, inside: Tensor) -> Tensor:
        """Cross-entropy of the heat with a Gaussian about the true place."""
        height, width = signs.maps.shape[-2:]
        device = truth.device
        middle = (STRIDE - 1) / 2
        rows = torch.arange(height, device=device) * STRIDE + middle
        columns = torch.arange(width, device=device) * STRIDE + middle
        x = (columns - truth[..., 0, None]).square()[..., None, :]
        y = (rows - truth[..., 1, None]).square()[..., :, None]
        wanted = torch.softmax(-(x + y).flatten(-2) / (2 * HEAT_SIGMA_PX**2), -1)
        each = -(wanted * signs.maps.flatten(-2).log_softmax(-1)).sum(-1)
        return mean_of(each, inside)

    def _named(self, signs: EyeSigns, batch: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of the pixels' classes, of those that are known (not -1)."""
        assert self.classes is not None
        if "eye_classes" not in batch:
            return signs.maps.sum() * 0.0
        wide = signs.wide.flatten(0, 1).float()  # whatever the precision before
        logits = F.pixel_shuffle(self.classes(wide), STRIDE)
        wanted = batch["eye_classes"].flatten(0, 1)
        wanted = torch.where(wanted >= CLASSES, 0, wanted)
        known = wanted >= 0
        each = F.cross_entropy(logits, wanted.clamp(min=0), reduction="none")
        return mean_of(each, known)


def inside_patch(points: Tensor) -> Tensor:
    """(B, 2, POINTS) which points (B, 2, POINTS, 2) are known and in the patch, or nearly."""
    limit = torch.tensor([EYE_PX[1] - 1.0, EYE_PX[0] - 1.0]) + MARGIN_PX
    limit = limit.to(points.device, non_blocking=True)
    assert points.shape[-2] == POINTS
    return ((points > -MARGIN_PX) & (points < limit)).all(-1)  # of NaN: no


def mean_of(values: Tensor, counts: Tensor) -> Tensor:
    """The mean of what counts; 0 where nothing does."""
    return (values * counts).sum() / counts.sum().clamp(min=1)
