"""One run of a front-end network: its recipe on the training loop."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from train.loop.devices import make_fabric, precision_on
from train.loop.from_onnx import load_onnx
from train.loop.states import About, CheckpointError, load_weights
from train.loop.training_loop import (
    Batch,
    FitError,
    Learner,
    LoopOptions,
    RunOptions,
    Scalars,
    TrainingLoop,
    Untouched,
)
from train.loop.weight_cards import MODEL, commit, read_weights, running_command, versions

Losses = dict[str, Tensor]


class FrontRecipe(Protocol):
    """What differs between the networks of the front end."""

    @property
    def name(self) -> str:
        """Of the network that it trains, as in the card of its ONNX file."""
        ...

    def network(self) -> nn.Module:
        """With random weights; takes images and gives a dict."""
        ...

    def samples(self) -> int:
        """How many there are to draw from."""
        ...

    def drawn(self, batch: int, generator: torch.Generator) -> Batch:
        """A batch as it is stored, on the CPU: bytes of ``image`` (B, H, W, 3), and labels."""
        ...

    def augmented(self, batch: Batch, generator: torch.Generator) -> Batch:
        """What the network learns from, on the batch's device."""
        ...

    def losses(self, network: nn.Module, batch: Batch) -> Losses:
        """Named losses whose sum is minimised."""
        ...

    def settings(self) -> dict[str, Any]:
        """Options of its own."""
        ...


def main_of(make: Callable[[], FrontRecipe], args: argparse.Namespace) -> int:
    """Make a recipe and train as the command's arguments say; returns the exit code."""
    torch.set_num_threads(args.threads)
    run = RunOptions(
        accelerator=args.accelerator, workers=args.workers, max_minutes=args.max_minutes
    )
    try:
        options = LoopOptions(
            steps=args.steps,
            batch=args.batch,
            learning_rate=args.learning_rate,
            schedule="one_cycle_momentum",
            optimizer=args.optimizer,
            seed=args.seed,
        )
        metrics = train(make(), args.out, options, run, init=args.init, precision=args.precision)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("  ".join(f"{k} {v:.6g}" for k, v in metrics.items()))
    if not metrics["finished"]:
        print("stopped by --max-minutes; the same command goes on")
    return 0


def train(
    recipe: FrontRecipe,
    out: Path,
    options: LoopOptions,
    run: RunOptions,
    *,
    init: Path | None = None,
    precision: str = "auto",
) -> dict[str, float]:
    """Train from random weights, or from ``init``; goes on where the folder's state is.

    ``precision`` is as :func:`~train.loop.devices.precision_on` takes it.  Returns the metrics, and
    raises :class:`~train.loop.training_loop.FitError` or another :class:`ValueError` for what
    cannot be.
    """
    fabric = make_fabric(run, precision)
    used = {"precision": precision_on(precision, fabric.device.type)}
    torch.manual_seed(options.seed)
    network = recipe.network()
    start = start_from(network, recipe, init, options) if init is not None else None
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FitError(f"{out} cannot be the run's folder ({error}); give another") from None
    config = {
        "network": recipe.name,
        "options": options.to_dict() | recipe.settings() | used,
        "samples": recipe.samples(),
        "init": start,
    }
    card = {
        "architecture": {"network": recipe.name},
        "trained_on": {"samples": recipe.samples()},
        "recipe": config["options"],
        "init_sha256": start,
        "seed": options.seed,
        "commit": commit(),
        "command": running_command(),
        "versions": versions(),
    }
    learner = FrontLearner(network, recipe)
    return FrontTraining(fabric, learner, out, options, run, config, card).run()


def start_from(network: nn.Module, recipe: FrontRecipe, init: Path, options: LoopOptions) -> str:
    """Take the weights of a finished run or of an exported network; returns the file's SHA-256.

    Raises :class:`FileNotFoundError` where there is none, and :class:`CheckpointError` or
    :class:`~train.loop.from_onnx.OnnxMismatch` for another network's.
    """
    if init.suffix == ".onnx":
        generator = step_generator(options.seed, 0)
        seen = recipe.augmented(recipe.drawn(options.batch, generator), generator)
        return load_onnx(network, init, seen["image"])
    weights, about = read_weights(init)
    path = init / f"{MODEL}.safetensors"
    architecture = about["architecture"]
    if architecture.get("network") != recipe.name:
        raise CheckpointError(f"{path} is of {architecture}; expected a run of {recipe.name}")
    load_weights(network, weights, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def step_generator(seed: int, step: int) -> torch.Generator:
    """What is random in a step follows from these, so that a run goes on exactly."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


class FrontLearner(Learner):
    """A network of the front end and its losses."""

    def __init__(self, network: nn.Module, recipe: FrontRecipe) -> None:
        super().__init__(network)
        self.recipe = recipe

    def forward(self, batch: Untouched, step: int, turn: int = 0) -> tuple[Tensor, Scalars]:
        """The sum of the losses, and each of them."""
        losses = self.recipe.losses(self.model, dict(batch.batch))
        total = torch.stack(list(losses.values())).sum()
        return total, {name: value.detach() for name, value in losses.items()}


class FrontTraining(TrainingLoop):
    """Batches drawn with replacement; augmented on the device."""

    learner: FrontLearner

    def __init__(
        self,
        fabric: Fabric,
        learner: FrontLearner,
        out: Path,
        options: LoopOptions,
        run: RunOptions,
        config: About,
        card: About,
    ) -> None:
        super().__init__(fabric, learner, out, options=options, run=run, config=config, card=card)
        self.recipe = learner.recipe

    def batches(self) -> Iterable[Batch]:
        """Bytes and labels."""
        return DataLoader(
            _Draws(self.recipe, self.options),
            sampler=range(self.step, self.steps),
            batch_size=None,
            num_workers=self.run_options.workers,
            pin_memory=self.fabric.device.type == "cuda",
        )

    def to_device(self, batch: Batch) -> Batch:
        """Moved as bytes, then augmented."""
        device = self.fabric.device
        batch = {k: v.to(device, non_blocking=True) for k, v in batch.items()}
        # Another stream of numbers than that of the draws, which other processes may do.
        return self.recipe.augmented(batch, step_generator(self.options.seed + 1, self.step))


class _Draws(Dataset[Mapping[str, Tensor]]):
    """A batch for every step."""

    def __init__(self, recipe: FrontRecipe, options: LoopOptions) -> None:
        self.recipe, self.options = recipe, options

    def __getitem__(self, step: int) -> Batch:
        return self.recipe.drawn(self.options.batch, step_generator(self.options.seed, step))
