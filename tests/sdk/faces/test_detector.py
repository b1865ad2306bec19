"""The project's own detector, on a tiny network that answers with boxes of one size."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk import EstimatorOptions, ModelError
from clipgaze_sdk.faces.detector import NetworkDetector
from clipgaze_sdk.models.files import load_model_file
from tests.fake_networks import FACE_SIDE_PX, write_card, write_networks


def detector(folder: Path, long_side_px: object) -> NetworkDetector:
    write_networks(folder, ("face_detector",))
    path = folder / "face_detector.onnx"
    numbers = json.loads(path.with_suffix(".json").read_text())["preprocessing"]
    numbers["long_side_px"] = long_side_px
    write_card(path, "face_detector", preprocessing=numbers)
    return NetworkDetector(load_model_file(path), EstimatorOptions(min_confidence=0.7))


def sides(rows: np.ndarray) -> np.ndarray:
    return rows[:, 2] - rows[:, 0]


def test_a_second_side_finds_faces_that_fill_the_image(tmp_path: Path) -> None:
    """The network knows faces of one size; in a smaller copy large ones have it."""
    image = np.full((480, 640, 3), 20, np.uint8)
    cv2.rectangle(image, (180, 100), (440, 360), (255, 255, 255), -1)
    one, two = detector(tmp_path, 640), detector(tmp_path, [640, 256])
    assert sides(one.detect(image)).max() == pytest.approx(FACE_SIDE_PX, rel=0.05)
    rows = two.detect(image)
    assert sides(rows).max() == pytest.approx(2.5 * FACE_SIDE_PX, rel=0.05)
    assert np.all(np.diff(rows[:, 4]) <= 0)
    large = rows[np.argmax(sides(rows))]
    assert (large[0] + large[2]) / 2 == pytest.approx(310, abs=45)
    one.close()
    two.close()


def test_boxes_and_points_are_in_pixels_of_the_image(tmp_path: Path) -> None:
    """Of one bright cell of 32 px in an image that is shrunk to half: by hand."""
    image = np.zeros((960, 1280, 3), np.uint8)
    image[256:320, 192:256] = 255  # row 4, column 3
    found = detector(tmp_path, 640)
    (row,) = found.detect(image)
    found.close()
    # The cell's centre is at (3.5, 4.5) * 32 - 0.5 in the network's image; pixels have centres.
    x, y = 111.5, 143.5
    box = np.array([x - 1.5 * 32, y - 2.2 * 32, x + 1.5 * 32, y + 1.5 * 32])
    nose_and_eye = np.array([x, y, x - 0.6 * 32, y - 0.5 * 32])
    np.testing.assert_allclose(row[:4], (box + 0.5) * 2 - 0.5, atol=1e-3)
    np.testing.assert_allclose(row[[9, 10, 5, 6]], (nose_and_eye + 0.5) * 2 - 0.5, atol=1e-3)
    assert row[4] == pytest.approx(1.0)


def test_a_card_that_names_no_side_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="long_side_px"):
        detector(tmp_path, [])
