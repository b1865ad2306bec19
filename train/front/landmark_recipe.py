"""What trains the landmark network.

Points by wing loss (Feng et al., CVPR 2018), openness by L1, each point's visibility by
cross-entropy, presence by cross-entropy against places, things, faces taken apart and crops that
miss their face.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipgaze_sdk.geometry.face_model import MIRRORED_POINTS
from train.front.crops import LANDMARK_STORE_PX, prepared
from train.front.networks import LANDMARKS, LandmarkNetwork
from train.front.pixels import normalized
from train.front.training import Losses
from train.loop.training_loop import Batch

SIZE = 128
MIRRORED = torch.from_numpy(MIRRORED_POINTS.copy())
LABELS = ("points", "visible", "openness")


@dataclass(frozen=True, slots=True)
class LandmarkRecipe:
    """Crops (N, 192, 192, 3) uint8 with points, visibility and openness, and crops of no face.

    ``poor_boxes`` is the share of badly placed crops, ``consistency`` the weight of agreeing with
    mirrored pictures.
    """

    name: ClassVar[str] = "face_landmarks"

    crops: Tensor
    points: Tensor
    visible: Tensor
    openness: Tensor
    empty: Tensor
    poor_boxes: float = 0.0
    consistency: float = 0.0

    @classmethod
    def of(cls, args: argparse.Namespace) -> LandmarkRecipe:
        """Crops of the command's --data, made where --cache has them not."""
        arrays = prepared("landmarks", args.data, args.cache, workers=args.threads)
        crops, points, visible, openness, empty = (
            torch.from_numpy(arrays[k]) for k in ("crops", *LABELS, "empty")
        )
        recipe = cls(crops, points, visible, openness, empty, args.poor_boxes, args.consistency)
        count, none = len(recipe.crops), len(recipe.empty)
        print(f"{count} crops of {LANDMARK_STORE_PX} px, {none} without a face")
        return recipe

    def network(self) -> nn.Module:
        """With random weights."""
        return LandmarkNetwork()

    def samples(self) -> int:
        """Crops, those without a face included."""
        return len(self.crops) + len(self.empty)

    def settings(self) -> dict[str, Any]:
        """Both options."""
        return {"poor_boxes": self.poor_boxes, "consistency": self.consistency}

    def drawn(self, batch: int, generator: torch.Generator) -> Batch:
        """Crops at random, a fifth of them without a face."""
        none = batch // 5
        pick = torch.randint(len(self.crops), (batch - none,), generator=generator)
        other = torch.randint(len(self.empty), (none,), generator=generator)
        pick, other = (p.to(self.crops.device, non_blocking=True) for p in (pick, other))
        found = {"image": torch.cat([self.crops[pick], self.empty[other]])}
        for key in LABELS:
            values = getattr(self, key)
            found[key] = torch.cat([values[pick], values.new_zeros(none, *values.shape[1:])])
        return found | {"present": torch.arange(batch) < batch - none}

    def augmented(self, batch: Batch, generator: torch.Generator) -> Batch:
        """See :func:`augment`."""
        return augment(batch, generator, poor_boxes=self.poor_boxes)

    def losses(self, network: nn.Module, batch: Batch) -> Losses:
        """See :func:`losses`."""
        return losses(network, batch, self.consistency)


def wing(error: Tensor, width: float = 0.10, curve: float = 0.02) -> Tensor:
    """Wing loss of an absolute error: logarithmic near zero, linear beyond ``width``."""
    constant = width - width * math.log(1 + width / curve)
    inner = width * torch.log(1 + error / curve)
    return torch.where(error < width, inner, error - constant)


def augment(batch: Batch, generator: torch.Generator, *, poor_boxes: float = 0.0) -> Batch:
    """Mirror, turn, scale and shift; ``present`` gets to know which crops miss their face.

    A share of ``poor_boxes`` is cut out as after a box that hardly holds the face, which is what a
    detector gives of heads turned far: the first look is to find the way back.
    """
    crops, points, visible = (batch[k] for k in ("image", "points", "visible"))
    n, device = len(crops), crops.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, non_blocking=True)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(device, non_blocking=True)

    flip = rand(n) < 0.5
    crops = torch.where(flip.view(-1, 1, 1, 1), crops.flip(2), crops)
    points = torch.where(flip.view(-1, 1, 1), mirrored_points(points), points)
    visible = torch.where(
        flip.view(-1, 1), visible[:, MIRRORED.to(device, non_blocking=True)], visible
    )
    openness = torch.where(flip.view(-1, 1), batch["openness"].flip(1), batch["openness"])
    # store_from_crop: the crop covers 1 / 1.5 of what is stored.
    angle = 0.16 * normal(n)
    scale = torch.exp(0.11 * normal(n)) / 1.5
    shift = 0.045 * normal(n, 2)
    if poor_boxes:
        poor = rand(n) < poor_boxes
        scale = torch.where(poor, torch.exp(0.2 * normal(n)) / 1.5, scale)
        shift = torch.where(poor.view(-1, 1), 0.15 * normal(n, 2), shift)
    # No face: crops beside the face, as a lost track gives, and crops of a part of it.
    chance = rand(n)
    beside, part = chance < 0.07, chance > 0.90
    direction = F.normalize(normal(n, 2), dim=1)
    shift = torch.where(beside.view(-1, 1), direction * (0.75 + 0.3 * rand(n, 1)), shift)
    scale = torch.where(part, scale * (0.2 + 0.3 * rand(n)), scale)
    shift = torch.where(part.view(-1, 1), direction * 0.35 * rand(n, 1), shift)
    cos, sin = torch.cos(angle), torch.sin(angle)
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    theta = torch.cat([turn * scale.view(-1, 1, 1), shift.unsqueeze(2)], 2)
    grid = F.affine_grid(theta, [n, 3, SIZE, SIZE], align_corners=False)
    images = F.grid_sample(normalized(crops), grid, align_corners=False, padding_mode="border")
    # A row times the turn is a column times its inverse.
    points = (points - shift.unsqueeze(1)) @ turn / scale.view(-1, 1, 1)
    images = images * (1 + 0.25 * (2 * rand(n, 1, 1, 1) - 1)) + 0.3 * (2 * rand(n, 3, 1, 1) - 1)
    return {
        "image": images.contiguous(memory_format=torch.channels_last),
        "points": points,
        "visible": visible,
        "openness": openness,
        "present": batch["present"] & ~beside & ~part,
    }


def mirrored_points(points: Tensor) -> Tensor:
    """(N, 70, 2) of the mirrored pictures, in [-1, 1]."""
    x, y = points[:, MIRRORED.to(points.device, non_blocking=True)].unbind(-1)
    return torch.stack([-x, y], -1)


def losses(network: nn.Module, batch: Batch, consistency: float = 0.0) -> Losses:
    """Named losses of what :func:`augment` gives.

    With ``consistency`` the mirrored pictures are looked at as well, and how far their landmarks
    are from the mirrored landmarks counts that much beside how far these are from the truth.
    """
    images, points = batch["image"], batch["points"]
    out = network(images)
    error = (out["points"].float() - points).abs()
    weight = torch.ones(LANDMARKS, device=points.device)
    weight[27:48] = 2.0  # nose and eyes carry the head pose and the eye band
    weight[68:] = 3.0
    seen = batch["present"].float()
    count = seen.sum().clamp(min=1)
    point_loss = (wing(error).sum(2) * weight).mean(1)
    eyes = (out["openness"].float() - batch["openness"]).abs().mean(1)
    presence = out["presence"].float().clamp(1e-5, 1 - 1e-5)
    shown = out["visibility"].float().clamp(1e-5, 1 - 1e-5)
    with torch.autocast(images.device.type, enabled=False):
        presence_loss = F.binary_cross_entropy(presence, seen)
        visible = batch["visible"].float()
        hidden_loss = F.binary_cross_entropy(shown, visible, reduction="none").mean(1)
    apart = {}
    if consistency:
        back = mirrored_points(network(images.flip(3))["points"].float())
        off = (wing((out["points"].float() - back).abs()).sum(2) * weight).mean(1)
        apart["mirror"] = consistency * 5 * (off * seen).sum() / count
    return apart | {
        "points": 5 * (point_loss * seen).sum() / count,
        "openness": (eyes * seen).sum() / count,
        "visibility": 0.2 * (hidden_loss * seen).sum() / count,
        "presence": presence_loss,
    }
