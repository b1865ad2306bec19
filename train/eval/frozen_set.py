"""The frozen evaluation set of rendered people, and the bins that every figure is given in.

The set is defined by numbers, not by files: a seed that no training uses, all domains, a count and
the hash of all labels.  Anyone makes it again with::

    python -m train.synth write --product pictures --domain all --seed 900 --count 6480 --out DIR

with the first renderer, up to commit 64afbcd; later ones draw other pictures.
``train/eval/frozen_set.json`` holds what that gave here.  Nothing is ever trained on it, and
nothing is
chosen by it: development uses other seeds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera
from clipgaze_sdk.faces.eye_sheet import eye_middles
from clipgaze_sdk.faces.hysteresis import Crop
from clipgaze_sdk.geometry import (
    GazeNormalization,
    angle_between,
    angles_from_vector,
    head_pose_from_landmarks,
    vector_from_angles,
)
from train.synth.outputs.disturb import assumed_matrix, noisy_landmarks
from train.synth.outputs.records import eye_state
from train.synth.outputs.shards import Sample, read_shard
from train.synth.outputs.studio import PICTURE
from train.synth.streams import Streams

FROZEN = Path(__file__).with_suffix(".json")
SEED = 900
COUNT = 6480

BINS: dict[str, tuple[float, ...]] = {
    "gaze_deg": (0, 10, 20, 30, 45, 180),
    "head_deg": (0, 15, 30, 45, 60, 180),
    "face_px": (0, 60, 100, 160, 225),
}
"""Edges: angle of the gaze, and of the head, from the line of sight; pixels across 140 mm."""

FORWARD = np.array([0.0, 0.0, -1.0])


def samples(data: Path, limit: int | None = None) -> Iterator[Sample]:
    """The pictures of the shards in ``data``, in order.

    Raises :class:`FileNotFoundError` when there are none.
    """
    shards = sorted(data.glob("shard-*.tar"))
    if not shards:
        raise FileNotFoundError(
            f"{data} holds no shard-*.tar; write some with `python -m train.synth write`"
        )
    yield from itertools.islice(itertools.chain.from_iterable(map(read_shard, shards)), limit)


def is_frozen(data: Path) -> bool:
    """Whether ``data`` is the frozen set: its manifest has the frozen labels' hash."""
    manifest = data / "manifest.json"
    if not manifest.is_file() or not FROZEN.is_file():
        return False
    found = json.loads(manifest.read_text())
    wanted = json.loads(FROZEN.read_text())
    return bool(found.get("labels_sha256") == wanted["labels_sha256"])


def sight_angles(labels: Mapping[str, Any]) -> tuple[float, float]:
    """Degrees of (gaze, head's direction) from the direction towards the camera."""
    center = np.array(labels["face_center_mm"])
    to_camera = -center / np.linalg.norm(center)
    facing = np.array(labels["camera_from_head"]) @ FORWARD
    return _angle(np.array(labels["gaze"]), to_camera), _angle(facing, to_camera)


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def describe(sample: Sample) -> dict[str, Any]:
    """What a sample's error is binned by."""
    labels = sample.labels
    gaze, head = sight_angles(labels)
    return {
        "domain": labels["domain"],
        "eyes": eye_state(labels),
        "gaze_deg": gaze,
        "head_deg": head,
        "face_px": labels["face_px"],
        "person": labels["person"],
    }


def binned(rows: list[dict[str, Any]], error: str) -> dict[str, dict[str, list[float]]]:
    """Mean of ``error`` and count by domain, by the eyes' state and by :data:`BINS`."""
    out: dict[str, dict[str, list[float]]] = {}
    for key in ("domain", "eyes"):
        names = sorted({row[key] for row in rows})
        out[key] = {name: _mean([r[error] for r in rows if r[key] == name]) for name in names}
    for key, edges in BINS.items():
        table = {}
        for low, high in itertools.pairwise(edges):
            inside = [r[error] for r in rows if low <= r[key] < high]
            if inside:
                table[f"{low:g} to {high:g}"] = _mean(inside)
        out[key] = table
    return out


def _mean(values: list[float]) -> list[float]:
    return [round(float(np.mean(values)), 3), len(values)]


def counts(data: Path) -> dict[str, dict[str, int]]:
    """How many pictures of ``data`` fall into each bin."""
    rows = [describe(s) | {"one": 1.0} for s in samples(data)]
    return {k: {n: int(v[1]) for n, v in t.items()} for k, t in binned(rows, "one").items()}


def disturbed(sample: Sample, normalization: GazeNormalization) -> tuple[Crop, NDArray[np.float64]]:
    """Where a picture's normalised crop lies at run time, and the gaze (pitch, yaw) in its camera.

    The landmarks have a landmark network's errors and the focal length is often wrong, always the
    same for the same sample.
    """
    labels = sample.labels
    rng = Streams(labels["seed"], PICTURE, labels["index"])("landmark errors")
    visible = np.array(labels["visible"][:68], bool)
    marks = noisy_landmarks(rng, np.array(labels["landmarks_px"]), visible)
    matrix = assumed_matrix(rng, np.array(labels["camera_matrix"]))
    height, width = sample.rgb.shape[:2]
    camera = Camera(matrix, size_px=(width, height))
    pose = head_pose_from_landmarks(marks, camera)
    turn = normalization.rotation(pose.translation_mm, pose.camera_from_head)
    warp = normalization.image_from_crop(camera, pose.translation_mm, turn)
    gaze = np.array(angles_from_vector(turn @ np.array(labels["gaze"])))
    return Crop(warp, turn, eye_middles(marks)), gaze


def angular_errors(
    predicted: NDArray[np.floating], truth: NDArray[np.floating]
) -> NDArray[np.float64]:
    """(N,) degrees between (N, 2) pitch and yaw pairs."""
    return np.degrees(angle_between(vector_from_angles(predicted), vector_from_angles(truth)))


def network_rows(
    data: Path,
    normalization: GazeNormalization,
    predict: Callable[[Sequence[tuple[NDArray[np.uint8], Crop]]], NDArray[np.floating]],
    *,
    batch: int = 64,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Errors (degrees) of a gaze network alone, on crops as at run time, with their bins.

    ``predict`` maps RGB pictures with the places of their crops to (N, 2 or 3): pitch, yaw (and
    log sigma).
    """
    rows: list[dict[str, Any]] = []
    stream = samples(data, limit)
    while chunk := list(itertools.islice(stream, batch)):
        placed = [disturbed(sample, normalization) for sample in chunk]
        out = np.asarray(
            predict([(s.rgb, crop) for s, (crop, _) in zip(chunk, placed, strict=True)])
        )
        errors = angular_errors(out[:, :2], np.array([gaze for _, gaze in placed]))
        for sample, error, values in zip(chunk, errors, out, strict=True):
            row = describe(sample) | {"gaze": float(error)}
            if len(values) > 2:
                row["sigma"] = float(np.degrees(np.exp(values[2])))
            rows.append(row)
    return rows
