"""Gaze models from the weights that runs leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.gaze import exported
from train.gaze.models import Architecture, GazeModel, model_of
from train.loop.states import CheckpointError, Tensors, load_weights
from train.loop.weight_cards import EXPORTED, MODEL, read_weights

UNUSABLE = (LookupError, TypeError, ValueError, OverflowError, RuntimeError, AttributeError)
"""What building a model of a damaged architecture raises."""


def load_model(folder: Path | str, name: str = MODEL) -> GazeModel:
    """The gaze model of a run, in evaluation mode; ``name`` may be one of its last epochs.

    Raises :class:`FileNotFoundError` where there is none, :class:`CheckpointError` for a file that
    is damaged or of another architecture than its card says.
    """
    weights, about = read_weights(Path(folder), name)
    path = Path(folder) / f"{name}.safetensors"
    try:
        architecture = architecture_of(about["architecture"])
        _check(architecture, weights)
        model = model_of(architecture)
    except UNUSABLE as error:
        said = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} states no usable architecture ({said}); copy it again, or give the folder of "
            "a run of `python -m train.gaze.fit`"
        ) from None
    if EXPORTED in about:
        try:
            file, sha256 = about[EXPORTED]["file"], about[EXPORTED]["sha256"]
            weights = exported.completed(model, weights, exported.bundled(file), sha256)
        except (exported.ExportedMismatch, *UNUSABLE) as error:
            raise CheckpointError(f"{path}: {error}") from None
    load_weights(model, weights, path)
    return model.eval()


def architecture_of(card: Mapping[str, Any]) -> Architecture:
    """The ``architecture`` of a card; those from before ``signed`` have no such layer.

    Raises one of UNUSABLE for one that is none.
    """
    mean, std = (tuple(float(v) for v in card[name]) for name in ("mean", "std"))
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ValueError(f"mean {mean} and std {std}; expected 3 numbers each, std above 0")
    return Architecture(**{"signed": False, **card, "mean": mean, "std": std})


def _check(architecture: Architecture, weights: Tensors) -> None:
    """Compare what is stated with the weights before a model of any size is made of it."""
    rows, columns = weights["gaze.weight"].shape
    if architecture.width != columns or rows != 2:
        raise ValueError(f"width {architecture.width}, and a last layer of {rows} x {columns}")
