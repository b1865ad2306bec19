from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipgaze_sdk import Camera, ConfigurationError, InputError

MATRIX = np.array([[900.0, 0.0, 630.0], [0.0, 910.0, 350.0], [0.0, 0.0, 1.0]])
COEFFICIENTS = {
    0: [],
    4: [-0.28, 0.09, 0.001, -0.002],
    5: [-0.28, 0.09, 0.001, -0.002, -0.01],
    8: [0.2, -0.1, 0.001, -0.002, 0.03, 0.25, -0.05, 0.02],
    12: [0.2, -0.1, 0.001, -0.002, 0.03, 0.25, -0.05, 0.02, 0.002, -0.001, 0.003, 0.001],
    14: [-0.2, 0.1, 0.001, 0.002, 0.0, 0.0, 0.0, 0.0, 0.002, -0.001, 0.003, 0.001, 0.02, -0.03],
}
LENSES = pytest.mark.parametrize("length", sorted(COEFFICIENTS))

ROS_FILE = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
# written by cameracalibrator.py
camera_matrix:
  rows: 3
  cols: 3
  data: [430.15433,   0.     , 320.72588,
           0.     , 430.60920, 235.14921,
           0.     ,   0.     ,   1.     ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.33758, 0.11161, -0.00021, -0.00030, 0.]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [345.11, 0., 321.5, 0., 0., 382.0, 234.2, 0., 0., 0., 1., 0.]
"""
OPENCV_FILE = """\
%YAML:1.0
---
calibration_time: "Tue 04 Mar 2025 10:00:00"
nframes: 25
image_width: 640
image_height: 480
board_width: 9
square_size: 25.
flags: 0
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 5.3591573396163199e+02, 0., 3.4228315473308373e+02, 0.,
       5.3591573396163199e+02, 2.3557082909788173e+02, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -2.6637260909660682e-01, -3.8588898922304653e-02,
       1.7831947042852964e-03, -2.8122100441115472e-04,
       2.3839153080878486e-01 ]
avg_reprojection_error: 3.9259109564815858e-01
"""


def make_camera(length: int) -> Camera:
    return Camera(MATRIX, np.array(COEFFICIENTS[length]), size_px=(1280, 720))


def grid_points(camera: Camera) -> NDArray[np.float64]:
    """Points in the camera frame that spread over the image."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 9), np.linspace(-0.3, 0.3, 7))
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3) * 700.0


def test_field_of_view_reaches_the_image_edges() -> None:
    camera = Camera.from_fov(1280, 720, horizontal_fov_deg=90.0)
    np.testing.assert_allclose(camera.project([[-1, 0, 1], [1, 0, 1]])[:, 0], [-0.5, 1279.5])
    np.testing.assert_allclose(camera.project([[0, 0, 5]]), [[639.5, 359.5]])
    assert camera.matrix[0, 0] == camera.matrix[1, 1] == pytest.approx(640.0)


@LENSES
def test_projection_is_opencvs(length: int) -> None:
    camera = make_camera(length)
    points = grid_points(camera)
    coefficients = np.array(COEFFICIENTS[length]) if length else None
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), MATRIX, coefficients)
    np.testing.assert_allclose(camera.project(points), expected.reshape(-1, 2), atol=1e-9)


@LENSES
def test_undistort_inverts_project(length: int) -> None:
    camera = make_camera(length)
    points = grid_points(camera)
    ideal = Camera(MATRIX, size_px=(1280, 720)).project(points)
    np.testing.assert_allclose(camera.undistort(camera.project(points)), ideal, atol=1e-6)
    rays = camera.rays(camera.project(points))
    np.testing.assert_allclose(rays, points / 700.0, atol=1e-9)


def test_skew_is_kept() -> None:
    matrix = MATRIX.copy()
    matrix[0, 1] = 12.0
    for length in (0, 5):
        camera = Camera(matrix, np.array(COEFFICIENTS[length]), size_px=(1280, 720))
        points = grid_points(camera)
        rays = camera.rays(camera.project(points))
        np.testing.assert_allclose(rays, points / 700.0, atol=1e-9)
    straight = Camera(matrix, size_px=(1280, 720)).project([[0, 100, 100]])
    np.testing.assert_allclose(straight, [[630 + 12, 350 + 910]])


def test_points_beyond_the_lens_model_stay_finite() -> None:
    camera = make_camera(5)
    assert np.all(np.isfinite(camera.undistort([[-9000.0, 100.0], [1e5, 1e5]])))


def test_a_lens_that_tilts_points_out_of_sight_gives_numbers_all_the_same() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        lens = Camera(MATRIX, rng.normal(size=14), size_px=(1280, 720))
        assert np.all(np.isfinite(lens.rays(rng.uniform(-2000, 3000, (30, 2)))))


def test_points_behind_are_nan() -> None:
    for length in (0, 5):
        pixels = make_camera(length).project([[0, 0, -1], [0, 0, 0], [0, 0, 1]])
        assert np.isnan(pixels[:2]).all()
        np.testing.assert_allclose(pixels[2], (630, 350))


@LENSES
def test_mirrored_camera_sees_the_mirrored_world(length: int) -> None:
    camera = make_camera(length)
    points = grid_points(camera)
    expected = camera.project(points)
    expected[:, 0] = 1279 - expected[:, 0]
    np.testing.assert_allclose(camera.mirrored().project(points * (-1, 1, 1)), expected, atol=1e-9)


@LENSES
def test_scaled_camera_keeps_pixel_centres(length: int) -> None:
    camera = make_camera(length)
    points = grid_points(camera)
    expected = (camera.project(points) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(camera.scaled_to(640, 360).project(points), expected, atol=1e-9)
    assert camera.scaled_to(1280, 720) is camera
    assert camera.scaled_to(853, 480).size_px == (853, 480)  # 853.3 rounded


def test_other_aspect_ratio_is_refused() -> None:
    with pytest.raises(InputError, match="640x480 px but the camera is for 1280x720"):
        make_camera(0).scaled_to(640, 480)


@LENSES
@pytest.mark.parametrize("form", ["ros", "opencv"])
def test_files_round_trip(length: int, form: str, tmp_path: Path) -> None:
    camera = make_camera(length)
    path = tmp_path / "camera.yaml"
    camera.save(path, form=form)  # type: ignore[arg-type]
    other = Camera.load(path)
    np.testing.assert_array_equal(other.matrix, camera.matrix)
    padded = np.zeros(max(5, camera.distortion.size, other.distortion.size))
    padded[: camera.distortion.size] = camera.distortion
    np.testing.assert_array_equal(np.pad(other.distortion, (0, 14))[: len(padded)], padded)
    assert other.size_px == (1280, 720)


@settings(max_examples=25, deadline=None)
@given(
    focal=st.floats(1e-3, 1e6),
    center=st.floats(-5, 5),
    coefficients=st.lists(st.floats(-10, 10), min_size=5, max_size=5),
    form=st.sampled_from(["ros", "opencv"]),
)
def test_any_numbers_round_trip(
    focal: float,
    center: float,
    coefficients: list[float],
    form: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("camera") / "c.yaml"
    matrix = np.array([[focal, 0.0, center], [0.0, focal, -center], [0.0, 0.0, 1.0]])
    Camera(matrix, np.array(coefficients), size_px=(7, 5)).save(path, form=form)  # type: ignore[arg-type]
    other = Camera.load(path)
    np.testing.assert_allclose(other.matrix, matrix, rtol=1e-15)
    np.testing.assert_allclose(other.distortion, coefficients, rtol=1e-15, atol=1e-300)


def test_reads_a_ros_calibration(tmp_path: Path) -> None:
    path = tmp_path / "ost.yaml"
    path.write_text(ROS_FILE)
    camera = Camera.load(path)
    np.testing.assert_array_equal(
        camera.matrix, [[430.15433, 0, 320.72588], [0, 430.6092, 235.14921], [0, 0, 1]]
    )
    np.testing.assert_array_equal(camera.distortion, [-0.33758, 0.11161, -0.00021, -0.0003, 0])
    assert camera.size_px == (640, 480)


def test_reads_what_an_editor_marked_as_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    for form in ("ros", "opencv"):
        make_camera(5).save(path, form=form)  # type: ignore[arg-type]
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert Camera.load(path).to_dict() == make_camera(5).to_dict()


def test_reads_a_ros_calibration_with_block_lists(tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(
        "---\nimage_width: 640\nimage_height: 480\ncamera_matrix:\n  rows: 3\n  cols: 3\n  data:\n"
        + "".join(f"  - {v}\n" for v in (500, 0, 320, 0, 501.5, 240, 0, 0, 1))
        + "distortion_coefficients:\n  rows: 1\n  cols: 4\n  data: [0.1, 0.0, 0.0, -1e-3]\n"
    )
    camera = Camera.load(path)
    np.testing.assert_array_equal(camera.matrix, [[500, 0, 320], [0, 501.5, 240], [0, 0, 1]])
    np.testing.assert_array_equal(camera.distortion, [0.1, 0, 0, -0.001])


def test_reads_an_opencv_calibration(tmp_path: Path) -> None:
    path = tmp_path / "out_camera_data.yml"
    path.write_text(OPENCV_FILE)
    camera = Camera.load(path)
    assert camera.matrix[0, 2] == 342.28315473308373
    assert camera.distortion[4] == 0.23839153080878486
    assert camera.size_px == (640, 480)


def test_opencv_reads_what_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    make_camera(5).save(path)
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    np.testing.assert_array_equal(storage.getNode("camera_matrix").mat(), MATRIX)
    np.testing.assert_array_equal(
        storage.getNode("distortion_coefficients").mat(), [COEFFICIENTS[5]]
    )
    storage.release()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it lacks image_width"),
        ("hello\nworld\n", "line 1 is 'hello'"),
        ("%YAML:1.0\n---\nimage_width: 640\n", "it lacks image_height"),
        ("%YAML:1.0\n---\ncamera_matrix: !!opencv-matrix\n  rows: ][", "OpenCV"),
        (ROS_FILE.replace("plumb_bob", "equidistant"), "distortion_model is 'equidistant'"),
        (ROS_FILE.replace("cols: 5", "cols: 4"), "has 5 numbers; expected rows x cols = 1 x 4"),
        (ROS_FILE.replace("image_width: 640", "image_width: wide"), "image_width is 'wide'"),
        (ROS_FILE.replace("430.15433", "many"), "a list holds"),
        (ROS_FILE.replace("430.15433", "-1"), "focal lengths above zero"),
        (ROS_FILE.replace("camera_matrix", "K"), "it lacks camera_matrix"),
    ],
)
def test_bad_files(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        Camera.load(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image_width", "wide", "whole pixels"),
        ("image_height", "[1, 2]", "whole pixels"),
        ("image_width", "640.5", "whole pixels"),
        ("camera_matrix", "5", "holds '5'"),
        ("camera_matrix", "{rows: 3}", "has no cols"),
        ("distortion_coefficients", "[0.1, 0.2, 0.0, 0.0]", "holds"),
    ],
)
def test_opencv_files_with_another_thing_under_a_name(
    key: str, value: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "camera.yaml"
    Camera(MATRIX, COEFFICIENTS[5], size_px=(1280, 720)).save(path, form="opencv")
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(key))
    end = next(
        (i for i in range(start + 1, len(lines)) if not lines[i].startswith(" ")), len(lines)
    )
    path.write_text("\n".join([*lines[:start], f"{key}: {value}", *lines[end:], ""]))
    with pytest.raises(ConfigurationError, match=message):
        Camera.load(path)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Camera.load(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Camera.load(tmp_path / "binary.yaml")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        make_camera(0).save(tmp_path / "no" / "folder.yaml")
    with pytest.raises(ConfigurationError, match="form is 'xml'"):
        make_camera(0).save(tmp_path / "c.yaml", form="xml")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("matrix", "distortion", "size", "message"),
    [
        (np.eye(2), [], (640, 480), "camera matrix is"),
        (np.diag([1.0, 1.0, 2.0]), [], (640, 480), "camera matrix is"),
        (np.diag([-1.0, 1.0, 1.0]), [], (640, 480), "focal lengths above zero"),
        (np.full((3, 3), np.nan), [], (640, 480), "finite"),
        (np.eye(3), [0.1, 0.2], (640, 480), "distortion has 2 coefficients"),
        (np.eye(3), [], (0, 480), "whole pixels"),
        (np.eye(3), [], (640,), "whole pixels"),
    ],
)
def test_bad_numbers(
    matrix: NDArray[np.float64], distortion: list[float], size: tuple[int, int], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Camera(matrix, np.array(distortion), size_px=size)


def test_bad_field_of_view_and_points() -> None:
    with pytest.raises(ConfigurationError, match="horizontal_fov_deg is 180"):
        Camera.from_fov(640, 480, 180)
    with pytest.raises(InputError, match=r"points_mm has shape \(3,\); expected \(N, 3\)"):
        make_camera(0).project([0, 0, 1])
    assert make_camera(5).undistort(np.zeros((0, 2))).shape == (0, 2)
    assert make_camera(5).project(np.zeros((0, 3))).shape == (0, 2)


def test_arrays_cannot_be_changed() -> None:
    camera = make_camera(5)
    with pytest.raises(ValueError, match="read-only"):
        camera.matrix[0, 0] = 1.0


def test_a_camera_of_a_part_of_a_larger_picture_is_read_back(tmp_path: Path) -> None:
    matrix = np.array([[500.0, 0, -900.0], [0, 500, 2000.0], [0, 0, 1]])
    camera = Camera(matrix, size_px=(640, 480))
    camera.save(tmp_path / "part.yaml")
    assert np.array_equal(Camera.load(tmp_path / "part.yaml").matrix, matrix)
