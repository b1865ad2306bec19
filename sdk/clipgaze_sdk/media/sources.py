"""Where frames come from: an image, a folder of images, a video or a webcam."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from .._opencv import cv2

SourceKind = Literal["image", "folder", "video", "camera"]
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_FALLBACK_FPS = 30.0
_CAMERA = re.compile(r"(?:/dev/video)?([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One frame as it came from a source."""

    image: NDArray[np.uint8]
    """(H, W, 3) uint8, BGR."""
    name: str
    """File name of the image or video, or the device."""
    index: int
    """Number of the frame in its source, from 0."""
    timestamp_s: float | None
    """Strictly increasing seconds within a video or webcam; None for an image of its own."""


class Source(Protocol):
    """Something that yields frames once and is then closed."""

    @property
    def kind(self) -> SourceKind:
        """What it reads from."""

    @property
    def frame_count(self) -> int | None:
        """Frames that the source promises to hold; None where it cannot know."""

    @property
    def fps(self) -> float | None:
        """Frames per second; None for images."""

    def frames(self) -> Iterator[SourceFrame]:
        """Yield each frame, once."""

    def close(self) -> None:
        """Release what it holds; safe to call twice."""


def source_kind(source: str) -> SourceKind:
    """Say what ``source`` names, without opening it.

    Raises:
        InputError: nothing of that name exists, or it is an address of a kind not read yet.
    """
    if _camera_index(source) is not None:
        return "camera"
    if "://" in source:
        raise InputError(
            f"cannot read {source!r}: addresses such as rtsp:// and csi:// are not supported yet. "
            "Give an image, a folder of images, a video file, a webcam index or /dev/videoN."
        )
    path = Path(source)
    if path.is_dir():
        return "folder"
    if not path.exists():
        raise InputError(
            f"no such file or folder: {source!r}. Expected an image, a folder of images, "
            "a video file, a webcam index such as 0, or /dev/videoN."
        )
    return "image" if path.suffix.lower() in IMAGE_SUFFIXES else "video"


def open_source(
    source: str, *, on_unreadable: Callable[[InputError], None] | None = None
) -> Source:
    """Open an image, a folder of images, a video file or a webcam.

    Args:
        source: a path, a webcam index such as "0", or "/dev/videoN".
        on_unreadable: told of each picture in a folder that cannot be read, which is then left
            out; without it the first one raises.

    Raises:
        InputError: the source is missing, empty or cannot be opened.
    """
    kind = source_kind(source)
    if kind == "image":
        return ImageSource(Path(source))
    if kind == "folder":
        return FolderSource(Path(source), on_unreadable=on_unreadable)
    if kind == "video":
        return VideoSource(Path(source))
    return CameraSource(_camera_index(source) or 0)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 BGR, upright by its EXIF orientation.

    Grey pictures get three equal channels, 16-bit ones their upper 8 bits, and an alpha channel
    is dropped.

    Raises:
        InputError: the file is missing, unreadable, empty or not a picture.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot read image {str(path)!r}: {reason}. Check the path.") from error
    if data.size == 0:
        raise InputError(f"cannot read image {str(path)!r}: the file is empty. Fetch it again.")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise InputError(f"cannot decode image {str(path)!r}: {error.err}") from error
    if image is None:
        raise InputError(
            f"cannot decode image {str(path)!r}: damaged, or not one of "
            f"{', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)}. Convert it, e.g. to PNG."
        )
    return _bgr(image, str(path))


def folder_images(folder: Path) -> list[Path]:
    """List the pictures of ``folder`` (not of folders in it) in order of their names.

    Raises:
        InputError: there are none.
    """
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and path.name[0] != "."
    )
    if not paths:
        raise InputError(
            f"no picture in folder {str(folder)!r}: expected files ending in "
            f"{', '.join(IMAGE_SUFFIXES)} directly in it."
        )
    return paths


class ImageSource:
    """A single picture."""

    kind: SourceKind = "image"
    frame_count: int | None = 1
    fps: float | None = None

    def __init__(self, path: Path) -> None:
        self._frame = SourceFrame(read_image(path), path.name, 0, None)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the picture."""
        yield self._frame

    def close(self) -> None:
        """Hold nothing, so release nothing."""


class FolderSource:
    """The pictures of a folder, each an image of its own."""

    kind: SourceKind = "folder"
    fps: float | None = None

    def __init__(
        self, folder: Path, *, on_unreadable: Callable[[InputError], None] | None = None
    ) -> None:
        self._paths = folder_images(folder)
        self._on_unreadable = on_unreadable
        self.frame_count: int | None = len(self._paths)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the pictures that can be read, in the order of their names."""
        for index, path in enumerate(self._paths):
            try:
                image = read_image(path)
            except InputError as error:
                if self._on_unreadable is None:
                    raise
                self._on_unreadable(error)
                continue
            yield SourceFrame(image, path.name, index, None)

    def close(self) -> None:
        """Hold nothing, so release nothing."""


class VideoSource:
    """A video file, with the timestamps that its container holds."""

    kind: SourceKind = "video"

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_ANY)
        if not self._capture.isOpened():
            raise InputError(
                f"cannot open video {str(path)!r}: damaged, cut off before its index, not a video, "
                "or a codec that this OpenCV lacks. Play it or convert it with ffmpeg, and see "
                "`clipgaze doctor`."
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps: float | None = fps if np.isfinite(fps) and 0.0 < fps <= 1000.0 else _FALLBACK_FPS
        count = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count: int | None = round(count) if np.isfinite(count) and count >= 1 else None

    def frames(self) -> Iterator[SourceFrame]:
        """Yield frames until the video ends or cannot be decoded further."""
        step_s = 1.0 / (self.fps or _FALLBACK_FPS)
        last_s: float | None = None
        index = 0
        while True:
            image = _read_frame(self._capture)
            if image is None:
                return
            timestamp_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
            if last_s is None:
                timestamp_s = timestamp_s if np.isfinite(timestamp_s) else 0.0
            elif not timestamp_s > last_s or not np.isfinite(timestamp_s):
                timestamp_s = last_s + step_s  # the container has none, or they jump back
            last_s = timestamp_s
            yield SourceFrame(_bgr(image, self._name), self._name, index, timestamp_s)
            index += 1

    def close(self) -> None:
        """Release the device or file; safe to call twice."""
        self._capture.release()


class CameraSource:
    """A webcam, with timestamps from the monotonic clock, 0 at its first frame."""

    kind: SourceKind = "camera"
    frame_count: int | None = None

    def __init__(self, index: int) -> None:
        self._name = f"camera {index}"
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise InputError(
                f"cannot open camera {index}: no such device, in use by another program, or no "
                "permission. `clipgaze doctor` lists the devices."
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps: float | None = fps if np.isfinite(fps) and 0.0 < fps <= 1000.0 else _FALLBACK_FPS

    def frames(self) -> Iterator[SourceFrame]:
        """Yield frames until the camera stops.

        Raises:
            InputError: the camera opened but never gave a frame.
        """
        start_s: float | None = None
        last_s = -1.0
        index = 0
        while True:
            image = _read_frame(self._capture)
            if image is None:
                if index == 0:
                    raise InputError(f"{self._name} gave no frame. Unplug it or try another index.")
                return
            now_s = time.monotonic()
            start_s = now_s if start_s is None else start_s
            last_s = max(now_s - start_s, last_s + 1e-6)
            yield SourceFrame(_bgr(image, self._name), self._name, index, last_s)
            index += 1

    def close(self) -> None:
        """Release the device or file; safe to call twice."""
        self._capture.release()


def _camera_index(source: str) -> int | None:
    device = _CAMERA.fullmatch(source)
    return int(device[1]) if device else None


def _read_frame(capture: cv2.VideoCapture) -> NDArray[np.generic] | None:
    try:
        ok, image = capture.read()
    except cv2.error:  # some decoders raise on damaged data instead of ending
        return None
    return image if ok and image is not None and image.size else None


def _bgr(image: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise InputError(
            f"cannot use {name!r}: it decodes to {image.dtype} {image.shape}, expected 8-bit "
            "grey or colour. Convert it, e.g. to PNG."
        )
    pixels = image.astype(np.uint8, copy=False)
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    return np.ascontiguousarray(pixels[:, :, :3])
