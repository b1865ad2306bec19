"""Changing a trained gaze model by a few labelled pictures.

The model stays in evaluation mode, so that batch norm keeps its statistics: a few pictures tell
nothing of them.  The number of steps and the learning rate are fixed beforehand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from train.data.tables import GazeDataset
from train.gaze.eye_backbone import EyeBackbone
from train.gaze.losses import angular_error, uncertainty
from train.gaze.methods.base import SIGMA_WEIGHT
from train.gaze.models import GazeModel, SmallBackbone, TwinBackbone
from train.gaze.sheet_augment import augmentation_for
from train.loop.weight_cards import commit

MOST_LABELS = 100
"""With more it is no tuning by a few pictures but training."""


class Schedule(Protocol):
    """How long and how fast."""

    @property
    def steps(self) -> int: ...

    @property
    def batch(self) -> int:
        """Pictures of a step; fewer where there are fewer."""

    @property
    def rate(self) -> float:
        """The learning rate, from which it falls in half a cosine."""

    @property
    def augment(self) -> float:
        """Strength of the augmentation of pictures."""


def batches(count: int, schedule: Schedule, key: Sequence[int]) -> Iterator[NDArray[np.int64]]:
    """Rows of every step's batch: permutations in a row, cut; ``key`` seeds them."""
    rng = np.random.default_rng(list(key))
    queue = np.empty(0, np.int64)
    size = min(schedule.batch, count)
    for _ in range(schedule.steps):
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(count)])
        yield queue[:size]
        queue = queue[size:]


def gaze_loss(gaze: Tensor, log_sigma: Tensor, target: Tensor) -> Tensor:
    """L_g and the uncertainty's likelihood, as in training."""
    error = angular_error(gaze, target)
    return error.mean() + SIGMA_WEIGHT * uncertainty(log_sigma, error)


class Descent:
    """An optimiser whose rate falls in half a cosine."""

    def __init__(self, parameters: Iterable[nn.Parameter], schedule: Schedule) -> None:
        self._schedule = schedule
        self._optimizer = torch.optim.AdamW(list(parameters), lr=schedule.rate, weight_decay=0.0)

    def step(self, loss: Tensor, step: int) -> None:
        """One step down."""
        for group in self._optimizer.param_groups:
            turned = np.cos(np.pi * step / self._schedule.steps)
            group["lr"] = self._schedule.rate * 0.5 * (1 + turned)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()


def tune(
    model: GazeModel,
    parameters: Sequence[nn.Parameter],
    samples: Mapping[str, Tensor],
    schedule: Schedule,
    *,
    key: Sequence[int],
    seed: int,
    mirrored: bool = True,
) -> None:
    """Change some parameters of a model by pictures; all others stay exactly as they are.

    ``samples`` is a batch of ``train.data.samples`` with ``image`` uint8 (N, 3, 224, 224) and
    ``gaze`` (N, 2) in radians.  ``mirrored`` off leaves mirrored pictures out, as what is one
    person's or one camera's own has a side.
    """
    device = model.gaze.weight.device
    augment = augmentation_for(model.architecture, schedule.augment, seed=seed, mirrored=mirrored)
    with only(model, parameters):
        descent = Descent(parameters, schedule)
        for step, rows in enumerate(batches(len(samples["gaze"]), schedule, key)):
            chosen = torch.from_numpy(rows)
            batch = {k: v[chosen].to(device) for k, v in samples.items()}
            varied = augment(batch, step)
            out = model.of(varied)
            descent.step(gaze_loss(out.gaze, out.log_sigma, varied["gaze"]), step)


def tune_head(
    model: GazeModel,
    parameters: Sequence[nn.Parameter],
    pooled: Tensor,
    gaze: Tensor,
    schedule: Schedule,
    *,
    key: Sequence[int],
) -> None:
    """As :func:`tune`, of what comes after the backbone and without augmentation.

    ``pooled`` (N, ways, P) is what the backbone gave (``Outputs.pooled``), ``gaze`` (N, 2).
    """
    device = model.gaze.weight.device
    pooled, gaze = pooled.to(device), gaze.to(device)
    with only(model, parameters):
        descent = Descent(parameters, schedule)
        for step, rows in enumerate(batches(len(pooled), schedule, key)):
            chosen = torch.from_numpy(rows).to(device)
            _, _, said, log_sigma = model.answer(pooled[chosen].flatten(0, 1))
            descent.step(gaze_loss(said, log_sigma, gaze[chosen]), step)


@torch.no_grad()
def head_gaze(model: GazeModel, pooled: Tensor) -> Tensor:
    """Gaze (N, 2) of ``pooled`` (N, ways, P): what :meth:`GazeModel.forward` says of the images."""
    device = model.gaze.weight.device
    parts = [model.answer(part.to(device).flatten(0, 1))[2].cpu() for part in pooled.split(4096)]
    return torch.cat(parts)


@contextlib.contextmanager
def only(model: GazeModel, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """In evaluation mode, with a gradient for some parameters alone."""
    chosen = {id(parameter) for parameter in parameters}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    model.eval()
    try:
        yield
    finally:
        for parameter in model.parameters():
            parameter.requires_grad_(True)


def last_stage(backbone: nn.Module) -> list[nn.Parameter]:
    """The parameters of a backbone's last stage, and of what comes after it."""
    if isinstance(backbone, SmallBackbone | TwinBackbone):
        after = [p for n, p in backbone.named_parameters() if not n.startswith("stages.")]
        return [*backbone.stages[-1].parameters(), *after]
    if isinstance(backbone, EyeBackbone):
        before = ("two.", "four.", "eight.", "face.")
        return [p for n, p in backbone.named_parameters() if not n.startswith(before)]
    from timm.models import group_parameters

    matcher: Any = backbone.group_matcher(coarse=True)  # type: ignore[operator]
    layer_of = group_parameters(backbone, matcher, reverse=True)
    deepest = max(layer_of.values())
    parameters = dict(backbone.named_parameters())
    return [parameters[name] for name, layer in layer_of.items() if layer == deepest]


def tuned_card(
    card: Mapping[str, Any],
    data: GazeDataset,
    counts: Mapping[str, int],
    *,
    seed: int,
    command: str,
) -> dict[str, Any]:
    """The card of weights that were tuned on some of ``data``, given that of the first weights.

    ``counts`` says of how many ``samples`` and ``people``.
    """
    tuned_on = {
        "name": data.name,
        **counts,
        "signature": data.signature(),
        "after": card.get("trained_on"),
    }
    return {
        **card,
        "trained_on": tuned_on,
        "init_sha256": card.get("sha256"),
        "seed": seed,
        "commit": commit(),
        "command": command,
    }


@torch.no_grad()
def average(model: GazeModel, start: GazeModel, share: float) -> None:
    """Move a model's weights back towards those that it began with: ``share`` 1 is the start."""
    for own, first in zip(model.parameters(), start.parameters(), strict=True):
        own.lerp_(first, share)
