"""The whole SDK on rendered people, picture by picture: what it says beside what is true.

Gaze and head are compared in the normalised camera of the true face and head: pitch and yaw are
from the line of sight, and how the head leans is taken out, as for the gaze network.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk import Camera, EstimatorOptions, FaceResult, GazeEstimator
from clipgaze_sdk.geometry import angle_between, angles_from_vector
from train.eval.frozen_set import FORWARD, describe, samples
from train.eval.irises import CORNERS, offsets
from train.synth.outputs.normalization import NORMALIZATION
from train.synth.outputs.shards import Sample

Floats = NDArray[np.float64]

EYES_OF_68 = (range(36, 42), range(42, 48))
"""Corners and lids of each eye, the person's right first."""
HEAD = ("head_pitch", "head_yaw")


def answers(
    model: Path | None, data: Path, *, limit: int | None, threads: int
) -> Iterator[tuple[Sample, FaceResult | None, int]]:
    """Each picture, the SDK's answer for its face, if it has one, and how many other faces it saw.

    The SDK knows each picture's camera.
    """
    options = EstimatorOptions(color="rgb", threads=threads)
    with GazeEstimator(model, options=options) as estimator:
        for sample in samples(data, limit):
            faces = estimator.estimate(
                np.ascontiguousarray(sample.rgb), camera=camera_of(sample)
            ).faces
            face = nearest(faces, sample)
            yield sample, face, len(faces) - (face is not None)


def camera_of(sample: Sample) -> Camera:
    """The camera that took a picture."""
    height, width = sample.rgb.shape[:2]
    return Camera(np.array(sample.labels["camera_matrix"]), size_px=(width, height))


def nearest(faces: tuple[FaceResult, ...], sample: Sample) -> FaceResult | None:
    """The face whose landmarks are the picture's, within a third of its size."""
    marks = np.array(sample.labels["landmarks_px"])
    size = float(np.ptp(marks, axis=0).max())
    best = min(faces, key=lambda f: offset(f, marks), default=None)
    return best if best is not None and offset(best, marks) < size / 3 else None


def offset(face: FaceResult, marks: Floats) -> float:
    """Distance between the middles of a result's landmarks and the true ones."""
    return float(np.linalg.norm(face.landmarks_px.mean(0) - marks.mean(0)))


def gaze_row(face: FaceResult | None, sample: Sample) -> dict[str, Any]:
    """What was said and what is true, degrees; no numbers are said of a face that was missed."""
    labels = sample.labels
    truth = np.array(labels["gaze"])
    turn = _turn(sample)
    pitch, yaw = _degrees(turn @ truth)
    head_pitch, head_yaw = _degrees(turn @ np.array(labels["camera_from_head"]) @ FORWARD)
    row = describe(sample) | {
        "missed": float(face is None),
        "pitch": pitch,
        "yaw": yaw,
        "head_pitch": head_pitch,
        "head_yaw": head_yaw,
    }
    said_pitch, said_yaw, error = np.nan, np.nan, np.nan
    if face is not None:
        said_pitch, said_yaw = _degrees(turn @ face.gaze.vector)
        error = float(np.degrees(angle_between(face.gaze.vector, truth)))
    return row | {
        "error": error,
        "said_pitch": said_pitch,
        "said_yaw": said_yaw,
        "pitch_off": said_pitch - pitch,
        "sign_right": float(said_pitch * pitch > 0),
    }


def eye_rows(face: FaceResult | None, sample: Sample) -> Iterator[dict[str, Any]]:
    """Each open eye whose iris and corners are seen: the iris along and across it, in eye widths.

    ``iris_px`` and ``lids_px`` (corners and lids, their mean) are errors in pixels of the 224 crop
    of the true face.
    """
    labels = sample.labels
    about = gaze_row(face, sample)
    if about["eyes"] in ("closed", "dark glasses"):
        return
    marks, irises = (np.array(labels[name]) for name in ("landmarks_px", "irises_px"))
    true = offsets(marks[np.array(CORNERS)], irises)
    said = np.full((2, 2), np.nan)
    iris_px, mark_px = np.full(2, np.nan), np.full(68, np.nan)
    if face is not None:
        said = offsets(face.landmarks_px[np.array(CORNERS)], face.irises_px)
        warp = NORMALIZATION.image_from_crop(
            camera_of(sample), np.array(labels["face_center_mm"]), _turn(sample)
        )
        iris_px = _apart(warp, face.irises_px, irises)
        mark_px = _apart(warp, face.landmarks_px, marks)
    visible = np.array(labels["visible"], bool)
    head = {name: about[name] for name in HEAD}
    for eye, points in enumerate(EYES_OF_68):
        if not (visible[68 + eye] and visible[list(CORNERS[eye])].all()):
            continue
        yield {
            "person": about["person"],
            "missed": about["missed"],
            "left": float(eye),
            **head,
            "head_pitch_2": head["head_pitch"] ** 2,
            "head_yaw_2": head["head_yaw"] ** 2,
            "head_pitch_yaw": head["head_pitch"] * head["head_yaw"],
            "along": said[eye, 0],
            "across": said[eye, 1],
            "true_along": true[eye, 0],
            "true_across": true[eye, 1],
            "iris_px": iris_px[eye],
            "lids_px": mark_px[list(points)].mean(),
        }


def _turn(sample: Sample) -> Floats:
    labels = sample.labels
    return NORMALIZATION.rotation(
        np.array(labels["face_center_mm"]), np.array(labels["camera_from_head"])
    )


def _degrees(direction: Floats) -> tuple[float, float]:
    pitch, yaw = np.degrees(angles_from_vector(direction)).tolist()
    return pitch, yaw


def _apart(image_from_crop: Floats, said_px: NDArray[Any], true_px: Floats) -> Floats:
    """(n,) distances in the crop of points (n, 2) of the picture."""
    crop_from_image = np.linalg.inv(image_from_crop)
    said, true = (
        np.column_stack([points, np.ones(len(points))]) @ crop_from_image.T
        for points in (said_px, true_px)
    )
    return np.asarray(np.linalg.norm(said[:, :2] / said[:, 2:] - true[:, :2] / true[:, 2:], axis=1))
