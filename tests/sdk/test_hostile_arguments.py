"""Whatever is given: an answer, or an error of this package that says what was given."""

from __future__ import annotations

import decimal
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipgaze_sdk import (
    Camera,
    ConfigurationError,
    EstimatorOptions,
    GazeEstimator,
    InputError,
    ModelError,
)
from clipgaze_sdk._images import checked_image
from clipgaze_sdk.geometry import (
    angles_from_vector,
    face_crop_from_landmarks,
    head_pose_from_landmarks,
)
from tests.fake_networks import draw_faces, write_card, write_networks

SIZE = (640, 480)
IMAGE = draw_faces(SIZE, [(200, 200)])
HUGE = 10**400
"""A number that no float holds."""


@pytest.fixture(scope="module")
def estimator(fake_models: Path) -> Iterator[GazeEstimator]:
    with GazeEstimator(fake_models, options=EstimatorOptions(threads=1)) as made:
        yield made


@pytest.mark.parametrize("image", [np.zeros((), np.uint8), np.zeros(3, np.uint8), 5, "a"])
def test_images(image: Any, estimator: GazeEstimator) -> None:
    with pytest.raises(InputError, match=r"^image "):
        estimator.estimate(image)


@pytest.mark.parametrize("shape", [(), (6,), (600,), (6, 4, 3), (5, 4), (6, 3)])
def test_shapes_that_are_no_nv12(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"^image has shape .*; expected \(H \* 3 / 2, W\)"):
        checked_image(np.zeros(shape, np.uint8), "nv12")


@pytest.mark.parametrize("images", [None, 5, 1.5, {IMAGE.tobytes(): 1}, (i for i in [IMAGE])])
def test_batches(images: Any, estimator: GazeEstimator) -> None:
    with pytest.raises(InputError, match=r"^images is a .*; expected a sequence of images"):
        estimator.estimate_batch(images)


@pytest.mark.parametrize(
    "value", ["1.5", b"1.5", HUGE, -HUGE, True, math.nan, math.inf, [1.0], decimal.Decimal(1), 1j]
)
def test_timestamps(value: Any, estimator: GazeEstimator) -> None:
    with pytest.raises(InputError, match=r"^timestamp_s is .*; expected seconds as a number"):
        estimator.estimate(IMAGE, timestamp_s=value)


def test_timestamps_of_other_kinds_of_numbers(estimator: GazeEstimator) -> None:
    stamps = [np.float32(1), np.int64(2), 3]
    assert [estimator.estimate(IMAGE, timestamp_s=t).timestamp_s for t in stamps] == [1, 2, 3]
    estimator.reset()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(("threads", "max_faces", "detect_interval"), (2**70, HUGE, "2", None)),
        ("threads", 1025),
        ("threads", 2.0),
        ("max_faces", 2**62),
        *itertools.product(
            ("min_face_px", "nms_iou", "min_presence", "horizontal_fov_deg"), (HUGE, "1", None, 1j)
        ),
        ("color", ["bgr"]),
        ("detector", np.zeros(3)),
        ("flip_augment", "yes"),
    ],
)
def test_options(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name} is ") as raised:
        EstimatorOptions(**{name: value})
    assert len(str(raised.value)) < 400


def test_options_of_other_kinds_of_numbers_become_pythons() -> None:
    options = EstimatorOptions(threads=np.int64(3), min_face_px=np.float32(30))  # type: ignore[arg-type]
    assert (type(options.threads), type(options.min_face_px)) == (int, float)


@pytest.mark.parametrize("model", ["a" * 5000, "a\0b", Path("a" * 300)])
def test_names_of_models(model: Any) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        GazeEstimator(model)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", 5])
def test_names_of_yunets_file(name: Any, fake_models: Path) -> None:
    with pytest.raises(ModelError, match="detector_path"):
        GazeEstimator(fake_models, options=EstimatorOptions(detector="yunet", detector_path=name))


EYE = np.eye(3)


@pytest.mark.parametrize(
    ("matrix", "change"),
    [
        ("abc", {}),
        ([[1, 2], [3]], {}),
        ([[HUGE, 0, 0], [0, 1, 0], [0, 0, 1]], {}),
        (None, {}),
        (object(), {}),
        (np.eye(3) * 1j, {}),
        *((EYE, {"size_px": s}) for s in (5, None, "ab", (math.nan, 3), (math.inf, 3), (HUGE, 3))),
        *((EYE, {"size_px": s}) for s in ((1.5, 2), (1, 2, 3), ("640", "480"), (True, True), [])),
        *((EYE, {"distortion": d}) for d in ("abc", [[1], [2, 3]], [HUGE] * 4, [1e300] * 4, None)),
        (np.diag([1e-300, 1e-300, 1.0]), {}),
        (np.diag([1e-150, 1e-150, 1.0]), {}),
        (np.array([[500.0, 0, 1e300], [0, 500, 240], [0, 0, 1]]), {}),
        (np.array([[500.0, 1e300, 320], [0, 500, 240], [0, 0, 1]]), {}),
    ],
)
def test_cameras(matrix: Any, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Camera(matrix, **{"size_px": SIZE, **change})


@pytest.mark.parametrize(
    "arguments",
    [(640, 480, "60"), (640, 480, None), ("640", 480), (640, None), (0, 480), (640, 480, 5e-324)],
)
def test_fields_of_view(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Camera.from_fov(*arguments)


@pytest.mark.parametrize("size", [(0, 0), (-640, -480), ("a", 2), (math.nan, 1), (HUGE, HUGE)])
def test_other_sizes_of_a_camera(size: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigurationError, match="size_px is"):
        Camera.from_fov(*SIZE).scaled_to(*size)


@pytest.mark.parametrize("points", ["abc", [[1, 2], [3]], [[HUGE, 1]], None, object(), [[1j, 0]]])
def test_points(points: Any) -> None:
    camera = Camera.from_fov(*SIZE)
    for call in (
        camera.project,
        camera.rays,
        camera.undistort,
        angles_from_vector,
        lambda v: head_pose_from_landmarks(v, camera),
        lambda v: face_crop_from_landmarks(v, size_px=8, scale=1.0),
    ):
        with pytest.raises(InputError):
            call(points)


def test_cameras_at_the_edge_of_what_is_taken_give_results_or_nobody(
    estimator: GazeEstimator,
) -> None:
    """Numbers overflow nowhere, and a face without a pose is left out."""
    faces = 0
    numbers = itertools.product(
        (1e-3, 1.0, 500.0, 1e9), (0.0, 320.0, -1e9, 1e9), (0.0, 1e9), (0.0, -0.3, 1e9)
    )
    for focal, middle, skew, bend in numbers:
        matrix = np.array([[focal, skew, middle], [0, focal, 240.0], [0, 0, 1]])
        camera = Camera(matrix, [bend, 0, bend, 0, 0], size_px=SIZE)
        for face in estimator.estimate(IMAGE, camera=camera).faces:
            faces += 1
            json.dumps(face.to_dict(), allow_nan=False)
    assert faces >= 10


def network_of(rows: int, folder: Path) -> Path:
    """A gaze network that says the same of ``rows`` faces, however many there are."""
    import onnx
    from onnx import parser

    angles = ", ".join(["0.1"] * (2 * rows))
    sigmas = ", ".join(["-1.0"] * rows)
    text = f"""<ir_version: 8, opset_import: ["": 17]>
        g (float[batch, 3, 96, 224] image) => (float[n, 2] pitch_yaw, float[n] log_sigma) {{
            pitch_yaw = Constant <value = float[{rows}, 2] {{{angles}}}> ()
            log_sigma = Constant <value = float[{rows}] {{{sigmas}}}> ()
        }}"""
    write_networks(folder)
    onnx.save(parser.parse_model(text), folder / "gaze.onnx")
    write_card(folder / "gaze.onnx", "gaze")
    return folder


@pytest.mark.parametrize("rows", [1, 3])
def test_a_network_that_says_more_or_less_than_was_asked(rows: int, tmp_path: Path) -> None:
    image = draw_faces(SIZE, [(200, 200), (430, 300)])
    with (
        GazeEstimator(network_of(rows, tmp_path)) as made,
        pytest.raises(ModelError, match=rf"gave pitch_yaw of shape \[{rows}, 2\] for 2 image"),
    ):
        made.estimate(image)


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        ("gaze", "focal_px", 1e-300),
        ("gaze", "distance_mm", 1e300),
        ("gaze", "center_px", [1e300, 0]),
        ("gaze", "focal_px", -960.0),
    ],
)
def test_numbers_of_a_card_that_make_no_crop(
    task: str, key: str, value: Any, tmp_path: Path
) -> None:
    write_networks(tmp_path)
    numbers = json.loads((tmp_path / f"{task}.json").read_text())["preprocessing"]
    write_card(tmp_path / f"{task}.onnx", task, preprocessing={**numbers, key: value})
    with pytest.raises(ModelError, match=key):
        GazeEstimator(tmp_path)


@pytest.mark.parametrize("shape", [["batch", 3, True, True], ["batch", 3, 40000, 40000]])
def test_sides_of_a_card_that_make_no_crop(shape: list[Any], tmp_path: Path) -> None:
    write_networks(tmp_path)
    inputs = [{"name": "image", "dtype": "float32", "shape": shape}]
    write_card(tmp_path / "gaze.onnx", "gaze", inputs=inputs)
    with pytest.raises(ModelError):
        GazeEstimator(tmp_path)
