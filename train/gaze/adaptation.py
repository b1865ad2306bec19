"""Adaptation to a target with few labels (SDA), drawn several times.

The work of ``python -m train.gaze.adapt``.  Ours: how it is fine-tuned.  ``last`` changes F alone,
``head`` also the separator M (both from what the backbone gives, computed once), ``all`` the whole
network by the pictures, with mild augmentation.  Batch norm keeps its statistics, as a few images
tell nothing of them.  The number of steps and the learning rate are fixed beforehand; nothing is
chosen by the test.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.commands import device_of
from train.data.registry import open_dataset
from train.data.samples import DataError
from train.data.tables import GazeDataset
from train.eval.protocol import Figures, ProtocolError, errors_deg, predict, read_card, spread
from train.eval.protocol_report import cell, of_spread, table
from train.gaze.checkpoints import load_model
from train.gaze.models import GazeModel
from train.gaze.trainer import collate
from train.gaze.tuning import MOST_LABELS, head_gaze, tune, tune_head, tuned_card
from train.loop.states import CheckpointError, check_same
from train.loop.weight_cards import MODEL, running_command, write_weights

Layers = Literal["last", "head", "all"]
LEARNING_RATE: Mapping[Layers, float] = {"last": 1e-3, "head": 3e-4, "all": 1e-4}


class AdaptError(ValueError):
    """An adaptation that cannot be; says what was given and what is expected."""


@dataclass(frozen=True, slots=True)
class AdaptOptions:
    """How a run is adapted."""

    labels: int = 100
    """N: labelled images of the target, at most 100."""
    draws: int = 10
    """How often they are drawn."""
    layers: Layers = "head"
    """``last`` (F), ``head`` (M and F) or ``all``."""
    steps: int = 200
    batch: int = 32
    learning_rate: float = 0.0
    """0: the one of these layers (:data:`LEARNING_RATE`)."""
    augment: float = 0.5
    """Strength of augmentation for ``all``."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.labels <= MOST_LABELS:
            raise AdaptError(
                f"{self.labels} labels; expected 1 to {MOST_LABELS}: with more it is no adaptation "
                "by a few labels but training, for which there is `python -m train.gaze.fit`"
            )
        if self.layers not in get_args(Layers):
            raise AdaptError(f"layers are {self.layers!r}; expected one of {get_args(Layers)}")
        if min(self.draws, self.steps, self.batch) < 1 or min(self.learning_rate, self.augment) < 0:
            raise AdaptError(
                f"draws {self.draws}, steps {self.steps}, batch {self.batch}, learning_rate "
                f"{self.learning_rate}, augment {self.augment}; expected numbers of at least 1, "
                "and neither rate nor augmentation below 0"
            )

    @property
    def rate(self) -> float:
        """The learning rate that is used."""
        return self.learning_rate or LEARNING_RATE[self.layers]


def drawn(count: int, options: AdaptOptions, draw: int) -> NDArray[np.int64]:
    """Rows of the labelled images of a draw, sorted: the same for every run on this target.

    Raises :class:`AdaptError` where there are not more images than labels.
    """
    if options.labels >= count:
        raise AdaptError(
            f"{options.labels} labels of a target of {count} images leave nothing to test on; "
            "expected fewer labels than images"
        )
    rng = np.random.default_rng([options.seed, 41, draw])
    return np.sort(rng.choice(count, options.labels, replace=False))


def adapt(
    run: Path,
    target: GazeDataset,
    out: Path,
    options: AdaptOptions = AdaptOptions(),
    *,
    device: str = "cpu",
    workers: int = 0,
) -> Figures:
    """Adapt a run to a target; writes the files of this module and returns the report."""
    card, model = read_card(run), load_model(run)
    for draw in range(options.draws):
        drawn(len(target), options, draw)  # refused before anything is computed
    config = {
        "run": card.get("sha256"),
        "target": target.signature(),
        "options": asdict(options) | {"draws": None},
    }
    features = options.layers != "all"
    before = predict(model, target, device=device, workers=workers, features=features)
    gaze = target.labels()["gaze"]
    errors = errors_deg(before.gaze, gaze)
    if np.isnan(errors).any():
        raise ProtocolError(
            f"{int(np.isnan(errors).sum())} images of {target.name} cannot be read; mend them, or "
            "name the people that are whole (NAME:PATH?people=…)"
        )
    results = []
    for draw in range(options.draws):
        folder = out / f"draw-{draw}"
        found = _done(folder, config)
        if found is None:
            chosen = drawn(len(target), options, draw)
            test = np.setdiff1d(np.arange(len(target)), chosen)
            torch.manual_seed(options.seed * 1009 + draw)
            tuned = deepcopy(model).to(device)
            if before.pooled is not None:
                pooled = torch.from_numpy(before.pooled)
                _tune_head(tuned, pooled[chosen], gaze[chosen], options, draw)
                said: NDArray[Any] = head_gaze(tuned, pooled[test]).numpy()
            else:
                _tune_all(tuned, target, chosen, options, draw)
                said = predict(tuned, _part(target, test), device=device, workers=workers).gaze
            found = {
                "draw": draw,
                "labels": len(chosen),
                "test_images": len(test),
                "before_deg": float(errors[test].mean()),
                "after_deg": float(errors_deg(said, gaze[test]).mean()),
            }
            people = len(np.unique(target.labels()["person"][chosen]))
            counts = {"samples": len(chosen), "people": people}
            own = tuned_card(card, target, counts, seed=options.seed, command=running_command())
            _write(folder, tuned, own, config, found)
        results.append(found)
    report = _report(card, run, target, options, results)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "report.md").write_text(markdown(report))
    return report


def _done(folder: Path, config: Figures) -> Figures | None:
    """What a finished draw found; raises :class:`CheckpointError` for one of another kind."""
    path = folder / "metrics.json"
    if not path.is_file():
        return None
    there = json.loads(path.read_text())
    check_same(folder, there["config"], config)
    found: Figures = there["found"]
    return found


def _write(folder: Path, model: GazeModel, card: Figures, config: Figures, found: Figures) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.cpu() for k, v in model.state_dict().items()}
    write_weights(folder, MODEL, weights, card | {"adapted": config | found})
    # Last, as it says that the draw is done.
    partial = folder / "metrics.partial"
    partial.write_text(json.dumps({"config": config, "found": found}, indent=1) + "\n")
    partial.replace(folder / "metrics.json")


class _Part:
    """Some rows of a data set, numbered from 0 on, as the protocol wants them."""

    def __init__(self, whole: GazeDataset, rows: NDArray[np.int64]) -> None:
        self.whole, self.rows = whole, rows
        self.name, self.people = whole.name, whole.people

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.whole[int(self.rows[index])], "index": torch.tensor(index)}


def _part(whole: GazeDataset, rows: NDArray[np.int64]) -> GazeDataset:
    return _Part(whole, rows)  # type: ignore[return-value]


def _tune_head(
    model: GazeModel, pooled: Tensor, gaze: NDArray[np.float32], options: AdaptOptions, draw: int
) -> None:
    """F, or M and F, from what the backbone gave (N, ways, P), which does not change."""
    parts = [model.gaze, model.sigma] + ([model.separator] if options.layers == "head" else [])
    parameters = [p for part in parts for p in part.parameters()]
    key = _key(options, draw)
    tune_head(model, parameters, pooled, torch.from_numpy(gaze), options, key=key)


def _key(options: AdaptOptions, draw: int) -> tuple[int, int, int]:
    """Of the order in which a draw's pictures are seen."""
    return options.seed, 43, draw


def _tune_all(
    model: GazeModel,
    target: GazeDataset,
    chosen: NDArray[np.int64],
    options: AdaptOptions,
    draw: int,
) -> None:
    """The whole network."""
    samples = collate([target[int(row)] for row in chosen])
    seed = options.seed * 1009 + draw
    tune(model, list(model.parameters()), samples, options, key=_key(options, draw), seed=seed)


def _report(
    card: Figures, run: Path, target: GazeDataset, options: AdaptOptions, results: list[Figures]
) -> Figures:
    return {
        "run": run.name,
        "method": card["recipe"]["name"],
        "target": {"name": target.name, "images": len(target), "people": len(target.people)},
        "options": asdict(options) | {"learning_rate": options.rate},
        "before_deg": spread([r["before_deg"] for r in results]),
        "after_deg": spread([r["after_deg"] for r in results]),
        "gain_deg": spread([r["before_deg"] - r["after_deg"] for r in results]),
        "draws": results,
    }


def markdown(report: Figures) -> str:
    """The report for people."""
    o, target = report["options"], report["target"]
    rows = [
        (str(r["draw"]), cell(r["before_deg"]), cell(r["after_deg"]), str(r["test_images"]))
        for r in report["draws"]
    ]
    whole = (of_spread(report["before_deg"]), of_spread(report["after_deg"]), "")
    return (
        f"# {report['method']} adapted to {target['name']}\n\n"
        f"{o['labels']} labelled images of {target['images']}, drawn {o['draws']} times and left "
        f"out of the test; layers {o['layers']}, {o['steps']} steps. Errors in degrees; ± is one "
        "standard deviation over the draws.\n\n"
        + table(("draw", "before", "after", "test images"), [*rows, ("**all**", *whole)])
        + "\n"
    )


def run(args: argparse.Namespace) -> int:
    """Adapt as the command says, and print both errors; returns the exit code."""
    given: dict[str, Any] = dict(vars(args))
    start, spec, out = given.pop("run"), given.pop("target"), given.pop("out")
    device, workers = device_of(given.pop("device")), given.pop("workers")
    try:
        options = AdaptOptions(**given)
        target = open_dataset(spec, strict=True)
        report = adapt(start, target, out, options, device=device, workers=workers)
    except (AdaptError, ProtocolError, CheckpointError, DataError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    before, after = of_spread(report["before_deg"]), of_spread(report["after_deg"])
    print(f"{spec}: {before}° before, {after}° with {options.labels} labels; wrote {out}")
    return 0
