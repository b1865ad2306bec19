"""Camera files: YAML as OpenCV's FileStorage writes it, and as ROS's camera_info has it.

Both are read here, without recursion: OpenCV's reader corrupts memory where a line is missing.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._errors import ConfigurationError

_CameraNumbers = tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]

_MAX_BYTES = 1 << 20
"""A camera file has a few kB; with every point of a calibration in it, some hundred."""
_NAMES = {
    "image_width": "image_Width",
    "image_height": "image_Height",
    "camera_matrix": "Camera_Matrix",
    "distortion_coefficients": "Distortion_Coefficients",
}
"""Current spellings, and those of OpenCV's older calibration samples."""
_ROS_MODELS = ("plumb_bob", "rational_polynomial")
_OTHER_LENSES = re.compile(
    r"(?i)fish|equidist|equisolid|kannala|brandt|omni|\bmei\b|graphic|unified|ucm|sphere|fov|atan|"
    r"theta|panoram|cylind"
)
"""What names of lens models hold that are not the pinhole's with OpenCV's coefficients."""

_KEY = re.compile(r"""(['"]?)([A-Za-z_][\w.-]*)\1[ \t]*:(.*)""", re.ASCII)
_ENTRY = re.compile(
    r"(?<![\w.-])(rows|cols|dt|data)\s*:\s*(\[[^][]*\]|-\s[^][{}:]*(?=\n|$)|[^][{}\s,]+)"
)
_ENTRIES = {"rows": r"\d{1,4}", "cols": r"\d{1,4}", "dt": r"(['\"]?)[dfi]\1", "data": r".*"}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def read_camera_file(path: str | Path) -> _CameraNumbers:
    """Return (matrix, distortion, size_px) of a file; see :meth:`clipgaze_sdk.Camera.load`."""
    try:
        with Path(path).open("rb") as file:
            return _read(file.read(_MAX_BYTES + 1))
    except (OSError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"camera file {str(path)!r} cannot be read: {error}. Give YAML as Camera.save, "
            "OpenCV's FileStorage or ROS's camera_calibration write it."
        ) from error


def _bad(given: str, expected: str) -> ValueError:
    return ValueError(f"{given}; expected {expected}")


def _read(data: bytes) -> _CameraNumbers:
    if len(data) > _MAX_BYTES:
        raise _bad(f"it has more than {_MAX_BYTES} bytes", "a camera file of some kB")
    text = data.decode("utf-8-sig")
    if other := {"<": "XML", "{": "JSON"}.get(text.lstrip()[:1]):
        raise _bad(f"it is {other}", "YAML: save it under a name that ends in .yaml")
    blocks = _blocks(text)
    for key, value in blocks.items():
        _check_lens(key, value.strip(" \t\n'\""))
    found = {}
    for name, old_name in _NAMES.items():
        keys = [key for key in (name, old_name) if key in blocks]
        if len(keys) != 1:
            said = f"it has {' and '.join(keys)}" if keys else f"it lacks {name}"
            raise _bad(said, f"{', '.join(_NAMES)}, each once")
        found[name] = blocks[keys[0]]
    width, height = (_side(name, found[name]) for name in ("image_width", "image_height"))
    matrix = _matrix("camera_matrix", found["camera_matrix"])
    distortion = _matrix("distortion_coefficients", found["distortion_coefficients"])
    if matrix.shape != (3, 3):
        raise _bad(f"camera_matrix is {matrix.shape[0]}x{matrix.shape[1]}", "3x3")
    for name, centre, side in (("cx", matrix[0, 2], width), ("cy", matrix[1, 2], height)):
        if not -10 * side <= centre <= 11 * side:  # wide, for parts of larger pictures
            given = f"camera_matrix has {name} = {centre:g} for a side of {side} px"
            raise _bad(given, f"a centre in or near the picture ({-10 * side} to {11 * side})")
    return matrix, distortion.ravel(), (width, height)


def _blocks(text: str) -> dict[str, str]:
    """Split at the keys of the first level; the text under a key keeps its lines."""
    blocks: dict[str, list[str]] = {}
    lines: list[str] | None = None
    depth = 0
    for number, raw in enumerate(text.split("\n"), start=1):
        line = re.sub(r"(^|\s)#.*", "", raw).rstrip()
        if not line or (not depth and line.startswith(("%", "---", "..."))):
            continue
        key = None if depth else _KEY.fullmatch(line)
        if key is not None:
            if key[2] in blocks:
                raise _bad(f"line {number} has {key[2]!r} again", "each key once")
            line, lines = key[3], blocks.setdefault(key[2], [])
        elif lines is None or not (depth or line[0] in " \t-"):
            raise _bad(f"line {number} is {line.strip()[:60]!r}", "`key: value`")
        lines.append(line)
        bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", line)
        depth = max(0, depth + sum(map(bare.count, "[{")) - sum(map(bare.count, "]}")))
    return {key: "\n".join(lines) for key, lines in blocks.items()}


def _check_lens(key: str, value: str) -> None:
    """Refuse a lens model whose coefficients mean something else, by its name."""
    name = key.lower()
    if name == "distortion_model":
        known = value in _ROS_MODELS
    elif "fisheye" in name:  # OpenCV's calibration sample says fisheye_model: 1
        known = value.lower() in ("0", "false", "no", "")
    else:
        named = re.search(r"model|type|lens|projection$|distortion$", name)
        known = named is None or not _OTHER_LENSES.search(value)
    if not known:
        lenses = f"a pinhole lens ({' or '.join(_ROS_MODELS)}); others are not supported"
        raise _bad(f"{key} is {value[:60]!r}", lenses)


def _side(name: str, text: str) -> int:
    digits = re.fullmatch(r"0*(\d{1,7})(\.0*)?", text.strip(), re.ASCII)
    if digits is None or int(digits[1]) == 0:
        raise _bad(f"{name} is {text.strip()[:60]!r}", "whole pixels")
    return int(digits[1])


def _matrix(name: str, text: str) -> NDArray[np.float64]:
    """Read rows, cols and data, as lines or inline in braces."""
    expected = "rows and cols in whole numbers, dt d or f, and data: [numbers]"
    body = re.sub(r"^\s*!!?[\w-]+", "", text)
    entries: dict[str, str] = {}
    for entry in _ENTRY.finditer(body):
        if entry[1] in entries:
            raise _bad(f"{name} has {entry[1]} twice", "it once")
        entries[entry[1]] = entry[2]
    rest = " ".join(_ENTRY.sub(" ", body).replace(",", " ").split()).strip("{ }")
    if rest:
        raise _bad(f"{name} holds {rest[:60]!r}", expected)
    entries.setdefault("dt", "d")  # ROS has none
    for key, form in _ENTRIES.items():
        if key not in entries:
            raise _bad(f"{name} has no {key}", expected)
        if not re.fullmatch(form, entries[key], re.ASCII | re.DOTALL):
            raise _bad(f"{name} has {key} {entries[key][:60]!r}", expected)
    rows, cols = int(entries["rows"]), int(entries["cols"])
    words = re.sub(r"[][,]|(?:^|(?<=\n))\s*-\s", " ", entries["data"]).split()
    for word in words:
        if not _NUMBER.fullmatch(word):
            raise _bad(f"a list holds {word[:60]!r} in {name}", "numbers")
    if rows * cols != len(words):
        raise _bad(f"{name} has {len(words)} numbers", f"rows x cols = {rows} x {cols}")
    return np.array(words, dtype=np.float64).reshape(rows, cols)


def write_camera_file(path: str | Path, camera: _CameraNumbers, form: str) -> None:
    """Write (matrix, distortion, size_px) to a file; see :meth:`clipgaze_sdk.Camera.save`."""
    if form not in ("ros", "opencv"):
        raise ConfigurationError(f"form is {form!r}; expected 'ros' or 'opencv'.")
    ros, (matrix, distortion, size_px) = form == "ros", camera
    # Neither form has a matrix without elements, and ROS names its models by length: 5 is
    # plumb_bob, 8 rational_polynomial. What is shorter is filled up; longer ones (thin prism,
    # tilt) are kept under the second name in OpenCV's order.
    if distortion.size == 0 or (ros and distortion.size == 4):
        distortion = np.pad(distortion, (0, 5 - distortion.size))
    text = "image_width: {}\nimage_height: {}\n".format(*size_px)
    text = f"{text}camera_name: camera\n" if ros else f"%YAML:1.0\n---\n{text}"
    text += _matrix_text("camera_matrix", matrix, tagged=not ros)
    text += f"distortion_model: {_ROS_MODELS[int(distortion.size > 5)]}\n" if ros else ""
    text += _matrix_text("distortion_coefficients", distortion[None], tagged=not ros)
    if ros:
        text += _matrix_text("rectification_matrix", np.eye(3))
        text += _matrix_text("projection_matrix", np.hstack([matrix, np.zeros((3, 1))]))
    try:
        Path(path).write_text(text, encoding="utf-8")
    except (OSError, TypeError, ValueError) as error:
        message = f"camera file {str(path)!r} cannot be written ({error}). Check the folder."
        raise ConfigurationError(message) from error


def _matrix_text(name: str, matrix: NDArray[np.float64], *, tagged: bool = False) -> str:
    tag, kind = (" !!opencv-matrix", "   dt: d\n") if tagged else ("", "")
    numbers = ", ".join(repr(float(v)) for v in matrix.ravel())
    return (
        f"{name}:{tag}\n   rows: {matrix.shape[0]}\n   cols: {matrix.shape[1]}\n{kind}"
        f"   data: [ {numbers} ]\n"
    )
