"""First landmark network: ``python -m train.front.landmarks --data SHARDS --cache DIR --out RUN``.

Points by wing loss (Feng et al., CVPR 2018), openness by L1, each point's visibility by
cross-entropy, presence by cross-entropy against places, things, faces taken apart and crops that
miss their face.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipgaze_sdk.geometry.face_model import MIRRORED_POINTS
from train.front.crops import LANDMARK_STORE_PX, prepared
from train.front.networks import LandmarkNetwork
from train.front.pixels import normalized
from train.loop.simple import add_loop_arguments, loop_options, train

SIZE = 128
MIRRORED = torch.from_numpy(MIRRORED_POINTS.copy())


def wing(error: Tensor, width: float = 0.10, curve: float = 0.02) -> Tensor:
    """Wing loss of an absolute error: logarithmic near zero, linear beyond ``width``."""
    constant = width - width * float(np.log(1 + width / curve))
    inner = width * torch.log(1 + error / curve)
    return torch.where(error < width, inner, error - constant)


def augment(
    crops: Tensor,
    points: Tensor,
    visible: Tensor,
    openness: Tensor,
    generator: torch.Generator,
    *,
    poor_boxes: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Mirror, turn, scale and shift; returns images, points, visible, openness and face or not.

    A share of ``poor_boxes`` is cut out as after a box that hardly holds the face, which is what a
    detector gives of heads turned far: the first look is to find the way back.
    """
    n = len(crops)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(crops.device)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(crops.device)

    flip = rand(n) < 0.5
    crops = torch.where(flip.view(-1, 1, 1, 1), crops.flip(2), crops)
    points = torch.where(flip.view(-1, 1, 1), mirrored_points(points), points)
    visible = torch.where(flip.view(-1, 1), visible[:, MIRRORED], visible)
    openness = torch.where(flip.view(-1, 1), openness.flip(1), openness)
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
    missed = beside | part
    direction = F.normalize(normal(n, 2), dim=1)
    shift = torch.where(beside.view(-1, 1), direction * (0.75 + 0.3 * rand(n, 1)), shift)
    scale = torch.where(part, scale * (0.2 + 0.3 * rand(n)), scale)
    shift = torch.where(part.view(-1, 1), direction * 0.35 * rand(n, 1), shift)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    linear = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    theta = torch.cat([linear, shift.unsqueeze(2)], 2)
    grid = F.affine_grid(theta, [n, 3, SIZE, SIZE], align_corners=False)
    images = F.grid_sample(normalized(crops), grid, align_corners=False, padding_mode="border")
    points = torch.linalg.solve(linear, (points - shift.unsqueeze(1)).transpose(1, 2)).transpose(
        1, 2
    )
    images = images * (1 + 0.25 * (2 * rand(n, 1, 1, 1) - 1)) + 0.3 * (2 * rand(n, 3, 1, 1) - 1)
    return images, points, visible, openness, ~missed


def mirrored_points(points: Tensor) -> Tensor:
    """(N, 70, 2) of the mirrored pictures, in [-1, 1]."""
    return points[:, MIRRORED] * torch.tensor([-1.0, 1.0], device=points.device)


def losses(
    model: nn.Module, batch: tuple[Tensor, ...], consistency: float = 0.0
) -> dict[str, Tensor]:
    """Named losses of a batch (images, points, visible, openness, present).

    With ``consistency`` the mirrored pictures are looked at as well, and how far their landmarks
    are from the mirrored landmarks counts that much beside how far these are from the truth.
    """
    images, points, visible, openness, present = batch
    out = model(images)
    error = (out["points"].float() - points).abs()
    weight = torch.ones(70, device=points.device)
    weight[27:48] = 2.0  # nose and eyes carry the head pose and the eye band
    weight[68:] = 3.0
    seen = present.float()
    count = seen.sum().clamp(min=1)
    point_loss = (wing(error).sum(2) * weight).mean(1)
    eyes = (out["openness"].float() - openness).abs().mean(1)
    presence = out["presence"].float().clamp(1e-5, 1 - 1e-5)
    shown = out["visibility"].float().clamp(1e-5, 1 - 1e-5)
    with torch.autocast(images.device.type, enabled=False):
        presence_loss = F.binary_cross_entropy(presence, seen)
        hidden_loss = F.binary_cross_entropy(shown, visible.float(), reduction="none").mean(1)
    apart = {}
    if consistency:
        back = mirrored_points(model(images.flip(3))["points"].float())
        off = (wing((out["points"].float() - back).abs()).sum(2) * weight).mean(1)
        apart["mirror"] = consistency * 5 * (off * seen).sum() / count
    return apart | {
        "points": 5 * (point_loss * seen).sum() / count,
        "openness": (eyes * seen).sum() / count,
        "visibility": 0.2 * (hidden_loss * seen).sum() / count,
        "presence": presence_loss,
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m train.front.landmarks", description=__doc__)
    add_loop_arguments(parser, steps=5000, batch=128)
    parser.add_argument("--poor-boxes", type=float, default=0.0, help="share of badly placed crops")
    parser.add_argument(
        "--consistency", type=float, default=0.0, help="weight of agreeing with mirrored pictures"
    )
    args = parser.parse_args()
    arrays = prepared("landmarks", args.data, args.cache, workers=args.threads)
    crops, points, visible, openness, empty = (
        torch.from_numpy(arrays[k]) for k in ("crops", "points", "visible", "openness", "empty")
    )
    print(f"{len(crops)} crops of {LANDMARK_STORE_PX} px, {len(empty)} without a face")
    without = args.batch // 5

    def batch_of(generator: torch.Generator) -> tuple[Tensor, ...]:
        pick = torch.randint(len(crops), (args.batch - without,), generator=generator)
        none = torch.randint(len(empty), (without,), generator=generator)
        images, marks, shown, eyes, present = augment(
            torch.cat([crops[pick], empty[none]]),
            torch.cat([points[pick], torch.zeros(without, 70, 2)]),
            torch.cat([visible[pick], torch.zeros(without, 70, dtype=torch.bool)]),
            torch.cat([openness[pick], torch.zeros(without, 2)]),
            generator,
            poor_boxes=args.poor_boxes,
        )
        present[-without:] = False
        images = images.contiguous(memory_format=torch.channels_last)
        return images, marks, shown, eyes, present

    def loss_of(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return losses(model, batch, args.consistency)

    train(LandmarkNetwork(), batch_of, loss_of, loop_options(args))


if __name__ == "__main__":
    main()
