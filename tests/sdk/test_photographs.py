"""The bundled networks on photographs of real people (development assets, not in this project)."""

from __future__ import annotations

import json
from typing import Any

import cv2
import pytest

from clipgaze_sdk import EstimatorOptions, GazeEstimator
from train.photos.photographs import photograph, report


@pytest.fixture(scope="module")
def figures(shared_assets) -> dict[str, Any]:
    entries = json.loads((shared_assets / "photos.json").read_text())
    rows: list[dict[str, Any]] = []
    with GazeEstimator(options=EstimatorOptions(max_faces=32)) as estimator:
        for name, entry in entries.items():
            image = cv2.imread(str(shared_assets / "photos" / name))
            rows += photograph(estimator, name, image, entry)
    return report(rows)


def counts(text: str) -> tuple[int, int]:
    """("18 of 20") → (18, 20)."""
    have, total = text.split(" of ")
    return int(have), int(total)


def test_faces_are_found(figures):
    assert figures["photographs_with_annotated_faces"] == 16
    assert figures["photographs_with_all_of_them_found"] >= 15


def test_gaze_has_the_sign_of_the_reference(figures):
    """Where the reference's pitch or yaw is beyond 10°: at least 17 of 20."""
    same, total = counts(figures["sign_agrees"])
    assert total >= 10
    assert same >= 0.85 * total, figures["sign_disagrees"]


def test_mirrored_photographs_mirror_the_gaze(figures):
    """Yaw negates and pitch stays: within 3° for the median face, within 5° for nearly all."""
    for axis in ("yaw", "pitch"):
        assert figures[f"mirror_{axis}_median_deg"] <= 3.0
        within, total = counts(figures[f"mirror_{axis}_within_5_deg"])
        assert within >= 0.85 * total


def test_landmarks_lie_on_the_eyes(figures):
    assert figures["eye_corner_error_median"] <= 0.04
