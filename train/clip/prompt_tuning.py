"""Tuning of prompts by the proxy task, for each seed.

The work of ``python -m train.clip.tune_prompts``, which tells what is CoOp's and what is ours.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.clip.clip_models import Clip, cached_features, load_clip
from train.clip.prompts import (
    CONTEXT,
    PERSONAL,
    CoOp,
    Kind,
    Prompts,
    make_prompts,
    proxy_loss,
    save_prompts,
    side_weights,
    truth_probability,
    written_context,
)
from train.clip.zero_shot import Figures, factor_figures
from train.commands import device_of
from train.data.registry import open_dataset
from train.data.samples import UNKNOWN
from train.data.tables import GazeDataset, held_out_people
from train.factors import Dimension
from train.loop.devices import one_device
from train.loop.training_loop import (
    Batch,
    Learner,
    LoopOptions,
    RunOptions,
    Scalars,
    TrainingLoop,
    Untouched,
)
from train.loop.weight_cards import commit_to_begin, write_card

FEWEST_PEOPLE = 20
"""PCO with fewer people learns their numbers by heart."""


@dataclass(frozen=True)
class Options:
    """How prompts are tuned."""

    clip: str
    source: tuple[str, ...]
    kind: Kind
    out: Path
    cache: Path
    dimensions: tuple[Dimension, ...] = PERSONAL
    context: int = CONTEXT
    from_words: bool = False
    """Begin with the hand-written prompts' words as the context, whose length they set."""
    shuffle_identity: bool = False
    identity: Path | None = None
    """Folder of ``train.clip.identity``, for pictures whose coefficients are not known."""
    epochs: int = 10
    learning_rate: float = 2e-3
    batch_people: int = 4
    pictures: int = 8
    """Of each person in a batch, at most."""
    held_out: float = 0.2
    seeds: tuple[int, ...] = (0,)
    threads: int = 2
    device: str = "cpu"

    def fixed(self) -> dict[str, Any]:
        """What may not change when a run goes on."""
        free = ("out", "cache", "seeds", "threads", "device", "identity", "clip")
        values = {k: v for k, v in asdict(self).items() if k not in free}
        return values | {"identity": str(self.identity)}


@dataclass(frozen=True, slots=True)
class Task:
    """What the proxy task is about: rows are pictures, all of one CLIP and one data set."""

    features: Tensor
    """(N, width), rows of length 1."""
    factors: NDArray[np.uint8]
    """(N, K) of the chosen dimensions, 255 for unknown."""
    person: NDArray[np.int64]
    """(N,), rows of ``identity``."""
    identity: Tensor
    """(people, 100), NaN where unknown."""


def make_task(options: Options, clip: Clip, dataset: GazeDataset, rows: Sequence[int]) -> Task:
    """Features and labels; ``rows`` are the factors' rows in the table.

    Raises :class:`ValueError` where no factor is known, and for PCO where identity is not.
    """
    labels = dataset.labels()
    factors = labels["factors"][:, list(rows)]
    if (factors == UNKNOWN).all():
        raise ValueError(
            f"{dataset.name} tells none of these factors; give rendered crops (rendered:DIR)"
        )
    identity = torch.from_numpy(np.asarray(dataset.identities(), np.float32))
    if options.kind == "pco":
        from train.clip.identity_regressor import identities_of

        known = identities_of(dataset, options.identity, device=options.device)
        identity = torch.from_numpy(known)
        people = len(np.unique(labels["person"]))
        if people < FEWEST_PEOPLE:
            raise ValueError(
                f"{dataset.name} has {people} people; personalised prompts need at least "
                f"{FEWEST_PEOPLE}, or they learn people by heart"
            )
    features = np.array(cached_features(clip, dataset, options.cache), np.float32)
    unit = torch.nn.functional.normalize(torch.from_numpy(features), dim=-1)
    return Task(unit.to(options.device), factors, labels["person"], identity.to(options.device))


def shuffled(identity: Tensor, people: NDArray[np.int64], seed: int) -> Tensor:
    """A copy in which each of ``people`` has another one's coefficients (a cycle of them all)."""
    mixed = identity.clone()
    order = np.random.default_rng([seed, 31]).permutation(people)
    mixed[torch.from_numpy(order)] = identity[torch.from_numpy(np.roll(order, 1))]
    return mixed


def batches(
    person: NDArray[np.int64], rows: NDArray[np.int64], people: int, pictures: int, seed: list[int]
) -> Iterator[NDArray[np.int64]]:
    """All ``rows`` once, in batches of ``people`` chunks of up to ``pictures`` of one person."""
    rng = np.random.default_rng(seed)
    chunks = []
    for one in np.unique(person[rows]):
        own = rng.permutation(rows[person[rows] == one])
        chunks += [own[k : k + pictures] for k in range(0, len(own), pictures)]
    order = rng.permutation(len(chunks))
    for k in range(0, len(order), people):
        yield np.concatenate([chunks[i] for i in order[k : k + people]])


def texts_of(prompts: Prompts, task: Task, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Positive and negative text features for pictures, (B, K, width) or (1, K, width)."""
    if prompts.kind == "cocoop":
        return prompts.features(image_features=task.features[rows])
    if prompts.kind != "pco":
        return prompts.features()
    people, which = np.unique(task.person[rows], return_inverse=True)
    positive, negative = prompts.features(identity=task.identity[torch.from_numpy(people)])
    return positive[torch.from_numpy(which)], negative[torch.from_numpy(which)]


def tune(
    options: Options, clip: Clip, dataset: GazeDataset, task: Task, seed: int, out: Path
) -> Figures:
    """One run of one seed: learns, writes prompts and ``metrics.json``, and returns the figures.

    A run that was killed goes on.
    """
    began = commit_to_begin(out)
    test = np.isin(task.person, held_out_people(task.person, options.held_out, seed))
    train_rows, test_rows = np.flatnonzero(~test), np.flatnonzero(test)
    if options.shuffle_identity:
        identity = task.identity
        for rows in (train_rows, test_rows):  # among their own, so that the split holds
            identity = shuffled(identity, np.unique(task.person[rows]), seed)
        task = Task(task.features, task.factors, task.person, identity)
    torch.manual_seed(seed)
    context = written_context(clip) if options.from_words else options.context
    prompts = make_prompts(options.kind, clip, options.dimensions, context=context)
    if options.from_words and isinstance(prompts, CoOp):
        prompts.start_from_words()
    out.mkdir(parents=True, exist_ok=True)
    seconds = 0.0
    if list(prompts.parameters()):
        loop = PromptTuning(options, clip, task, prompts, train_rows, seed, out)
        loop.run()
        seconds = loop.seconds
    figures = {
        "kind": options.kind,
        "shuffle_identity": options.shuffle_identity,
        "seed": seed,
        "clip": clip.name,
        "source": list(options.source),
        "people": {
            "train": len(np.unique(task.person[train_rows])),
            "test": len(np.unique(task.person[test_rows])),
        },
        "epochs": 0 if options.kind == "hand" else options.epochs,
        "minutes": round(seconds / 60, 2),
        "test": evaluate(prompts, task, test_rows, clip.temperature),
        "train": evaluate(
            prompts, task, train_rows[:: len(train_rows) // 2000 + 1], clip.temperature
        ),
    }
    save_prompts(prompts, out)
    _write_card(options, dataset, figures, out, began)
    (out / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def _write_card(
    options: Options, dataset: GazeDataset, figures: Figures, out: Path, began: str | None
) -> None:
    about = {
        "name": f"prompts of kind {options.kind}",
        "trained_on": f"{dataset.name}: {figures['people']['train']} rendered people",
        "clip": figures["clip"],
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in options.fixed().items()},
        "seed": figures["seed"],
        "minutes": figures["minutes"],
        "figures": {"other_people": {k: figures["test"][k] for k in ("accuracy", "balanced")}},
        "intended_use": "text features that CLIP-Gaze keeps a gaze network's features away from",
        "limits": "of use with the CLIP that they were learnt with alone; they know the factors of "
        "train/factors.py",
    }
    write_card(out / "prompts.safetensors", dataset, about, began)


class PromptLearner(Learner):
    """Prompts and the proxy task's loss; a batch is rows of the task."""

    model: Prompts

    def __init__(self, prompts: Prompts, task: Task, rows: NDArray[np.int64], scale: float) -> None:
        super().__init__(prompts)
        self.task, self.temperature = task, scale
        self.weight = torch.from_numpy(side_weights(task.factors[rows])).to(task.features.device)

    def optimizer_of(
        self, turn: int, options: LoopOptions, *, fused: bool
    ) -> torch.optim.Optimizer:
        """CoOp's SGD."""
        return torch.optim.SGD(
            self.model.parameters(),
            options.learning_rate,
            momentum=0.9,
            weight_decay=options.weight_decay,
        )

    def forward(self, batch: Untouched, step: int, turn: int = 0) -> tuple[Tensor, Scalars]:
        """The loss alone."""
        rows, task = batch.batch["rows"].numpy(), self.task
        factors = torch.from_numpy(task.factors[rows]).to(task.features.device)
        texts = texts_of(self.model, task, rows)
        loss = proxy_loss(task.features[rows], *texts, factors, self.temperature, self.weight)
        return loss, {}


class PromptTuning(TrainingLoop):
    """Epochs of one seed's run, a log line each."""

    leaves_model = False

    def __init__(
        self,
        given: Options,
        clip: Clip,
        task: Task,
        prompts: Prompts,
        rows: NDArray[np.int64],
        seed: int,
        out: Path,
    ) -> None:
        self.task, self.rows, self.shape = task, rows, (given.batch_people, given.pictures)
        self.per_epoch = sum(1 for _ in batches(task.person, rows, *self.shape, [seed, 0]))
        super().__init__(
            one_device(given.device),
            PromptLearner(prompts, task, rows, clip.temperature),
            out,
            options=LoopOptions(
                steps=given.epochs * self.per_epoch,
                batch=given.batch_people * given.pictures,
                learning_rate=given.learning_rate,
                weight_decay=5e-4,
                clip_norm=0.0,
                ema=0.0,
                seed=seed,
            ),
            run=RunOptions(log_every=self.per_epoch, tensorboard=False),
            config=given.fixed() | {"seed": seed, "clip": clip.fingerprint, "rows": len(rows)},
            card={},
        )

    def rate(self, step: int) -> float:
        """Half a cosine."""
        return self.options.learning_rate * 0.5 * (1 + math.cos(math.pi * (step / self.steps)))

    def batches(self) -> Iterator[Batch]:
        """Rows of the task."""
        for epoch in range(self.step // self.per_epoch, self.steps // self.per_epoch):
            all_rows = batches(self.task.person, self.rows, *self.shape, [self.options.seed, epoch])
            for rows in islice(all_rows, max(self.step - epoch * self.per_epoch, 0), None):
                yield {"rows": torch.from_numpy(rows)}

    def to_device(self, batch: Batch) -> Batch:
        """Rows look up what is on the device already."""
        return batch


@torch.no_grad()
def evaluate(prompts: Prompts, task: Task, rows: NDArray[np.int64], temperature: float) -> Figures:
    """Figures of the proxy task on some pictures, as ``zero_shot.factor_figures`` gives them."""
    said = np.zeros((len(rows), len(prompts.factors)), bool)
    # Sorted by person, as a person's texts are made once a batch.
    order = np.argsort(task.person[rows], kind="stable")
    for part in np.array_split(order, max(1, len(rows) // 64)):
        texts = texts_of(prompts, task, rows[part])
        said[part] = (
            truth_probability(task.features[rows[part]], *texts, temperature).cpu().numpy() > 0.5
        )
    return factor_figures(said, task.factors[rows], [f.name for f in prompts.factors])


def summary(runs: Sequence[Figures]) -> Figures:
    """Mean and standard deviation over seeds of the test's accuracy and balanced accuracy."""
    out: Figures = {"kind": runs[0]["kind"], "shuffle_identity": runs[0]["shuffle_identity"]}
    for name in ("accuracy", "balanced"):
        values = [r["test"][name] for r in runs if r["test"][name] is not None]
        out[name] = {
            "mean": round(float(np.mean(values)), 4) if values else None,
            "std": round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else None,
            "runs": values,
        }
    return out | {"seeds": [r["seed"] for r in runs], "clip": runs[0]["clip"]}


def run_command(args: argparse.Namespace) -> int:
    """Tune as the command says; returns the exit code."""
    tuples = {k: tuple(vars(args)[k]) for k in ("dimensions", "seeds", "source")}
    options = Options(**{**vars(args), **tuples, "device": device_of(args.device)})
    torch.set_num_threads(options.threads)
    try:
        run(options, load_clip(options.clip, device=options.device), open_dataset(options.source))
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: Options, clip: Clip, dataset: GazeDataset) -> Figures:
    """All seeds; writes ``seedN/`` and the summary's ``metrics.json``, and prints a line each."""
    from train.clip.prompts import factor_rows

    task = make_task(options, clip, dataset, factor_rows(options.dimensions))
    runs = []
    for seed in options.seeds:
        runs.append(tune(options, clip, dataset, task, seed, options.out / f"seed{seed}"))
        test = runs[-1]["test"]
        print(f"{options.kind}, seed {seed}: balanced {test['balanced']}, all {test['accuracy']}")
    figures = summary(runs)
    (options.out / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures
