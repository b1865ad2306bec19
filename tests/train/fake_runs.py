"""Finished runs of train.gaze.fit that nothing was trained for, and data of dots, for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from train.ablation.dots import write_dots
from train.data.registry import open_dataset
from train.data.samples import GazeDataset
from train.gaze.models import GazeModel
from train.gaze.recipes import find_recipe
from train.loop.weight_cards import write_weights

WIDTH = 16


def dots(folder: Path, people: int = 6, pictures: int = 4, seed: int = 5) -> GazeDataset:
    """A few crops of dots."""
    write_dots(folder, people=people, pictures=pictures, seed=seed)
    return open_dataset(f"rendered:{folder}", strict=True)


def fake_run(
    folder: Path,
    *,
    seed: int = 0,
    epochs: int = 0,
    method: str = "clip_gaze",
    separator: bool = True,
    half: bool = False,
    backbone: str = "small",
    signed: bool = True,
    width: int = WIDTH,
) -> Path:
    """A run with random weights and, of its last epochs, slightly other ones."""
    torch.manual_seed(seed)
    band = backbone != "eyes"
    model = GazeModel(backbone, width, band=band, half=half, separator=separator, signed=signed)
    recipe = find_recipe(method).to_dict() | {"seed": seed}
    card = {
        **model.card(),
        "recipe": recipe,
        "seed": seed,
        "clip": None,
        "trained_on": {"name": "rendered", "signature": "elsewhere"},
        "metrics": {"steps": 7.0},
    }
    folder.mkdir(parents=True)
    write_weights(folder, "model", model.state_dict(), card)
    for epoch in range(epochs):
        with torch.no_grad():
            model.gaze.bias += 0.05
        write_weights(folder, f"epoch-{epoch + 1:03d}", model.state_dict(), card)
    return folder
