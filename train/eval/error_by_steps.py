"""How the error of a run fell with the images that it saw.

The work of ``python -m train.eval.learning_curve``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.registry import open_dataset
from train.gaze.checkpoints import architecture_of
from train.gaze.held_out import held_out_figures
from train.gaze.models import GazeModel, model_of
from train.loop.states import below, read_tensors

FITTED = 3
"""So many of the last states make the line."""


@dataclass(frozen=True, slots=True)
class Point:
    """The averaged weights of one moment."""

    image_steps: int
    error_deg: float
    """Mean on other people."""


def state_model(path: Path) -> tuple[GazeModel, int]:
    """The averaged model of a state, and how many images it has seen.

    Raises :class:`train.gaze.checkpoints.CheckpointError` for a file that is none.
    """
    tensors, about = read_tensors(path)
    model = model_of(architecture_of(about["architecture"]))
    model.load_state_dict(below(tensors, "average."))
    return model.eval(), int(about["step"]) * int(about["config"]["recipe"]["batch"])


def logged(run: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(image-steps, error in degrees) of a run's log; raises :class:`FileNotFoundError`."""
    batch = json.loads((run / "model.json").read_text())["recipe"]["batch"]
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = np.array([line["step"] for line in lines], np.float64) * batch
    return steps, np.array([line["error_deg"] for line in lines], np.float64)


def slope(points: list[Point]) -> tuple[float, float]:
    """(exponent, factor) of error = factor · image-steps ** exponent through the last points.

    Raises :class:`ValueError` for fewer than two.
    """
    if len(points) < 2:
        raise ValueError(f"{len(points)} state; a line needs at least 2")
    last = sorted(points, key=lambda p: p.image_steps)[-FITTED:]
    x = np.log([p.image_steps for p in last])
    y = np.log([p.error_deg for p in last])
    exponent, constant = np.polyfit(x, y, 1)
    return float(exponent), float(np.exp(constant))


def plot(run: Path, points: list[Point], out: Path) -> None:
    """Both curves over image-steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps, errors = logged(run)
    width = max(1, len(errors) // 60)
    smooth = np.convolve(errors, np.ones(width) / width, "valid")
    figure, axes = pyplot.subplots(figsize=(7, 4))
    axes.plot(steps[width - 1 :] / 1000, smooth, label="its own crops, augmented, while training")
    x = [p.image_steps / 1000 for p in points]
    axes.plot(x, [p.error_deg for p in points], "o-", label="other people, averaged weights")
    axes.set_xlabel("thousand image-steps")
    axes.set_ylabel("mean error of gaze, degrees")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    pyplot.close(figure)


def run(args: argparse.Namespace) -> int:
    """Measure states as the command says, and print the table; returns the exit code."""
    people = open_dataset(args.data)
    points = []
    for path in [*args.state, args.run / "state.safetensors"]:
        model, seen = state_model(path)
        error = held_out_figures(model, people)["held_out_deg"]
        points.append(Point(seen, error))
        print(f"{seen:9d} image-steps  {error:6.2f}°")
    points.sort(key=lambda p: p.image_steps)
    if len(points) > 1:
        exponent, factor = slope(points)
        for more in (2, 4, 10):
            there = points[-1].image_steps * more
            print(f"{more:2d} times as many: {factor * there**exponent:.1f}°, if the line holds")
    if args.out:
        plot(args.run, points, args.out)
    return 0
