"""Times of a training step and its parts, and the random pictures and features they are taken on.

The work of ``python -m train.gaze.step_bench``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from train.data.tables import GazeDataset
from train.factors import FACTORS
from train.gaze.fitting import make_fabric
from train.gaze.methods import make_method
from train.gaze.methods.clip_gaze import CachedImages, ClipTeacher, PersonTexts
from train.gaze.models import SIZE_PX
from train.gaze.recipes import Recipe, find_recipe
from train.gaze.trainer import Trainer, model_for
from train.loop.training_loop import RunOptions

PEOPLE = 64


class RandomCrops:
    """Noise with labels, in memory: a data set for timings and tests."""

    def __init__(self, count: int, *, people: int = 8, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        shape = (count, 3, SIZE_PX, SIZE_PX)
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        self.gaze = 0.3 * torch.randn(count, 2, generator=generator)
        self.person = torch.arange(count) % people
        self.name = "random"
        self.people = tuple(f"p{k}" for k in range(people))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {
            "image": self.images[index],
            "gaze": self.gaze[index],
            "head": torch.full((2,), float("nan")),
            "person": self.person[index],
            "index": torch.tensor(index),
        }

    def labels(self) -> dict[str, Any]:
        """Gaze, person, and heads that nobody knows."""
        return {
            "gaze": self.gaze.numpy().copy(),
            "head": np.full((len(self), 2), np.nan, np.float32),
            "person": self.person.numpy().copy(),
        }

    def identities(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Unknown."""
        return np.full((len(self.people), 100), np.nan, np.float32)

    def signature(self) -> str:
        """Of the labels."""
        return f"{len(self)}-{float(self.gaze.sum()):.6f}"


def random_teacher(
    source: RandomCrops, width: int = 512, factors: int = len(FACTORS)
) -> ClipTeacher:
    """Features of no meaning, by person."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(len(source), width, generator=generator)
    texts = torch.randn(len(source.people), factors, width, generator=generator)
    return ClipTeacher(CachedImages(images), PersonTexts(texts), "random features")


def timed(recipe: Recipe, source: Any, options: RunOptions, steps: int) -> dict[str, float]:
    """Mean seconds of each part of a step, after three steps to warm up."""
    teacher = random_teacher(source, recipe.width)
    fabric = make_fabric(recipe, options)
    recipe = replace(recipe, steps=10_000)
    torch.backends.cudnn.benchmark = True
    model = model_for(recipe)
    method = make_method(model, recipe.method)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            fabric,
            recipe,
            method,
            cast(GazeDataset, source),  # all of it: no subset is asked for
            Path(folder),
            options=options,
            config={},
            card={},
            teacher=teacher if method.needs_clip else None,
        )
    trainer.train_mode()
    spent: dict[str, float] = defaultdict(float)
    mark = _clock(fabric.device)
    model.register_forward_pre_hook(lambda *_: _put(spent, "enter", mark))
    model.register_forward_hook(lambda *_: _put(spent, "forward", mark))
    plain_backward = fabric.backward

    def backward(loss: Tensor) -> None:
        _put(spent, "losses", mark)
        plain_backward(loss)
        _put(spent, "backward", mark)

    fabric.backward = backward  # type: ignore[method-assign,assignment]
    batches = iter(trainer.batches())
    for step in range(steps + 3):
        if step == 3:
            spent.clear()
        mark()
        batch = next(batches)
        _put(spent, "data", mark)
        batch = trainer.to_device(batch)
        _put(spent, "augment", mark)
        trainer.one_step(batch)
        _put(spent, "optimizer", mark)
        trainer.step += 1
    spent["optimizer"] += spent.pop("enter")
    return {name: value / steps for name, value in spent.items()}


def _clock(device: torch.device) -> Callable[[], float]:
    """Seconds since its last call, with the device's work done."""
    last = [time.perf_counter()]

    def since() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        passed, last[0] = now - last[0], now
        return passed

    return since


def _put(spent: dict[str, float], name: str, mark: Callable[[], float]) -> None:
    spent[name] += mark()


def run(args: argparse.Namespace) -> int:
    """Print the table that the command asks for; returns the exit code."""
    source = RandomCrops(max(2 * args.batch, PEOPLE), people=PEOPLE)
    options = RunOptions(
        accelerator=args.accelerator, workers=args.workers, tensorboard=False, progress=False
    )
    parts = ("data", "augment", "forward", "losses", "backward", "optimizer")
    print(f"{'ms per step':16}" + "".join(f"{p:>10}" for p in parts) + "     total  images/s")
    first = 0.0
    for name in args.methods:
        recipe = replace(
            find_recipe(name),
            backbone=args.backbone,
            band=args.band,
            half=args.half,
            batch=args.batch,
            precision=args.precision,
        )
        spent = timed(recipe, source, options, args.steps)
        total = sum(spent.values())
        first = first or total
        row = "".join(f"{1000 * spent[p]:10.1f}" for p in parts)
        print(
            f"{name:16}{row}{1000 * total:10.1f}{args.batch / total:10.1f}"
            f"   {total / first:.2f} x {args.methods[0]}"
        )
    return 0
