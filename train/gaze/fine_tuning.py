"""Fine-tuning a gaze network to a person or a camera, and whether it helps.

The work of ``python -m train.gaze.finetune``.  Ours: how it is tuned.  Batch norm keeps its
statistics, the last stage of the backbone and all after it learn at a low rate with mild
augmentation that mirrors nothing, and the result is the mean of the weights before and after.  All
of it is fixed beforehand; nothing is chosen by the folds.
"""

from __future__ import annotations

import argparse
import json
import sys
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from train.commands import device_of
from train.data.registry import open_dataset
from train.data.samples import DataError, GazeDataset
from train.eval.protocol import Figures, ProtocolError, errors_deg, read_card, spread
from train.eval.protocol_report import cell, table
from train.gaze.checkpoints import load_model
from train.gaze.models import GazeModel
from train.gaze.trainer import collate
from train.gaze.tuning import MOST_LABELS, average, last_stage, tune, tuned_card
from train.loop.states import CheckpointError
from train.loop.weight_cards import MODEL, write_weights

Layers = Literal["head", "stage", "all"]
FEWEST_LABELS = 4
Floats = NDArray[np.float64]


class FineTuneError(ValueError):
    """A fine-tuning that cannot be; says what was given and what is expected."""


@dataclass(frozen=True, slots=True)
class FineTuneOptions:
    """How a network is fine-tuned; the defaults are for 20 to 100 pictures.

    Raises :class:`FineTuneError` for what cannot be.
    """

    layers: Layers = "stage"
    """``head`` (M, F and the uncertainty), ``stage`` (the backbone's last stage too) or ``all``."""
    steps: int = 100
    batch: int = 16
    learning_rate: float = 3e-4
    """At the beginning; it falls in half a cosine."""
    augment: float = 0.5
    """Strength of augmentation, 0 for none."""
    keep: float = 0.5
    """Share of the first weights in the result: 0 is the tuned weights, 1 changes nothing."""
    folds: int = 5
    """Parts of the cross-validation; 0 leaves it out."""
    labels: int = 0
    """Take so many of the pictures, evenly from a larger set; 0 takes all."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.layers not in get_args(Layers):
            raise FineTuneError(f"layers are {self.layers!r}; expected one of {get_args(Layers)}")
        if min(self.steps, self.batch) < 1 or self.learning_rate <= 0 or self.augment < 0:
            raise FineTuneError(
                f"steps {self.steps}, batch {self.batch}, learning_rate {self.learning_rate}, "
                f"augment {self.augment}; expected at least 1, 1, above 0 and at least 0"
            )
        if not 0 <= self.keep < 1:
            raise FineTuneError(f"keep is {self.keep}; expected 0 to below 1, where 1 is the start")
        if self.folds < 0 or self.folds == 1:
            raise FineTuneError(f"folds are {self.folds}; expected 2 or more, or 0 for none")
        if self.labels and not FEWEST_LABELS <= self.labels <= MOST_LABELS:
            raise FineTuneError(
                f"labels are {self.labels}; expected {FEWEST_LABELS} to {MOST_LABELS}, or 0 for all"
            )

    @property
    def rate(self) -> float:
        """The learning rate, as :class:`train.gaze.tuning.Schedule` names it."""
        return self.learning_rate


def folds_of(person: NDArray[np.int64], folds: int) -> tuple[NDArray[np.int64], str]:
    """The fold of each picture (N,), and what a fold is made of: ``people`` or ``order``.

    With several people, a person is in one fold alone.  There are never more folds than people, or
    than pictures.
    """
    there, number = np.unique(person, return_inverse=True)
    if len(there) > 1:
        return number * min(folds, len(there)) // len(there), "people"
    return np.arange(len(person)) * min(folds, len(person)) // len(person), "order"


def fine_tune(
    init: Path,
    data: GazeDataset,
    out: Path,
    options: FineTuneOptions = FineTuneOptions(),
    *,
    device: str = "cpu",
    command: str = "python -m train.gaze.finetune",
) -> Figures:
    """Fine-tune a run on a data set; writes the files of this module and returns the report.

    Raises :class:`FineTuneError` for too few or too many pictures, :class:`ProtocolError` and
    :class:`CheckpointError` for a run that cannot be used, :class:`DataError` for pictures.
    """
    if out.resolve() == init.resolve():
        raise FineTuneError(
            f"{out} is the run to start from, and would be lost; give another --out"
        )
    card, start = read_card(init), load_model(init).to(device)
    rows = _chosen(data, options)
    samples = dict(collate([data[int(row)] for row in rows]))
    gaze = samples["gaze"].numpy().astype(np.float64)
    person = samples["person"].numpy()
    before = errors_deg(_gaze(start, samples), gaze)
    report: Figures = {
        "init": init.name,
        "data": {"name": data.name, "pictures": len(rows), "people": len(np.unique(person))},
        "options": asdict(options),
        "before_deg": float(before.mean()),
    }
    if options.folds:
        report["cross_validation"] = _cross_validated(start, samples, before, options)
    tuned = _tuned(start, samples, np.arange(len(rows)), options, draw=0)
    report["fitted_deg"] = float(errors_deg(_gaze(tuned, samples), gaze).mean())
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu() for name, value in tuned.state_dict().items()}
    counts = {"samples": len(rows), "people": report["data"]["people"]}
    card = tuned_card(card, data, counts, seed=options.seed, command=command)
    write_weights(out, MODEL, weights, card | {"fine_tuned": report})
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "report.md").write_text(markdown(report))
    return report


def _chosen(data: GazeDataset, options: FineTuneOptions) -> NDArray[np.int64]:
    """Rows of the pictures to tune on; raises :class:`FineTuneError` for too few or too many."""
    count = len(data)
    if options.labels and options.labels < count:
        return np.round(np.linspace(0, count - 1, options.labels)).astype(np.int64)
    if count > MOST_LABELS:
        raise FineTuneError(
            f"{data.name} has {count} pictures; expected at most {MOST_LABELS}. Take some of them "
            f"by --labels {MOST_LABELS}, or train on all: `python -m train.gaze.fit --set init=RUN`"
        )
    if count < FEWEST_LABELS:
        raise FineTuneError(f"{data.name} has {count} pictures; expected {FEWEST_LABELS} or more")
    return np.arange(count)


def parameters_of(model: GazeModel, layers: Layers) -> list[nn.Parameter]:
    """What is tuned of a model."""
    if layers == "all":
        return list(model.parameters())
    parts: list[nn.Module] = [model.gaze, model.sigma, model.separator]
    if layers == "stage":
        parts.append(model.projection)
    found = [parameter for part in parts for parameter in part.parameters()]
    return found + (last_stage(model.backbone) if layers == "stage" else [])


def _tuned(
    start: GazeModel,
    samples: dict[str, Tensor],
    rows: NDArray[np.int64],
    options: FineTuneOptions,
    *,
    draw: int,
) -> GazeModel:
    """The network tuned on some rows."""
    model = deepcopy(start)
    tune(
        model,
        parameters_of(model, options.layers),
        _rows(samples, rows),
        options,
        key=(options.seed, 47, draw),
        seed=options.seed * 1009 + draw,
        mirrored=False,
    )
    average(model, start, options.keep)
    return model


def _cross_validated(
    start: GazeModel, samples: dict[str, Tensor], before: Floats, options: FineTuneOptions
) -> Figures:
    """Errors of each fold by networks that were tuned on the others."""
    gaze = samples["gaze"].numpy().astype(np.float64)
    fold, kind = folds_of(samples["person"].numpy(), options.folds)
    first = _gaze(start, samples)
    after, shifted = np.empty(len(gaze)), np.empty(len(gaze))
    each = []
    for number in range(int(fold.max()) + 1):
        inside = fold == number
        others = np.flatnonzero(~inside)
        tuned = _tuned(start, samples, others, options, draw=1 + number)
        left_out = _rows(samples, np.flatnonzero(inside))
        after[inside] = errors_deg(_gaze(tuned, left_out), gaze[inside])
        shift = (gaze[others] - first[others]).mean(0)
        shifted[inside] = errors_deg(first[inside] + shift, gaze[inside])
        found = {"pictures": int(inside.sum()), "tuned_on": len(others)}
        means = {"before_deg": before, "after_deg": after, "shifted_deg": shifted}
        each.append(found | {name: float(v[inside].mean()) for name, v in means.items()})
    gain = spread([f["before_deg"] - f["after_deg"] for f in each])
    return {
        "folds_of": kind,
        "before_deg": float(before.mean()),
        "after_deg": float(after.mean()),
        "shifted_deg": float(shifted.mean()),
        "gain_deg": gain,
        "helped_folds": sum(g > 0 for g in gain["values"]),
        "folds": each,
    }


def _rows(samples: dict[str, Tensor], rows: NDArray[np.int64]) -> dict[str, Tensor]:
    chosen = torch.from_numpy(rows)
    return {name: values[chosen] for name, values in samples.items()}


@torch.inference_mode()
def _gaze(model: GazeModel, samples: dict[str, Tensor]) -> Floats:
    """Pitch and yaw (N, 2) in radians of a batch of N samples."""
    device = model.gaze.weight.device
    parts = []
    for start in range(0, len(samples["gaze"]), 64):
        part = {k: v[start : start + 64].to(device) for k, v in samples.items()}
        parts.append(model.of(part).gaze.cpu())
    return torch.cat(parts).numpy().astype(np.float64)


def verdict(report: Figures) -> str:
    """What the cross-validation says, in a sentence."""
    found = report.get("cross_validation")
    if found is None:
        return "Not cross-validated: whether it helped is unknown."
    folds = len(found["folds"])
    told = (
        f"{found['before_deg']:.2f}° before, {found['after_deg']:.2f}° after, "
        f"{found['shifted_deg']:.2f}° by a constant shift alone; better in {found['helped_folds']} "
        f"of {folds} folds"
    )
    if found["after_deg"] < found["before_deg"] and 2 * found["helped_folds"] > folds:
        return f"It helped: {told}."
    return f"It did not help: {told}. Keep the network that it started from."


def markdown(report: Figures) -> str:
    """The report for people."""
    data, options = report["data"], report["options"]
    lines = [
        f"# {report['init']} fine-tuned on {data['name']}",
        "",
        f"{data['pictures']} pictures of {data['people']} people; layers {options['layers']}, "
        f"{options['steps']} steps, {options['keep']:.0%} of the first weights kept.",
        "",
        verdict(report),
        "",
    ]
    found = report.get("cross_validation")
    if found is not None:
        rows = [
            (str(k), *(cell(f[name]) for name in _COLUMNS), str(f["pictures"]))
            for k, f in enumerate(found["folds"])
        ]
        whole = ("**all**", *(cell(found[name]) for name in _COLUMNS), str(data["pictures"]))
        head = ("fold", "before [°]", "after [°]", "shifted [°]", "pictures")
        lines += [
            f"Each fold (of {found['folds_of']}) by a network that was tuned on the others:",
            "",
            table(head, [*rows, whole]),
            "",
        ]
    lines.append(
        f"On the very pictures that it was tuned on, the result's error is "
        f"{cell(report['fitted_deg'])}°, which says nothing of others."
    )
    return "\n".join(lines) + "\n"


_COLUMNS = ("before_deg", "after_deg", "shifted_deg")


def run(args: argparse.Namespace, command: str) -> int:
    """Fine-tune as the command says, and print the verdict; returns the exit code."""
    given: dict[str, Any] = dict(vars(args))
    init, spec, out, device = (given.pop(name) for name in ("init", "data", "out", "device"))
    try:
        options = FineTuneOptions(**given)
        data = open_dataset(spec, strict=True)
        report = fine_tune(init, data, out, options, device=device_of(device), command=command)
    except (
        FineTuneError,
        ProtocolError,
        CheckpointError,
        DataError,
        FileNotFoundError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{verdict(report)}\nwrote {out}")
    return 0
