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
from .._opencv import cv2, opencv_path, quiet_opencv
from .pictures import IMAGE_SUFFIXES, OTHER_SUFFIXES, as_bgr, check_size, kind_of, read_image

SourceKind = Literal["image", "folder", "video", "camera"]
_PICTURES_IN_A_ROW = (".mjpeg", ".mjpg")
"""Videos that begin as a picture does."""
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
    """Say what ``source`` names, by its suffix and by what the file begins with.

    Raises:
        InputError: nothing of that name exists, or it is an address or a picture of a kind that is
            not read.
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
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return "image"
    if path.suffix.lower() in _PICTURES_IN_A_ROW:
        return "video"
    picture = _picture_in(path)
    if picture in ("PNG", "JPEG", "WebP", "BMP"):
        return "image"
    if picture not in (None, "GIF"):  # an animated GIF is a video
        raise InputError(
            f"cannot read {source!r}: a {picture} picture under this name is not supported. "
            "Convert it to JPEG or PNG; turn it upright if it lies on its side."
        )
    return "video"


def _picture_in(path: Path) -> str | None:
    """Name the picture format in a file; None for what is no picture or no plain file."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return kind_of(file.read(32))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}. Check the path.") from error


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


def folder_images(folder: Path) -> list[Path]:
    """List the pictures of ``folder`` (not of folders in it) by name, 2 before 10.

    Raises:
        InputError: there are none.
    """
    paths = [path for path in _files(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
    if not paths:
        raise InputError(
            f"no picture in folder {str(folder)!r}: expected files ending in "
            f"{', '.join(IMAGE_SUFFIXES)} directly in it."
        )
    return sorted(paths, key=_as_people_count)


def left_out_images(folder: Path) -> list[Path]:
    """List the pictures of ``folder`` in formats that are not read."""
    paths = [path for path in _files(folder) if path.suffix.lower() in OTHER_SUFFIXES]
    return sorted(paths, key=_as_people_count)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]


def _as_people_count(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part) if i % 2 else 0, part) for i, part in enumerate(parts)]


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
        with quiet_opencv():
            self._capture = cv2.VideoCapture(opencv_path(path), cv2.CAP_ANY)
        if not self._capture.isOpened():
            raise InputError(
                f"cannot open video {str(path)!r}: damaged, cut off before its index, not a video, "
                "or a codec that this OpenCV lacks. Play it or convert it with ffmpeg, and see "
                "`clipgaze doctor`."
            )
        sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        check_size(str(path), *(int(self._capture.get(side)) for side in sides))
        self.fps: float | None = _frame_rate(self._capture)
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
            yield SourceFrame(as_bgr(image, self._name), self._name, index, timestamp_s)
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
        with quiet_opencv():
            self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise InputError(
                f"cannot open camera {index}: no such device, in use by another program, or no "
                "permission. `clipgaze doctor` lists the devices."
            )
        self.fps: float | None = _frame_rate(self._capture)

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
            yield SourceFrame(as_bgr(image, self._name), self._name, index, last_s)
            index += 1

    def close(self) -> None:
        """Release the device or file; safe to call twice."""
        self._capture.release()


def _camera_index(source: str) -> int | None:
    device = _CAMERA.fullmatch(source)
    return int(device[1]) if device else None


def _frame_rate(capture: cv2.VideoCapture) -> float:
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if 0.0 < fps <= 1000.0 else _FALLBACK_FPS


def _read_frame(capture: cv2.VideoCapture) -> NDArray[np.generic] | None:
    try:
        ok, image = capture.read()
    except cv2.error:  # some decoders raise on damaged data instead of ending
        return None
    return image if ok and image is not None and image.size else None
