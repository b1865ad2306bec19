"""How a gaze model is measured: the error over all images of a data set, and what it is made of.

The error is the mean of arccos(g · ĝ) in degrees over **all** images.  Nothing is chosen by it: a
run is measured with the averaged weights of its end, and with each of its last epochs, whose spread
says how far figures of one run can be trusted; several seeds give a mean and a standard deviation.
Angles are (pitch, yaw) in radians, as in ``train.data``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from clipgaze_sdk.geometry import angle_between, vector_from_angles
from train.data.tables import GazeDataset
from train.gaze.checkpoints import load_model
from train.gaze.models import GazeModel
from train.gaze.trainer import collate
from train.loop.states import differences
from train.loop.weight_cards import MODEL

Floats = NDArray[np.float64]
Figures = dict[str, Any]
Answers = dict[str, NDArray[Any]]
"""``gaze`` (B, 2) and ``log_sigma`` (B,) or (B, 1), radians and their logarithm; features."""

CELL_DEG = 10.0
"""Side of a cell of the tables over pitch and yaw."""
GAZE_RINGS_DEG = (0.0, 10.0, 20.0, 30.0, 45.0, 90.0, 180.0)
HEAD_RINGS_DEG = (0.0, 15.0, 30.0, 45.0, 60.0, 90.0, 180.0)
"""Edges of bins of the angle from the line of sight."""


class ProtocolError(ValueError):
    """Runs or data that cannot be measured so; says what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says of N images; rows of pictures that cannot be read are NaN."""

    gaze: Floats
    """(N, 2) pitch and yaw in radians."""
    log_sigma: Floats
    """(N,) natural log of radians."""
    f: NDArray[np.float32] | None = None
    """(N, width) before the separator, where asked for."""
    f_re: NDArray[np.float32] | None = None
    """(N, width) after it."""
    pooled: NDArray[np.float32] | None = None
    """(N, ways, P) what the backbone gave, see ``train.gaze.models.Outputs``."""


def predict(
    model: GazeModel,
    dataset: GazeDataset,
    *,
    device: torch.device | str = "cpu",
    batch: int = 128,
    workers: int = 0,
    features: bool = False,
) -> Predictions:
    """Predictions of all images in the data set's order, with features if asked for.

    Gaze and uncertainty of a twin are of both of its ways, f and f_re of the first.

    A data set that is not strict puts another picture in the place of one that cannot be read; such
    rows are NaN, so that none counts twice.
    """
    model = model.to(device).eval()
    names = ("gaze", "log_sigma", *(("f", "f_re", "pooled") if features else ()))

    def ask(samples: Mapping[str, Tensor]) -> Answers:
        with torch.inference_mode():
            out = model.of({name: values.to(device) for name, values in samples.items()})
        return {name: getattr(out, name).float().cpu().numpy() for name in names}

    return predictions(ask, dataset, batch=batch, workers=workers)


def predictions(
    ask: Callable[[Mapping[str, Tensor]], Answers],
    dataset: GazeDataset,
    *,
    batch: int = 128,
    workers: int = 0,
) -> Predictions:
    """As :func:`predict`, of anything that answers batches of ``train.data.samples``."""
    loader: DataLoader[Any] = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=batch,
        num_workers=workers,
        collate_fn=collate,
    )
    parts: dict[str, list[NDArray[Any]]] = {}
    bar = tqdm(total=len(dataset), disable=None, unit="image", desc=dataset.name, leave=False)
    done = 0
    for samples in loader:
        own = samples["index"].numpy() == np.arange(done, done + len(samples["index"]))
        for name, values in ask(samples).items():
            values[~own] = np.nan
            parts.setdefault(name, []).append(values)
        done += len(own)
        bar.update(len(own))
    bar.close()
    whole = {name: np.concatenate(part) for name, part in parts.items()}
    return Predictions(
        whole["gaze"].astype(np.float64),
        whole["log_sigma"].astype(np.float64).reshape(-1),
        whole.get("f"),
        whole.get("f_re"),
        whole.get("pooled"),
    )


def errors_deg(predicted: NDArray[Any], truth: NDArray[Any]) -> Floats:
    """Angles in degrees (N,) between gazes (N, 2) and (N, 2) in radians; NaN where one is NaN."""
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or predicted.ndim != 2 or predicted.shape[1] != 2:
        raise ProtocolError(
            f"predictions have shape {predicted.shape}, labels {truth.shape}; expected (N, 2) both"
        )
    known = np.isfinite(predicted).all(1) & np.isfinite(truth).all(1)
    out = np.full(len(truth), np.nan)
    if known.any():
        vectors = vector_from_angles(predicted[known]), vector_from_angles(truth[known])
        out[known] = np.degrees(angle_between(*vectors))
    return out


def spread(values: Sequence[float]) -> Figures:
    """Mean and standard deviation (n − 1; None of fewer than 2) of some figures, and these."""
    if not len(values):
        return {"mean": None, "std": None, "values": []}
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "values": [float(v) for v in values]}


def grid(angles_rad: NDArray[Any], errors: Floats, cell_deg: float = CELL_DEG) -> Figures | None:
    """Mean error and number of images by cells of pitch (rows) and yaw (columns).

    Edges are multiples of ``cell_deg`` in degrees; a cell holds its lower edge.  A cell without
    images has the mean None; without any known angle there is no grid.
    """
    known = np.isfinite(angles_rad).all(1) & np.isfinite(errors)
    if not known.any():
        return None
    degrees, errors = np.degrees(np.asarray(angles_rad, np.float64)[known]), errors[known]
    # float32 labels on an edge belong to the cell that they are meant for.
    cells = np.floor(degrees / cell_deg + 1e-5).astype(int)
    low, high = cells.min(0), cells.max(0) + 1
    shape = tuple(high - low)
    place = tuple((cells - low).T)
    total, count = np.zeros(shape), np.zeros(shape, int)
    np.add.at(total, place, errors)
    np.add.at(count, place, 1)
    means = [
        [float(t / n) if n else None for t, n in zip(*rows, strict=True)]
        for rows in zip(total, count, strict=True)
    ]
    pitch, yaw = (
        [float(cell_deg * k) for k in range(a, b + 1)] for a, b in zip(low, high, strict=True)
    )
    return {
        "pitch_edges_deg": pitch,
        "yaw_edges_deg": yaw,
        "mean_deg": means,
        "images": count.tolist(),
    }


def rings(angles_rad: NDArray[Any], errors: Floats, edges_deg: Sequence[float]) -> Figures:
    """Mean error and number of images by the angle between a direction and the line of sight."""
    known = np.isfinite(angles_rad).all(1) & np.isfinite(errors)
    out: Figures = {}
    if not known.any():
        return out
    vectors = vector_from_angles(np.asarray(angles_rad, np.float64)[known])
    away = np.degrees(angle_between(vectors, np.array([0.0, 0.0, -1.0])))
    ring = np.digitize(away, list(edges_deg)[1:-1])
    for k, (low, high) in enumerate(itertools.pairwise(edges_deg)):
        inside = errors[known][ring == k]
        if len(inside):
            name = f"{low:g} to {high:g}"
            out[name] = {"mean_deg": float(inside.mean()), "images": len(inside)}
    return out


def figures(errors: Floats, labels: Mapping[str, Any], people: Sequence[str]) -> Figures:
    """Everything that is told of errors in degrees (N,): whole, per person, by gaze and by head."""
    known = np.isfinite(errors)
    if not known.any():
        raise ProtocolError("no image could be measured: all pictures or labels are unusable")
    person = np.asarray(labels["person"])
    each: Figures = {}
    for number, name in enumerate(people):
        own = errors[known & (person == number)]
        if len(own):
            each[name] = {"mean_deg": float(own.mean()), "images": len(own)}
    gaze, head = np.asarray(labels["gaze"]), np.asarray(labels["head"])
    of_people = spread([p["mean_deg"] for p in each.values()])
    return {
        "images": int(known.sum()),
        "not_measured": int((~known).sum()),
        "mean_deg": float(errors[known].mean()),
        "median_deg": float(np.median(errors[known])),
        "p90_deg": float(np.quantile(errors[known], 0.9)),
        "mean_of_people_deg": of_people["mean"],
        "std_of_people_deg": of_people["std"],
        "per_person": each,
        "by_gaze": grid(gaze, errors),
        "by_head": grid(head, errors),
        "by_gaze_angle": rings(gaze, errors, GAZE_RINGS_DEG),
        "by_head_angle": rings(head, errors, HEAD_RINGS_DEG),
    }


def trivial(labels: Mapping[str, Any]) -> Figures:
    """Errors in degrees of answers that no network is needed for: what a model has to beat."""
    gaze, head = np.asarray(labels["gaze"], np.float64), np.asarray(labels["head"], np.float64)
    always = np.broadcast_to(gaze[np.isfinite(gaze).all(1)].mean(0), gaze.shape)
    out = {"always_the_mean_gaze_deg": float(np.nanmean(errors_deg(always, gaze)))}
    if np.isfinite(head).all(1).any():
        out["head_as_gaze_deg"] = float(np.nanmean(errors_deg(head, gaze)))
    return out


def uncertainty(errors: Floats, log_sigma: Floats) -> Figures:
    """How well the stated standard deviation fits: its rank correlation with the error, and sizes.

    ``stated_deg`` and ``found_deg`` are root mean squares; they agree where it is calibrated.
    """
    known = np.isfinite(errors) & np.isfinite(log_sigma)
    stated, found = np.degrees(np.exp(log_sigma[known])), errors[known]
    return {
        "rank_correlation": spearman(stated, found),
        "stated_deg": float(np.sqrt(np.mean(stated**2))),
        "found_deg": float(np.sqrt(np.mean(found**2))),
    }


def spearman(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Rank correlation, ties sharing their ranks; None where one of them is constant."""
    from scipy.stats import spearmanr

    if len(a) < 2 or min(np.ptp(a), np.ptp(b)) == 0:
        return None
    return float(spearmanr(a, b).statistic)


def read_card(run: Path) -> Figures:
    """The card of a finished run; raises :class:`ProtocolError` where there is none."""
    path = run / f"{MODEL}.json"
    try:
        card: Figures = json.loads(path.read_text())
        card["architecture"], card["recipe"]["name"], card["seed"]
    except FileNotFoundError:
        there = ", ".join(sorted(p.name for p in run.glob("*"))) or "nothing"
        raise ProtocolError(
            f"{run} is not a finished run: no {path.name} (there is {there}); give the --out of "
            "`python -m train.gaze.fit` after its last step"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(
            f"{path} is damaged ({error!r}); run train.gaze.fit's last step again"
        ) from None
    return card


def epochs_of(run: Path) -> tuple[str, ...]:
    """Names of the last epochs' weights in a run, in order."""
    return tuple(sorted(path.stem for path in run.glob("epoch-*.safetensors")))


def same_but_seed(runs: Sequence[Path]) -> list[Figures]:
    """The cards of runs that differ in nothing but their seed.

    Raises :class:`ProtocolError` for other runs, as a mean over them would say nothing.
    """
    cards = [read_card(run) for run in runs]
    if not cards:
        raise ProtocolError("no run to measure; give at least one")

    def identity(card: Figures) -> Figures:
        recipe = {k: v for k, v in card["recipe"].items() if k != "seed"}
        about = card.get("trained_on")
        return {"recipe": recipe, "clip": card.get("clip"), "trained_on": about}

    for run, card in zip(runs[1:], cards[1:], strict=True):
        differ = differences(identity(cards[0]), identity(card))
        if differ:
            raise ProtocolError(
                f"{run} is not another seed of {runs[0]}: {'; '.join(differ)}; measure them apart"
            )
    seeds = [card["seed"] for card in cards]
    if len(set(seeds)) < len(seeds):
        raise ProtocolError(f"seeds {seeds} of {', '.join(map(str, runs))} occur twice")
    return cards


def assess(
    runs: Sequence[Path],
    dataset: GazeDataset,
    *,
    device: torch.device | str = "cpu",
    batch: int = 128,
    workers: int = 0,
    last_epochs: bool = True,
    allow_broken: bool = False,
) -> Figures:
    """Figures of one configuration (the runs of its seeds) on a data set.

    ``error_deg`` is the mean over seeds of the error with the averaged weights of the end,
    ``last_epochs_deg`` that of the mean over the last epochs, whose ``within`` is the standard
    deviation between epochs of each run.  Everything by person, gaze and head is of the mean error
    of each image over the seeds.
    """
    cards = same_but_seed(runs)

    def measured(run: Path, name: str) -> tuple[Floats, Predictions]:
        model = load_model(run, name)
        said = predict(model, dataset, device=device, batch=batch, workers=workers)
        return measured_errors(said, dataset, allow_broken=allow_broken), said

    ends = [measured(run, MODEL) for run in runs]
    each = {}
    if last_epochs:
        for run in runs:
            names = epochs_of(run)
            means = {name: float(np.nanmean(measured(run, name)[0])) for name in names}
            each[run.name] = means
    return {
        "seen_in_training": cards[0].get("trained_on", {}).get("signature") == dataset.signature(),
        "runs": [_about(run, card) for run, card in zip(runs, cards, strict=True)],
        "last_epochs_deg": _over_epochs(each),
        **whole_report(ends, dataset),
    }


def measured_errors(said: Predictions, dataset: GazeDataset, *, allow_broken: bool) -> Floats:
    """Errors (N,) in degrees; NaN for pictures that cannot be read.

    Raises :class:`ProtocolError` where there are such and ``allow_broken`` is not set.
    """
    errors = errors_deg(said.gaze, dataset.labels()["gaze"])
    if np.isnan(errors).any() and not allow_broken:
        raise ProtocolError(_broken(dataset, errors))
    return errors


def whole_report(ends: Sequence[tuple[Floats, Predictions]], dataset: GazeDataset) -> Figures:
    """What is told of errors and predictions on a data set, of one network or of each seed's."""
    labels = dataset.labels()
    errors = np.mean([e for e, _ in ends], axis=0)
    sigma = np.concatenate([said.log_sigma for _, said in ends])
    return {
        "data": {"name": dataset.name, "images": len(dataset), "people": len(dataset.people)},
        "error_deg": spread([float(np.nanmean(e)) for e, _ in ends]),
        "trivial": trivial(labels),
        "uncertainty": uncertainty(np.concatenate([e for e, _ in ends]), sigma),
        **figures(errors, labels, dataset.people),
    }


def _over_epochs(each: Mapping[str, Mapping[str, float]]) -> Figures | None:
    whole = {run: spread(list(means.values())) for run, means in each.items() if means}
    if not whole:
        return None
    return {
        **spread([s["mean"] for s in whole.values()]),
        "within": {run: s["std"] for run, s in whole.items()},
        "epochs": {run: dict(means) for run, means in each.items()},
    }


def _about(run: Path, card: Figures) -> Figures:
    kept = ("seed", "clip", "commit", "sha256", "parameters")
    return {
        "run": run.name,
        "method": card["recipe"]["name"],
        "backbone": card["architecture"]["backbone"],
        "trained_on": card.get("trained_on", {}).get("name"),
        "steps": card.get("metrics", {}).get("steps"),
        **{name: card.get(name) for name in kept},
    }


def _broken(dataset: GazeDataset, errors: Floats) -> str:
    problems: Sequence[object] = getattr(dataset, "problems", ())
    first = f" ({problems[0]})" if problems else ""
    return (
        f"{int(np.isnan(errors).sum())} of {len(errors)} images of {dataset.name} cannot be "
        f"measured{first}; mend them, or leave them out by --allow-broken, which counts them"
    )
