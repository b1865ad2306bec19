"""How far a network's answers in one precision are from those in FP32, and from the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import EstimatorOptions
from clipgaze_sdk.faces.eye_sheet import IRIS
from clipgaze_sdk.kernels import decode_detections
from clipgaze_sdk.models.cards import ModelCard
from export.calibration import Images, gaze_input, gaze_network, recorded_inputs
from export.model_files import ExportError, Network
from train.eval.frozen_set import angular_errors, samples

Outputs = Mapping[str, NDArray[np.float32]]
Run = Callable[[NDArray[np.float32]], Outputs]

_DEFAULT = EstimatorOptions()
SCORE, IOU = _DEFAULT.min_confidence, _DEFAULT.nms_iou
"""With which detections are decoded, as the SDK does by default."""
SAME_FACE_IOU = 0.5

UNITS = {"gaze": "°", "face_landmarks": "px", "face_detector": "px"}
"""Of a change: the angle; pixels of the 128 px crop; pixels of the detector's input."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Inputs on which precisions are compared."""

    images: Images
    truth: NDArray[np.float64] | None = None
    """(N, 2) pitch and yaw of gaze crops."""


@dataclass(frozen=True, slots=True)
class Change:
    """What another precision changes."""

    mean: float
    worst: float
    figures: dict[str, float]
    """More figures by name."""


def problem(network: Network, data: Path, *, limit: int, cache: Path | None) -> Problem:
    """Inputs of a held-out set: gaze crops with the truth, or what the SDK gives the network.

    Raises :class:`ExportError` where the folder holds nothing that can be used.
    """
    if network.card.task != "gaze":
        return Problem(recorded_inputs(network, [data], limit=limit, cache=cache).images)
    images, truth = [], []
    try:
        with closing(gaze_network(network)) as made:
            for sample in samples(data, limit):
                image, gaze = gaze_input(made, sample)
                images.append(image)
                truth.append(gaze)
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise ExportError(
            f"{data} cannot be used ({error}); expected rendered pictures or crops of `python -m "
            "train.synth write`"
        ) from error
    return Problem(images, np.array(truth, np.float64))


def answers(run: Run, images: Sequence[NDArray[np.float32]]) -> list[dict[str, NDArray[Any]]]:
    """The outputs for every image, one by one."""
    return [{name: np.asarray(v) for name, v in run(image).items()} for image in images]


def change(
    card: ModelCard, task: Problem, base: list[dict[str, Any]], other: list[dict[str, Any]]
) -> Change:
    """Compare two lists of :func:`answers` to the same images."""
    if card.task == "gaze":
        return _gaze_change(task, _joined(base), _joined(other))
    if card.task == "face_landmarks":
        return _landmark_change(card, _joined(base), _joined(other))
    return _detector_change(card, task, base, other)


def gaze_error_deg(task: Problem, out: list[dict[str, Any]]) -> float:
    """Mean angle to the truth."""
    if task.truth is None:
        raise ValueError("these inputs have no true gaze")
    return float(angular_errors(_joined(out)["pitch_yaw"], task.truth[: len(out)]).mean())


def _joined(out: list[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    return {k: np.concatenate([o[k] for o in out]).astype(np.float64) for k in out[0]}


def _gaze_change(
    task: Problem, base: dict[str, NDArray[np.float64]], other: dict[str, NDArray[np.float64]]
) -> Change:
    angles = angular_errors(base["pitch_yaw"], other["pitch_yaw"])
    figures = {"log_sigma": float(np.abs(base["log_sigma"] - other["log_sigma"]).mean())}
    if "eye_points" in base:
        moved = np.linalg.norm((base["eye_points"] - other["eye_points"])[:, :, IRIS], axis=-1)
        figures["iris_px"] = _finite(moved.mean())
    if task.truth is not None:
        errors = angular_errors(other["pitch_yaw"], task.truth[: len(angles)])
        figures["gaze_error_deg"] = float(errors.mean())
    return Change(_finite(angles.mean()), _finite(angles.max()), figures)


def _landmark_change(
    card: ModelCard, base: dict[str, NDArray[np.float64]], other: dict[str, NDArray[np.float64]]
) -> Change:
    half_side = float(card.inputs[0].shape[2]) / 2  # points are in [-1, 1] across the crop
    moved = np.linalg.norm(base["points"] - other["points"], axis=-1) * half_side
    figures: dict[str, float] = {
        str(name): float(np.abs(base[name] - other[name]).mean())
        for name in ("openness", "presence", "visibility")
        if name in base
    }
    return Change(_finite(moved.mean()), _finite(moved.max()), figures)


def _detector_change(
    card: ModelCard, task: Problem, base: list[dict[str, Any]], other: list[dict[str, Any]]
) -> Change:
    moved: list[float] = []
    scores: list[float] = []
    found = lost = new = 0
    for image, a, b in zip(task.images, base, other, strict=False):
        before, after = _faces(card, image, a), _faces(card, image, b)
        pairs = _pairs(before, after)
        found += len(before)
        lost += len(before) - len(pairs)
        new += len(after) - len(pairs)
        for i, k in pairs:
            moved.append(float(np.abs(before[i, :4] - after[k, :4]).mean()))
            scores.append(abs(float(before[i, 4] - after[k, 4])))
    figures = {
        "faces": float(found),
        "lost": float(lost),
        "new": float(new),
        "score": float(np.mean(scores)) if scores else 0.0,
    }
    if not moved:
        return Change(0.0 if found == 0 else np.inf, 0.0 if found == 0 else np.inf, figures)
    return Change(_finite(np.mean(moved)), _finite(np.max(moved)), figures)


def _faces(card: ModelCard, image: NDArray[np.float32], out: Outputs) -> NDArray[np.float32]:
    """(n, 15) rows in pixels of the input."""
    height, width = image.shape[2:]
    return decode_detections(
        *(np.ascontiguousarray(out[n][0], np.float32) for n in ("scores", "boxes", "points")),
        width=width,
        height=height,
        strides=[int(n) for n in card.numbers("strides")],
        score_threshold=SCORE,
        iou_threshold=IOU,
        max_detections=64,
    )


def _pairs(before: NDArray[np.float32], after: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Rows that are the same face, each at most once."""
    pairs: list[tuple[int, int]] = []
    free = set(range(len(after)))
    for i, row in enumerate(before):
        best = max(free, key=lambda k: _iou(row, after[k]), default=None)
        if best is not None and _iou(row, after[best]) >= SAME_FACE_IOU:
            pairs.append((i, best))
            free.remove(best)
    return pairs


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    common = np.minimum(a[2:4], b[2:4]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(common, 0)))
    area = sum(float(np.prod(np.maximum(r[2:4] - r[:2], 0))) for r in (a, b))
    return shared / max(area - shared, 1e-9)


def _finite(value: Any) -> float:
    """A number that a limit can be held against: what is none is infinite."""
    return float(value) if np.isfinite(value) else float("inf")
