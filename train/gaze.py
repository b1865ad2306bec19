"""First gaze network: ``python -m train.gaze --data SHARDS --cache DIR --out RUN``.

Plain supervised regression on rendered people (the ERM baseline of the method), with the
uncertainty head beside it.  Loss: L1 of (pitch, yaw) plus the Gaussian negative log-likelihood of
the angle between prediction and truth, which reaches the uncertainty head alone.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.crops import prepared
from train.loop import add_loop_arguments, loop_options, train
from train.networks import GazeNetwork

MEAN = (0.45, 0.40, 0.37)
STD = (0.25, 0.24, 0.24)


def normalized(crops: Tensor) -> Tensor:
    """Bytes (N, H, W, 3) RGB to network input (N, 3, H, W) float32."""
    x = crops.permute(0, 3, 1, 2).float().div_(255)
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def vector(pitch_yaw: Tensor) -> Tensor:
    """Unit vectors (N, 3) of angles (N, 2); see the conventions."""
    pitch, yaw = pitch_yaw[:, 0], pitch_yaw[:, 1]
    return torch.stack([-pitch.cos() * yaw.sin(), -pitch.sin(), -pitch.cos() * yaw.cos()], 1)


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle in radians between unit vectors (N, 3); its gradient is finite everywhere."""
    return torch.atan2(torch.linalg.cross(a, b).square().sum(1).add(1e-12).sqrt(), (a * b).sum(1))


def augment(
    crops: Tensor, labels: Tensor, generator: torch.Generator, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Mirror half of them (yaw negates); shift, zoom, tint, hide parts of all by ``strength``."""
    n = len(crops)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(crops.device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(crops.device)

    flip = rand(n) < 0.5
    crops = torch.where(flip.view(-1, 1, 1, 1), crops.flip(2), crops)
    labels = torch.stack([labels[:, 0], torch.where(flip, -labels[:, 1], labels[:, 1])], 1)
    x = normalized(crops)
    # Small errors of place, size and roll, beyond those that the crops were cut with.
    angle, zoom = 0.03 * strength * normal(n), torch.exp(0.05 * strength * normal(n))
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    aspect = x.shape[3] / x.shape[2]
    shift = strength * normal(n, 2) * torch.tensor([0.03, 0.05], device=x.device)
    theta = torch.stack(
        [
            torch.stack([cos, -sin / aspect, shift[:, 0]], 1),
            torch.stack([sin * aspect, cos, shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, align_corners=False, padding_mode="border")
    x = (
        x * torch.exp(0.25 * strength * normal(n, 1, 1, 1))
        + 0.3 * normal(n, 1, 1, 1)
        + 0.15 * normal(n, 3, 1, 1)
    )
    x = x + 0.12 * strength * rand(n, 1, 1, 1) * normal(*x.shape)
    for _ in range(2):  # bars and patches hide something in a third of the crops
        hidden = rand(n, 1, 1, 1) < 0.18 * strength
        left, width = rand(n, 1, 1, 1) * 224, 10 + rand(n, 1, 1, 1) * 60
        top, height = rand(n, 1, 1, 1) * 96, 10 + rand(n, 1, 1, 1) * 90
        column = torch.arange(224, device=x.device).view(1, 1, 1, -1)
        row = torch.arange(96, device=x.device).view(1, 1, -1, 1)
        inside = (column >= left) & (column < left + width) & (row >= top) & (row < top + height)
        x = torch.where(inside & hidden, normal(n, 3, 1, 1), x)
    return x.contiguous(memory_format=torch.channels_last), labels


def losses(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Named losses of a batch (images, labels)."""
    images, labels = batch
    out = model(images)
    predicted = out["pitch_yaw"].float()
    error = angle(vector(predicted.detach()), vector(labels))
    log_sigma = out["log_sigma"].float().clamp(-6, 1)
    likelihood = 0.5 * (error / log_sigma.exp()).square() + log_sigma
    return {"l1": (predicted - labels).abs().mean() * 2, "sigma": 0.1 * likelihood.mean()}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m train.gaze", description=__doc__)
    add_loop_arguments(parser, steps=6000, batch=128)
    parser.add_argument("--augment", type=float, default=1.0, help="strength of augmentation")
    args = parser.parse_args()
    arrays = prepared("gaze", args.data, args.cache, workers=args.threads)
    crops, labels = torch.from_numpy(arrays["crops"]), torch.from_numpy(arrays["labels"])
    print(f"{len(crops)} crops")

    def batch_of(generator: torch.Generator) -> tuple[Tensor, ...]:
        pick = torch.randint(len(crops), (args.batch,), generator=generator)
        return augment(crops[pick], labels[pick], generator, args.augment)

    train(GazeNetwork(), batch_of, losses, loop_options(args))


if __name__ == "__main__":
    main()
