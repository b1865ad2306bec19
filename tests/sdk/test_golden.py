"""Numbers of the bundled networks, end to end: on the portrait, and on frames of the clip.

They change with the bundled networks and with nothing else: OpenCV 4.8 and 5.0, numpy 1.26 and 2.4,
ONNX Runtime 1.18 and 1.32 agree on all digits written here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from clipgaze_sdk import EstimatorOptions, FaceResult, FrameResult, GazeEstimator

OPTIONS = EstimatorOptions(threads=1)
POINTS = (0, 8, 16, 30, 36, 45, 48, 54)
"""Jaw, chin, jaw, tip of the nose, outer corners of the eyes, corners of the mouth."""


class Golden(NamedTuple):
    box_px: tuple[float, ...]
    points_px: list[tuple[float, float]]
    irises_px: list[tuple[float, float]]
    openness: tuple[float, float]
    gaze_deg: tuple[float, float, float]
    """Pitch, yaw, uncertainty."""
    head_deg: tuple[float, float, float]
    origin_mm: tuple[float, float, float]


# fmt: off
PORTRAIT = [
    Golden(
        (745.98, 172.59, 969.84, 489.44),
        [(745.98, 302.72), (883.04, 489.44), (969.36, 313.05), (901.06, 357.63), (807.91, 305.00),
         (951.02, 310.99), (841.63, 419.43), (926.74, 420.48)],
        [(830.53, 303.84), (932.77, 308.22)],
        (0.752, 0.743), (-16.55, -18.27, 6.61), (0.12, -4.28, 2.19), (146.4, -8.6, 660.3),
    ),
    Golden(
        (336.10, 185.29, 550.27, 480.46),
        [(339.23, 310.32), (401.61, 480.46), (550.27, 311.88), (389.59, 352.90), (350.92, 309.19),
         (483.87, 309.97), (365.61, 412.97), (443.22, 415.62)],
        [(367.15, 306.23), (461.51, 306.46)],
        (0.803, 0.810), (2.79, 26.77, 6.74), (2.13, 8.93, 0.76), (-145.5, -9.7, 697.2),
    ),
]
CLIP = {
    0: Golden(
        (263.06, 80.87, 389.16, 264.48),
        [(263.30, 156.72), (319.33, 264.48), (389.16, 157.61), (316.32, 186.05), (280.33, 157.16),
         (361.91, 157.24), (294.71, 222.97), (344.01, 223.24)],
        [(291.61, 155.62), (350.04, 155.93)],
        (0.749, 0.753), (-2.30, 13.49, 6.50), (0.64, 6.18, 0.18), (-0.1, -0.8, 579.9),
    ),
    24: Golden(
        (286.87, 76.09, 411.33, 253.15),
        [(288.24, 150.81), (337.81, 253.15), (411.33, 157.63), (339.16, 173.83), (305.29, 148.62),
         (384.64, 152.53), (316.15, 210.47), (363.65, 213.53)],
        [(316.76, 146.91), (373.24, 149.64)],
        (0.812, 0.815), (13.36, 19.09, 7.20), (4.97, 7.98, 3.14), (24.6, -10.1, 601.1),
    ),
    48: Golden(
        (242.23, 63.81, 370.11, 249.48),
        [(242.23, 139.50), (312.55, 249.48), (370.11, 142.78), (319.07, 170.13), (271.45, 140.41),
         (354.16, 142.00), (288.99, 208.38), (338.22, 208.04)],
        [(283.71, 139.37), (343.12, 140.59)],
        (0.742, 0.736), (-5.52, -16.73, 6.01), (-0.91, -9.05, 0.96), (-4.9, -17.1, 572.8),
    ),
}
# fmt: on


def assert_golden(face: FaceResult, golden: Golden) -> None:
    gaze, head = face.gaze, face.head_pose
    angles = np.degrees([gaze.pitch_rad, gaze.yaw_rad, gaze.uncertainty_rad])
    turn = np.degrees([head.pitch_rad, head.yaw_rad, head.roll_rad])
    for found, expected, within in (
        (face.bbox_px, golden.box_px, 0.1),
        (face.landmarks_px[list(POINTS)], golden.points_px, 0.1),
        (face.irises_px, golden.irises_px, 0.1),
        (face.eye_openness, golden.openness, 0.002),
        (angles, golden.gaze_deg, 0.1),
        (turn, golden.head_deg, 0.1),
        (gaze.origin_mm, golden.origin_mm, 0.5),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=within)


def frames(path: Path, count: int) -> Iterator[np.ndarray]:
    video = cv2.VideoCapture(str(path))
    for _ in range(count):
        there, image = video.read()
        assert there
        yield image
    video.release()


def test_the_portrait(repository: Path) -> None:
    image = cv2.imread(str(repository / "samples" / "media" / "portrait.jpg"))
    with GazeEstimator(options=OPTIONS) as estimator:
        for result in (estimator.estimate(image), *estimator.estimate_batch([image, image])):
            for face, golden in zip(result.faces, PORTRAIT, strict=True):
                assert_golden(face, golden)
                assert face.confidence == pytest.approx(0.9996, abs=1e-3)


def test_the_clip_as_a_stream(repository: Path) -> None:
    clip = repository / "samples" / "media" / "clip.mp4"
    results: list[FrameResult] = []
    with GazeEstimator(options=OPTIONS) as estimator:
        for index, image in enumerate(frames(clip, 49)):
            results.append(estimator.estimate(image, timestamp_s=index / 25))
    assert [i for i, result in enumerate(results) if result.detector_ran] == [0, 30]
    for index, golden in CLIP.items():
        (face,) = results[index].faces
        assert face.track_id == 0
        assert_golden(face, golden)
