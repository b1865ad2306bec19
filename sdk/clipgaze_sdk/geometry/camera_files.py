"""Camera files: YAML as OpenCV's FileStorage writes it, and as ROS's camera_info has it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._errors import ConfigurationError

_CameraNumbers = tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]
_RosNode = dict[str, "str | list[float] | dict[str, str | list[float]]"]

_MAX_SIDE_PX = 1e6
"""OpenCV reads a text as a number beyond all bounds."""
_ROS_MODELS = ("plumb_bob", "rational_polynomial")
_OPENCV_NAMES = {
    "camera_matrix": ("camera_matrix", "Camera_Matrix"),
    "distortion_coefficients": ("distortion_coefficients", "Distortion_Coefficients"),
    "image_width": ("image_width", "image_Width"),
    "image_height": ("image_height", "image_Height"),
}
"""Current spellings, then those of OpenCV's older calibration samples."""


def read_camera_file(path: Path) -> _CameraNumbers:
    """Return (matrix, distortion, size_px) of a camera file of either form.

    Raises:
        ConfigurationError: the file is missing, unreadable, or not of either form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"camera file {str(path)!r} cannot be read ({error}); expected a YAML text file. Check "
            "the path."
        ) from error
    if text.lstrip().startswith("%YAML"):
        return _read_opencv(text, path)
    return _read_ros(text, path)


def write_camera_file(
    path: Path,
    *,
    matrix: NDArray[np.float64],
    distortion: NDArray[np.float64],
    size_px: tuple[int, int],
    form: str,
) -> None:
    """Write a camera file; see :meth:`clipgaze_sdk.Camera.save`."""
    if form not in ("ros", "opencv"):
        raise ConfigurationError(f"form is {form!r}; expected 'ros' or 'opencv'.")
    write = _ros_text if form == "ros" else _opencv_text
    try:
        path.write_text(write(matrix, distortion, size_px), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"camera file {str(path)!r} cannot be written ({error}). Check the folder and its "
            "permissions."
        ) from error


def _bad(path: Path, given: str, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"camera file {str(path)!r}: {given}; expected {expected}. Write the file with "
        "Camera.save, OpenCV's FileStorage or ROS's camera_calibration."
    )


# ---------------------------------------------------------------------------------------- OpenCV


def _read_opencv(text: str, path: Path) -> _CameraNumbers:
    from .._opencv import cv2

    try:
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        nodes = {
            name: next((n for s in names if not (n := storage.getNode(s)).empty()), None)
            for name, names in _OPENCV_NAMES.items()
        }
        found = {name: node for name, node in nodes.items() if node is not None}
        missing = [name for name in nodes if name not in found]
        if missing:
            raise _bad(path, f"it lacks {', '.join(missing)}", "all of " + ", ".join(_OPENCV_NAMES))
        matrix = found["camera_matrix"].mat()
        distortion = found["distortion_coefficients"].mat()
        width, height = (found[name].real() for name in ("image_width", "image_height"))
        storage.release()
    except (cv2.error, SystemError) as error:  # no YAML, or no matrix where one should be
        raise _bad(path, "OpenCV cannot parse it", "YAML as OpenCV's FileStorage writes") from error
    if not all(n.is_integer() and n < _MAX_SIDE_PX for n in (width, height)):
        raise _bad(path, "image_width or image_height is no such number", "whole pixels")
    size_px = int(width), int(height)
    if matrix is None or matrix.shape != (3, 3):
        raise _bad(path, "camera_matrix is no 3x3 matrix", "an !!opencv-matrix of 3 rows, 3 cols")
    coefficients = np.zeros(0) if distortion is None else np.ravel(distortion)
    return np.asarray(matrix, np.float64), np.asarray(coefficients, np.float64), size_px


def _opencv_text(
    matrix: NDArray[np.float64], distortion: NDArray[np.float64], size_px: tuple[int, int]
) -> str:
    # FileStorage cannot write a matrix without elements: no distortion is five zeros.
    coefficients = distortion if distortion.size else np.zeros(5)
    return (
        "%YAML:1.0\n---\n"
        f"image_width: {size_px[0]}\n"
        f"image_height: {size_px[1]}\n"
        f"camera_matrix: !!opencv-matrix\n{_matrix_lines(matrix, tag=True)}"
        "distortion_coefficients: !!opencv-matrix\n"
        f"{_matrix_lines(coefficients[None], tag=True)}"
    )


def _matrix_lines(matrix: NDArray[np.float64], *, tag: bool) -> str:
    numbers = ", ".join(repr(float(v)) for v in matrix.ravel())
    return (
        f"   rows: {matrix.shape[0]}\n   cols: {matrix.shape[1]}\n"
        + ("   dt: d\n" if tag else "")
        + f"   data: [ {numbers} ]\n"
    )


# ------------------------------------------------------------------------------------------- ROS


def _ros_text(
    matrix: NDArray[np.float64], distortion: NDArray[np.float64], size_px: tuple[int, int]
) -> str:
    coefficients = distortion if distortion.size else np.zeros(5)
    # ROS names the models by length: 5 is plumb_bob, 8 rational_polynomial; shorter ones are
    # filled up, longer ones (thin prism, tilt) are kept under the second name as OpenCV's order.
    if coefficients.size == 4:
        coefficients = np.append(coefficients, 0.0)
    model = _ROS_MODELS[0] if coefficients.size == 5 else _ROS_MODELS[1]
    projection = np.hstack([matrix, np.zeros((3, 1))])
    return (
        f"image_width: {size_px[0]}\n"
        f"image_height: {size_px[1]}\n"
        "camera_name: camera\n"
        f"camera_matrix:\n{_matrix_lines(matrix, tag=False)}"
        f"distortion_model: {model}\n"
        f"distortion_coefficients:\n{_matrix_lines(coefficients[None], tag=False)}"
        f"rectification_matrix:\n{_matrix_lines(np.eye(3), tag=False)}"
        f"projection_matrix:\n{_matrix_lines(projection, tag=False)}"
    )


def _read_ros(text: str, path: Path) -> _CameraNumbers:
    node = _parse_ros(text, path)
    for key in ("image_width", "image_height", "camera_matrix", "distortion_coefficients"):
        if key not in node:
            raise _bad(path, f"it lacks {key}", "ROS's camera_info keys, or OpenCV's %YAML header")
    model = node.get("distortion_model", _ROS_MODELS[0])
    if model not in _ROS_MODELS:
        raise _bad(path, f"distortion_model is {model!r}", f"one of {', '.join(_ROS_MODELS)}")
    size = []
    for key in ("image_width", "image_height"):
        value = node[key]
        if not isinstance(value, str) or not value.isdigit():
            raise _bad(path, f"{key} is {value!r}", "whole pixels")
        size.append(int(value))
    matrix = _ros_matrix(node, "camera_matrix", path)
    if matrix.shape != (3, 3):
        raise _bad(path, f"camera_matrix is {matrix.shape[0]}x{matrix.shape[1]}", "3x3")
    distortion = _ros_matrix(node, "distortion_coefficients", path).ravel()
    return matrix, distortion, (size[0], size[1])


def _ros_matrix(node: _RosNode, key: str, path: Path) -> NDArray[np.float64]:
    value = node[key]
    if not isinstance(value, dict) or not isinstance(data := value.get("data"), list):
        raise _bad(path, f"{key} has no data", "rows, cols and data: [numbers]")
    rows, cols = value.get("rows"), value.get("cols")
    if not (isinstance(rows, str) and rows.isdigit() and isinstance(cols, str) and cols.isdigit()):
        raise _bad(path, f"{key} has rows {rows!r} and cols {cols!r}", "two whole numbers")
    if int(rows) * int(cols) != len(data):
        raise _bad(path, f"{key} has {len(data)} numbers", f"rows x cols = {rows} x {cols}")
    return np.array(data, dtype=np.float64).reshape(int(rows), int(cols))


def _parse_ros(text: str, path: Path) -> _RosNode:
    """Parse the part of YAML that camera_info files use: two levels, scalars, lists of numbers."""
    node: _RosNode = {}
    parent: dict[str, str | list[float]] | None = None
    for number, line in enumerate(_ros_lines(text), start=1):
        match = re.fullmatch(r"(\s*)([A-Za-z_]\w*)\s*:\s*(.*?)\s*", line)
        dash = re.fullmatch(r"\s*-\s*(\S+)\s*", line)
        if dash is not None and parent is not None and "data" in parent:
            items = parent["data"]
            parent["data"] = [*(items if isinstance(items, list) else []), *_numbers(dash[1], path)]
            continue
        if match is None:
            raise _bad(path, f"statement {number} is {line.strip()!r}", "`key: value`")
        indent, key, value = match.groups()
        content = _numbers(value[1:-1], path) if value.startswith("[") else value.strip("'\"")
        if not indent:
            parent = None
            if value:
                node[key] = content
            else:
                node[key] = parent = {}
        elif parent is not None:
            parent[key] = content
        else:
            raise _bad(path, f"{key!r} is indented under nothing", "a `key:` line above it")
    return node


def _ros_lines(text: str) -> list[str]:
    """Return statements: comments and blank lines gone, bracketed lists joined to one line."""
    statements: list[str] = []
    for raw in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        if not line or line.strip() in ("---", "..."):
            continue
        if statements and statements[-1].count("[") > statements[-1].count("]"):
            statements[-1] += " " + line.strip()
        else:
            statements.append(line)
    return statements


def _numbers(text: str, path: Path) -> list[float]:
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise _bad(path, f"a list holds {text.strip()!r}", "numbers") from error
