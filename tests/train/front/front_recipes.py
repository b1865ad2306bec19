"""Recipes of the front end with a few pictures of noise."""

from __future__ import annotations

import time

import torch

from train.front.detector_recipe import DetectorRecipe
from train.front.landmark_recipe import LandmarkRecipe

NAN = float("nan")


def noise(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """(count, side, side, 3) bytes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=generator)


def detector_recipe(count: int = 6, side: int = 96) -> DetectorRecipe:
    """A face in the middle of each picture but the first."""
    boxes = torch.full((count, 8, 4), NAN)
    points = torch.full((count, 8, 5, 2), NAN)
    boxes[1:, 0] = torch.tensor([28.0, 24.0, 60.0, 72.0])
    points[1:, 0] = torch.tensor([[36.0, 40], [52, 40], [44, 50], [38, 60], [50, 60]])
    return DetectorRecipe(noise(count, side), boxes, points)


def landmark_recipe(count: int = 6) -> LandmarkRecipe:
    """Points anywhere, and two pictures without a face."""
    generator = torch.Generator().manual_seed(1)
    return LandmarkRecipe(
        noise(count, 192),
        torch.rand(count, 70, 2, generator=generator) - 0.5,
        torch.rand(count, 70, generator=generator) < 0.7,
        torch.rand(count, 2, generator=generator),
        noise(2, 192, seed=2),
        poor_boxes=0.2,
        consistency=0.5,
    )


class Line(torch.nn.Module):
    """The simplest network of a recipe."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(12, 2)
        self.norm = torch.nn.BatchNorm1d(2)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"said": self.norm(self.layer(image.flatten(1)))}


class LineRecipe:
    """Learns a line from noise, in steps that take ``step_s``."""

    name = "line"

    def __init__(self, step_s: float = 0.0, *, weight: float = 1.0, dies_at: int = -1) -> None:
        self.step_s, self.weight, self.dies_at = step_s, weight, dies_at
        self.pictures = noise(40, 2)
        self.steps_done = 0

    def network(self) -> torch.nn.Module:
        return Line()

    def samples(self) -> int:
        return len(self.pictures)

    def settings(self) -> dict[str, float]:
        return {"weight": self.weight}

    def drawn(self, batch: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        pick = torch.randint(len(self.pictures), (batch,), generator=generator)
        return {"image": self.pictures[pick]}

    def augmented(
        self, batch: dict[str, torch.Tensor], generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        image = batch["image"].permute(0, 3, 1, 2).float() / 255
        return {"image": image + 0.1 * torch.randn(image.shape, generator=generator)}

    def losses(
        self, network: torch.nn.Module, batch: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        if self.step_s:
            time.sleep(self.step_s)
        if self.steps_done == self.dies_at:
            raise KeyboardInterrupt
        self.steps_done += 1
        off = network(batch["image"])["said"] - batch["image"].mean((1, 2, 3))[:, None]
        return {"square": self.weight * off.square().mean(), "absolute": off.abs().mean()}
