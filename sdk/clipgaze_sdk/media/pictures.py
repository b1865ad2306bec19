"""Picture files: what a file holds by its first bytes, and reading and writing whole pictures."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from .._opencv import cv2
from ..writing import cannot_write

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
OTHER_SUFFIXES = (".avif", ".dng", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".psd")
"""Pictures that are not read; in a folder they are told of."""
MAX_SIDE_PX = 32768
MAX_PIXELS = 1 << 27
"""Decoding takes up to 6 bytes for each."""
_BEGINNINGS = {  # of their files
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WebP": rb"RIFF.{4}WEBP",
    "BMP": rb"BM.{4}\0{4}",
    "TIFF": rb"II\*\0|MM\0\*",
    "GIF": rb"GIF8",
    "PSD": rb"8BPS",
    "JPEG XL": rb"\xff\n|.{4}JXL ",
    "JPEG 2000": rb".{4}jP  ",
    "AVIF": rb".{4}ftypavi[fs]",
    "HEIC": rb".{4}ftyp(hei[cxm]|hevc|mif1)",
}
_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xfe])")


def kind_of(head: bytes) -> str | None:
    """Name the picture format that a file's first 32 bytes tell; None for anything else."""
    found = (kind for kind, text in _BEGINNINGS.items() if re.match(text, head, re.DOTALL))
    return next(found, None)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Read (width, height) in pixels from a header; None for what is not read or is damaged."""
    kind = kind_of(data[:32])
    try:
        if kind == "PNG":
            width, height = struct.unpack_from(">II", data, 16)
        elif kind == "BMP":
            old = struct.unpack_from("<I", data, 14)[0] == 12
            width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
        else:
            return {"WebP": _webp_size, "JPEG": _jpeg_size, "TIFF": _tiff_size}[kind or ""](data)
        return abs(width), abs(height)
    except (KeyError, struct.error):
        return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if data[12:16] == b"VP8X":
        sides = struct.unpack_from("<HBHB", data, 24)
        return (sides[0] | sides[1] << 16) + 1, (sides[2] | sides[3] << 16) + 1
    if data[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
        if marker in (0xD9, 0xDA):
            return None
        at += struct.unpack_from(">H", data, at)[0]
    return None


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    order = "<" if data[0] == ord("I") else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    sides = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in (256, 257):
            sides[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)[0]
    return (sides[256], sides[257]) if len(sides) == 2 else None


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 BGR, upright by its EXIF orientation.

    Grey pictures get three equal channels, 16-bit ones their upper 8 bits, and an alpha channel
    is dropped.

    Raises:
        InputError: the file is missing, unreadable, empty, too large or not a picture.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read image {str(path)!r}: {reason}. Check the path.") from error
    if not data:
        raise InputError(f"cannot read image {str(path)!r}: the file is empty. Fetch it again.")
    size = picture_size(data)
    if size is None:
        kind = kind_of(data[:32]) or "unknown"
        raise InputError(
            f"cannot decode image {str(path)!r}: it is damaged or its format ({kind}) is none of "
            f"{', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)}. Convert it, e.g. to PNG."
        )
    check_size(str(path), *size)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise InputError(f"cannot decode image {str(path)!r}: {error.err}") from error
    if image is None:
        raise InputError(f"cannot decode image {str(path)!r}: it is damaged. Fetch it again.")
    return np.asarray(image, dtype=np.uint8)


def check_size(name: str, width: int, height: int) -> None:
    """Raise InputError for what would take too much memory, before any is taken."""
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise InputError(
            f"cannot use {name!r}: it has {width}x{height} px; expected sides of at most "
            f"{MAX_SIDE_PX} px and at most {MAX_PIXELS / 1e6:.0f} million pixels. Shrink it."
        )


def as_bgr(image: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Make (H, W, 3) uint8 of what a decoder gave, or raise InputError for no 8-bit one."""
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise InputError(
            f"cannot use {name!r}: it decodes to {image.dtype} {image.shape}, expected 8-bit "
            "grey or colour. Convert it, e.g. to PNG."
        )
    pixels = image.astype(np.uint8, copy=False)
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    return np.ascontiguousarray(pixels[:, :, :3])


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a BGR picture in the format of the path's suffix, whole or not at all.

    A file of that name is replaced at the end; a link is replaced, not followed.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        ok, data = cv2.imencode(path.suffix.lower(), image)
    except cv2.error as error:
        raise InputError(f"cannot encode {str(path)!r}: {error.err}. Try .png.") from error
    if not ok:
        raise InputError(f"cannot encode {str(path)!r}: this OpenCV cannot write it. Try .png.")
    partial = path.with_name(f".clipgaze-{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as file:
            file.write(data.tobytes())
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def shown_name(name: str) -> str:
    r"""Spell a file's name in characters that every output can hold; other bytes become \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
