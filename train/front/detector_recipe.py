"""What trains the face detector.

Anchor-free, as FCOS (Tian et al., ICCV 2019): cells near a face's centre on the stride that fits
its size predict a score, the box's sides and five points.  Scores by focal loss (Lin et al., ICCV
2017), boxes by GIoU (Rezatofighi et al., CVPR 2019), points by smooth L1 in units of the box.
All shapes are known beforehand, so that a GPU is never waited for.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.front.crops import prepared
from train.front.networks import STRIDES, DetectorNetwork
from train.front.pixels import normalized
from train.front.training import Losses
from train.loop.training_loop import Batch

LABELS = ("boxes", "points")
RANGES = ((0.0, 52.0), (40.0, 116.0), (90.0, 1e9))
"""Longer sides (pixels) of the boxes that each stride answers for; they overlap."""


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """Frames (N, S, S, 3) uint8, boxes (N, K, 4) and points (N, K, 5, 2), NaN beyond the last."""

    name: ClassVar[str] = "face_detector"

    frames: Tensor
    boxes: Tensor
    points: Tensor

    @classmethod
    def of(cls, args: argparse.Namespace) -> DetectorRecipe:
        """Frames of the command's --data, made where --cache has them not."""
        arrays = prepared("detector", args.data, args.cache, workers=args.threads)
        frames, boxes, points = (torch.from_numpy(arrays[k]) for k in ("frames", *LABELS))
        recipe = cls(frames, boxes, points)
        print(f"{len(recipe.frames)} frames")
        return recipe

    def network(self) -> nn.Module:
        """With random weights."""
        return DetectorNetwork()

    def samples(self) -> int:
        """Frames."""
        return len(self.frames)

    def settings(self) -> dict[str, Any]:
        """None."""
        return {}

    def drawn(self, batch: int, generator: torch.Generator) -> Batch:
        """Frames at random."""
        pick = torch.randint(len(self.frames), (batch,), generator=generator)
        pick = pick.to(self.frames.device, non_blocking=True)
        return {"image": self.frames[pick], "boxes": self.boxes[pick], "points": self.points[pick]}

    def augmented(self, batch: Batch, generator: torch.Generator) -> Batch:
        """See :func:`augment`."""
        return augment(batch, generator)

    def losses(self, network: nn.Module, batch: Batch) -> Losses:
        """See :func:`losses`."""
        return losses(network, batch)


def anchors(
    height: int, width: int, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor]:
    """Cell centres (A, 2) in pixels and strides (A,), in the order of ``decode_detections``."""
    centers, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(
            torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
        )
        centers.append(torch.stack([x, y], -1).reshape(-1, 2).float() * stride + stride / 2 - 0.5)
        strides.append(torch.full((rows * columns,), float(stride), device=device))
    return torch.cat(centers), torch.cat(strides)


def ranges(strides: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest of the longer sides (A,) that cells of ``strides`` (A,) answer for."""
    low, high = torch.zeros_like(strides), torch.zeros_like(strides)
    for stride, (least, largest) in zip(STRIDES, RANGES, strict=True):
        low = low.where(strides != stride, least)
        high = high.where(strides != stride, largest)
    return low, high


def assign(boxes: Tensor, centers: Tensor, strides: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which face each cell answers for.

    ``boxes`` (B, K, 4) with NaN where there is none.  Returns the face's number (B, A), whether the
    cell is positive (B, A), and whether it is to be left out of the score's loss (B, A): cells
    around the centre, on the strides next to the one that answers.  Further out a cell is
    background, or eyes and mouths would be found as faces.
    """
    low, high = ranges(strides)
    there = ~boxes[..., 0].isnan()
    boxes = boxes.nan_to_num(-1e4)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    size = boxes[..., 2:] - boxes[..., :2]
    longer = size.amax(-1)
    offset = (centers[None, :, None] - middle[:, None]).abs()  # (B, A, K, 2)
    reach = torch.maximum(0.14 * size[:, None], 0.55 * strides[None, :, None, None])
    near = (offset <= reach).all(-1) & there[:, None]
    fits = (longer[:, None] >= low[None, :, None]) & (longer[:, None] < high[None, :, None])
    positive = near & fits
    distance = (offset.square().sum(-1)).masked_fill(~positive, 1e9)
    face = distance.argmin(-1)
    close = (longer[:, None] >= 0.5 * low[None, :, None]) & (
        longer[:, None] < 2 * high[None, :, None]
    )
    middle_part = torch.maximum(0.17 * size[:, None], 0.8 * strides[None, :, None, None])
    inside = ((offset <= middle_part).all(-1) & there[:, None] & close).any(-1)
    chosen = positive.any(-1)
    return face, chosen, inside & ~chosen


def losses(network: nn.Module, batch: Batch) -> Losses:
    """Score, box and points; boxes and points are of the positive cells' mean, 0 without any."""
    images, boxes, points = batch["image"], batch["boxes"], batch["points"]
    raw = network.raw(images).float()  # type: ignore[operator]
    centers, strides = anchors(images.shape[2], images.shape[3], images.device)
    face, positive, ignored = assign(boxes, centers, strides)
    logits = raw[..., 0]
    probability = logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
    focal = cross * torch.where(positive, 0.5 * (1 - probability) ** 2, 0.5 * probability**2)
    count = positive.sum().clamp(min=1)

    def of_face(values: Tensor) -> Tensor:
        """(B, K, N) of each cell's face, (B, A, N)."""
        return values.gather(1, face[..., None].expand(-1, -1, values.shape[-1]))

    stride, chosen = strides[:, None], positive[..., None]
    sides = torch.exp(raw[..., 1:5].clamp(-6, 5)) * stride
    predicted = torch.cat([centers - sides[..., :2], centers + sides[..., 2:]], -1)
    # Cells without a face get some box, which keeps their gradient finite; it counts nothing.
    anybox = torch.cat([centers - stride, centers + stride], -1)
    wanted = torch.where(chosen, of_face(boxes.nan_to_num()), anybox)
    size = (wanted[..., 2:] - wanted[..., :2]).amax(-1)
    at = raw[..., 5:] * stride + centers.repeat(1, 5)
    off = (at - of_face(points.flatten(2).nan_to_num())) / size[..., None]
    slip = F.smooth_l1_loss(off, torch.zeros_like(off), beta=0.05, reduction="none").mean(-1)
    return {
        "score": (focal * (~ignored)).sum() / count,
        "box": ((1 - giou(predicted, wanted)) * positive).sum() / count,
        "points": 4 * (slip * positive).sum() / count,
    }


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised intersection over union of boxes (..., 4)."""

    def area(x: Tensor) -> Tensor:
        width, height = (x[..., 2:] - x[..., :2]).clamp(min=0).unbind(-1)
        return width * height  # prod() would wait for the device in its gradient

    def joined(low: Tensor, high: Tensor) -> Tensor:
        return torch.cat([low, high], -1)

    low, high = (a[..., :2], b[..., :2]), (a[..., 2:], b[..., 2:])
    common = area(joined(torch.maximum(*low), torch.minimum(*high)))
    hull = area(joined(torch.minimum(*low), torch.maximum(*high)))
    union = area(a) + area(b) - common
    return common / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def augment(batch: Batch, generator: torch.Generator) -> Batch:
    """Mirror half of the frames; vary brightness and contrast."""
    frames, boxes, points = batch["image"], batch["boxes"], batch["points"]
    n, width, device = len(frames), frames.shape[2], frames.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(device, non_blocking=True)

    flip = rand(n) < 0.5
    frames = torch.where(flip.view(-1, 1, 1, 1), frames.flip(2), frames)
    turned = torch.stack(
        [width - 1 - boxes[..., 2], boxes[..., 1], width - 1 - boxes[..., 0], boxes[..., 3]], -1
    )
    boxes = torch.where(flip.view(-1, 1, 1), turned, boxes)
    right, left, nose, *mouth = points.unbind(2)
    swapped = torch.stack([left, right, nose, *reversed(mouth)], 2)
    swapped = torch.stack([width - 1 - swapped[..., 0], swapped[..., 1]], -1)
    points = torch.where(flip.view(-1, 1, 1, 1), swapped, points)
    x = normalized(frames)
    x = x * (1 + 0.3 * (2 * rand(n, 1, 1, 1) - 1))
    x = x + 0.3 * (2 * rand(n, 3, 1, 1) - 1)
    image = x.contiguous(memory_format=torch.channels_last)
    return {"image": image, "boxes": boxes, "points": points}
