"""Landmarks on photographs beside MediaPipe's, by kind of point.

The reference is another program's output.  Eye corners, irises and mouth corners are the same
points of a face to both; the tip of the nose and the chin are defined a little apart, which shows
as an error that no better network takes away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clipgaze_sdk import FaceResult

LANDMARKS = {
    "right_eye_outer": 36,
    "right_eye_inner": 39,
    "left_eye_inner": 42,
    "left_eye_outer": 45,
    "nose_tip": 30,
    "mouth_right": 48,
    "mouth_left": 54,
    "chin": 8,
}
"""Points of ``photos.json`` among the 68 landmarks."""
KINDS = {
    "eye corners": ("right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer"),
    "irises": ("right_iris", "left_iris"),
    "nose tip": ("nose_tip",),
    "mouth corners": ("mouth_right", "mouth_left"),
    "chin": ("chin",),
}
EYES_OF_HEIGHT = 0.75
"""Distance of the outer eye corners of a frontal face, in units of that from the point between them
to the chin: 0.76 to 0.87 on the frontal ones of these photographs."""


def outer_distance_px(points_px: Mapping[str, Sequence[float]]) -> float:
    """Distance between the outer eye corners, as a face turned to the camera would have it.

    A turned head shortens it in the picture, which would make an error of so many pixels look
    large; so it is taken to be 0.75 of the distance from between the eyes to the chin at least,
    which turning to the side leaves alone.
    """
    right, left, chin = (
        np.asarray(points_px[name], np.float64)
        for name in ("right_eye_outer", "left_eye_outer", "chin")
    )
    height = float(np.linalg.norm(chin - (right + left) / 2))
    return max(float(np.linalg.norm(right - left)), EYES_OF_HEIGHT * height, 1.0)


def landmark_errors(face: FaceResult, points_px: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean error by kind of point, in % of :func:`outer_distance_px`."""
    ours = {name: face.landmarks_px[index] for name, index in LANDMARKS.items()}
    ours |= {"right_iris": face.irises_px[0], "left_iris": face.irises_px[1]}
    distance = outer_distance_px(points_px)
    return {
        kind: 100.0
        * float(np.mean([np.linalg.norm(ours[n] - np.asarray(points_px[n])) for n in names]))
        / distance
        for kind, names in KINDS.items()
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean, median and worst face by kind, of rows with ``landmark_errors``, ``photo``, ``face``.

    Returns:
        Figures in %, by kind and of ``all points``; and the worst kind of each photograph.
    """
    measured = [row for row in rows if "landmark_errors" in row]
    report: dict[str, Any] = {"faces": len(measured), "kinds": {}, "photos": {}}
    for kind in (*KINDS, "all points"):
        values = np.array([_value(row, kind) for row in measured])
        if not len(values):
            continue
        worst = measured[int(values.argmax())]
        report["kinds"][kind] = {
            "mean": float(values.mean()),
            "median": float(np.median(values)),
            "worst": float(values.max()),
            "worst_face": f"{worst['photo']} {worst['face']}",
        }
    for row in measured:
        worst_kind = max(KINDS, key=lambda kind: _value(row, kind))
        here = {"kind": worst_kind, "error": _value(row, worst_kind), "face": row["face"]}
        before = report["photos"].get(row["photo"])
        if before is None or here["error"] > before["error"]:
            report["photos"][row["photo"]] = here
    return report


def _value(row: Mapping[str, Any], kind: str) -> float:
    """The error of a kind; of all points, each counted once."""
    errors = row["landmark_errors"]
    if kind in KINDS:
        return float(errors[kind])
    counts = {name: len(names) for name, names in KINDS.items()}
    return float(sum(errors[n] * counts[n] for n in KINDS) / sum(counts.values()))
