"""Camera files that are damaged, hostile, of another form or of another lens."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from clipgaze_sdk import Camera, ConfigurationError

CAMERA = Camera(
    np.array([[500.0, 0.0, 320.0], [0.0, 510.0, 240.0], [0.0, 0.0, 1.0]]),
    np.array([0.1, -0.2, 0.001, 0.002, 0.01]),
    size_px=(640, 480),
)
INLINE = (
    "image_width: 640\nimage_height: 480\n"
    "camera_matrix: {rows: 3, cols: 3, data: [500, 0, 320, 0, 510.0, 2.4e2, 0, 0, 1]}\n"
    "distortion_model: plumb_bob\n"
    "distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001,\n  0.002, 0.01]}\n"
)


def text_of(tmp_path: Path, form: Literal["ros", "opencv"] = "opencv") -> str:
    CAMERA.save(tmp_path / "saved.yaml", form=form)
    return (tmp_path / "saved.yaml").read_text()


def load(tmp_path: Path, text: str | bytes) -> Camera:
    path = tmp_path / "camera.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Camera.load(path)


def refuse(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(tmp_path, text)
    assert "camera.yaml" in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("form", ["ros", "opencv"])
def test_any_lost_line_gives_the_same_numbers_or_is_refused(
    tmp_path: Path, form: Literal["ros", "opencv"]
) -> None:
    lines = text_of(tmp_path, form).splitlines()
    read = 0
    for lost in range(len(lines)):
        try:
            camera = load(tmp_path, "\n".join(lines[:lost] + lines[lost + 1 :]))
        except ConfigurationError:
            continue
        assert camera.to_dict() == CAMERA.to_dict(), lines[lost]
        read += 1
    # Harmless: headers, names, dt, and in ROS's form what is not asked for.
    assert read >= 4


def test_a_matrix_without_cols_is_refused_by_name(tmp_path: Path) -> None:
    text = text_of(tmp_path).replace("   cols: 3\n", "", 1)
    refuse(tmp_path, text, "camera_matrix has no cols; expected rows and cols in whole numbers")


def test_random_damage_is_read_or_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for form in ("ros", "opencv"):
        whole = text_of(tmp_path, form).encode()  # type: ignore[arg-type]
        for _ in range(300):
            data = bytearray(whole)
            for place in random.integers(0, len(data), random.integers(1, 6)):
                data[place] = random.integers(0, 256)
            start, length = random.integers(0, len(data)), random.integers(0, 40)
            del data[start : start + length]
            try:
                assert load(tmp_path, bytes(data)).matrix.shape == (3, 3)
            except ConfigurationError:
                continue


@pytest.mark.parametrize("opening", ["[", "{", "a: [", "- "])
@pytest.mark.parametrize("before", ["%YAML:1.0\n---\n", "camera_matrix: ", ""])
def test_a_deep_file_is_refused(tmp_path: Path, opening: str, before: str) -> None:
    refuse(tmp_path, before + opening * 60_000, "camera.yaml")


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    refuse(tmp_path, "# x\n" * 400_000, "more than 1048576 bytes")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
def test_an_endless_file_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than 1048576 bytes"):
        Camera.load("/dev/zero")


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("  - 1.0\n" * 100_000, id="items"),
        pytest.param(" " * 900_000, id="spaces"),
        pytest.param("a" * 900_000, id="letters"),
        pytest.param("rows" * 200_000, id="keys"),
        pytest.param("data: [" * 100_000, id="lists"),
        pytest.param("'" * 900_000, id="quotes"),
    ],
)
def test_time_grows_with_the_length_alone(tmp_path: Path, lines: str) -> None:
    text = INLINE.replace("{rows: 3", "\n  " + lines + "\n  {rows: 3")
    start_s = time.process_time()
    with contextlib.suppress(ConfigurationError):  # of spaces alone nothing is wrong
        load(tmp_path, text)
    assert time.process_time() - start_s < 10.0  # quadratic: minutes


def test_reads_the_inline_form(tmp_path: Path) -> None:
    assert load(tmp_path, INLINE).to_dict() == CAMERA.to_dict()
    windows = INLINE.replace("\n", "\r\n").replace(": ", ":\t")
    assert load(tmp_path, windows).to_dict() == CAMERA.to_dict()


def test_reads_what_opencv_writes_with_more_in_it(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("calibration_time", "Sat Nov 28 [12:00")
    for name, number in (("image_width", 640), ("image_height", 480), ("fisheye_model", 0)):
        storage.write(name, number)
    storage.writeComment("a comment: [")
    storage.write("camera_matrix", CAMERA.matrix)
    storage.write("distortion_coefficients", CAMERA.distortion[:, None])
    storage.write("image_points", np.ones((5, 40, 2), np.float32))
    storage.write("camera_model", "pinhole")
    storage.release()
    assert Camera.load(path).to_dict() == CAMERA.to_dict()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("distortion_model", "equidistant"),
        ("distortion_model", "fisheye"),
        ("distortion_model", "'kannala_brandt4'"),
        ("distortion_model", "none"),
        ("camera_model", "KannalaBrandt8"),
        ("model_type", "MEI"),
        ("Camera.type", '"Fisheye"'),
        ("lens", "{model: double_sphere, xi: 0.1}"),
        ("projection_model", "stereographic"),
        ("fisheye_model", "1"),
    ],
)
@pytest.mark.parametrize("form", ["ros", "opencv"])
def test_another_lens_is_refused_by_name(
    tmp_path: Path, form: Literal["ros", "opencv"], key: str, value: str
) -> None:
    text = text_of(tmp_path, form).replace("distortion_model: plumb_bob\n", "")
    name = value.strip("'\"")
    refuse(tmp_path, f"{text}{key}: {value}\n", f"{key} is .{name}.; expected a pinhole lens")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image_width: 640", "image_width: 640\nimage_width: 1280", "line 2 has 'image_width' aga"),
        ("{rows: 3", "{rows: 3, rows: 3", "camera_matrix has rows twice"),
        ("image_width: 640", "image_width: 640\nCamera_Matrix: 5", "camera_matrix and Camera_Matr"),
        ("320", "99999", r"cx = 99999 for a side of 640 px; expected a centre in or near the pic"),
        ("2.4e2", "-4e5", r"cy = -400000 for a side of 480 px"),
        ("320", "1e999", "cx = inf"),
        ("320", "nan", "a list holds 'nan'"),
        ("image_width: 640", "image_width: ²", "image_width is '²'; expected whole pixels"),
        ("image_width: 640", "image_width: 0", "image_width is '0'"),
        ("image_width: 640", "image_width: " + "9" * 5000, "image_width is '999"),
        ("rows: 3", "rows: ²", "camera_matrix has rows '²'"),
        ("cols: 3", "cols: -3", "camera_matrix has cols '-3'"),
        ("rows: 3", 'rows: 3, dt: "2d"', "camera_matrix has dt '\"2d\"'"),
        ("rows: 3", "depth: 3", "camera_matrix holds 'depth: 3"),
        (", data: [500", ", atad: [500", "camera_matrix holds 'atad"),
        ("rows: 1, cols: 5", "rows: 1, cols: 4", "has 5 numbers; expected rows x cols = 1 x 4"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    refuse(tmp_path, INLINE.replace(old, new, 1), message)


def test_xml_and_json_are_named(tmp_path: Path) -> None:
    for suffix, name in ((".xml", "XML"), (".json", "JSON")):
        path = tmp_path / f"camera{suffix}"
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        storage.write("camera_matrix", CAMERA.matrix)
        storage.release()
        with pytest.raises(ConfigurationError, match=f"it is {name}; expected YAML"):
            Camera.load(path)


def test_paths_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Camera.load("a\0b")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Camera.load(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="cannot be written"):
        CAMERA.save("a\0b")
