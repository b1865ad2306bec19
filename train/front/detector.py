"""First face detector: ``python -m train.front.detector --data SHARDS --cache DIR --out RUN``.

Anchor-free, as FCOS (Tian et al., ICCV 2019): cells near a face's centre on the stride that fits
its size predict a score, the box's sides and five points.  Scores by focal loss (Lin et al., ICCV
2017), boxes by GIoU (Rezatofighi et al., CVPR 2019), points by smooth L1 in units of the box.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.front.crops import prepared
from train.front.networks import STRIDES, DetectorNetwork
from train.front.pixels import normalized
from train.loop.simple import add_loop_arguments, loop_options, train

RANGES = ((0.0, 52.0), (40.0, 116.0), (90.0, 1e9))
"""Longer sides (pixels) of the boxes that each stride answers for; they overlap."""


def anchors(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Cell centres (A, 2) in pixels and strides (A,), in the order of ``decode_detections``."""
    centers, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centers.append(torch.stack([x, y], -1).reshape(-1, 2).float() * stride + stride / 2 - 0.5)
        strides.append(torch.full((rows * columns,), float(stride)))
    return torch.cat(centers), torch.cat(strides)


def assign(boxes: Tensor, centers: Tensor, strides: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which face each cell answers for.

    ``boxes`` (B, K, 4) with NaN where there is none.  Returns the face's number (B, A), whether the
    cell is positive (B, A), and whether it is to be left out of the score's loss (B, A): cells
    around the centre, on the strides next to the one that answers.  Further out a cell is
    background, or eyes and mouths would be found as faces.
    """
    low = torch.tensor([r[0] for r in RANGES])[(strides.log2() - 3).long()]
    high = torch.tensor([r[1] for r in RANGES])[(strides.log2() - 3).long()]
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


def losses(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Named losses of a batch (images, boxes, points)."""
    images, boxes, points = batch
    raw = model.raw(images).float()  # type: ignore[operator]
    centers, strides = anchors(images.shape[2], images.shape[3])
    face, positive, ignored = assign(boxes, centers, strides)
    logits = raw[..., 0]
    probability = logits.sigmoid()
    target = positive.float()
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = cross * torch.where(positive, 0.5 * (1 - probability) ** 2, 0.5 * probability**2)
    count = positive.sum().clamp(min=1)
    b, a = positive.nonzero(as_tuple=True)
    wanted = boxes[b, face[b, a]]
    stride = strides[a].unsqueeze(1)
    sides = torch.exp(raw[b, a, 1:5].clamp(-6, 5)) * stride
    predicted = torch.cat([centers[a] - sides[:, :2], centers[a] + sides[:, 2:]], 1)
    size = (wanted[:, 2:] - wanted[:, :2]).amax(1)
    marks = points[b, face[b, a]].reshape(-1, 10)
    at = raw[b, a, 5:] * stride + centers[a].repeat(1, 5)
    return {
        "score": (focal * (~ignored)).sum() / count,
        "box": (1 - giou(predicted, wanted)).mean(),
        "points": 4
        * F.smooth_l1_loss((at - marks) / size[:, None], torch.zeros_like(at), beta=0.05),
    }


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised intersection over union of boxes (N, 4)."""

    def area(x: Tensor) -> Tensor:
        return (x[:, 2:] - x[:, :2]).clamp(min=0).prod(1)

    common = area(
        torch.cat([torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])], 1)
    )
    hull = area(
        torch.cat([torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])], 1)
    )
    union = area(a) + area(b) - common
    return common / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def augment(
    frames: Tensor, boxes: Tensor, points: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror half of the frames; vary brightness and contrast."""
    n, width = len(frames), frames.shape[2]
    flip = torch.rand(n, generator=generator) < 0.5
    frames = torch.where(flip.view(-1, 1, 1, 1), frames.flip(2), frames)
    turned = torch.stack(
        [width - 1 - boxes[..., 2], boxes[..., 1], width - 1 - boxes[..., 0], boxes[..., 3]], -1
    )
    boxes = torch.where(flip.view(-1, 1, 1), turned, boxes)
    swapped = points[:, :, [1, 0, 2, 4, 3]]
    swapped = torch.stack([width - 1 - swapped[..., 0], swapped[..., 1]], -1)
    points = torch.where(flip.view(-1, 1, 1, 1), swapped, points)
    x = normalized(frames)
    x = x * (1 + 0.3 * (2 * torch.rand(n, 1, 1, 1, generator=generator) - 1))
    x = x + 0.3 * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1)
    return x.contiguous(memory_format=torch.channels_last), boxes, points


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m train.front.detector", description=__doc__)
    add_loop_arguments(parser, steps=6000, batch=32)
    args = parser.parse_args()
    arrays = prepared("detector", args.data, args.cache, workers=args.threads)
    frames, boxes, points = (torch.from_numpy(arrays[k]) for k in ("frames", "boxes", "points"))
    print(f"{len(frames)} frames")

    def batch_of(generator: torch.Generator) -> tuple[Tensor, ...]:
        pick = torch.randint(len(frames), (args.batch,), generator=generator)
        return augment(frames[pick], boxes[pick], points[pick], generator)

    train(DetectorNetwork(), batch_of, losses, loop_options(args))


if __name__ == "__main__":
    main()
