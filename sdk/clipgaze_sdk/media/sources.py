"""Where frames come from: an image, a folder of images, a video or a webcam."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from .._opencv import cv2, opencv_path, quiet_opencv
from .pictures import IMAGE_SUFFIXES, as_bgr, check_size, kind_of, read_image

SourceKind = Literal["image", "folder", "video", "camera"]
_PICTURES_IN_A_ROW = (".mjpeg", ".mjpg")
"""Videos that begin as a picture does."""
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


def source_kind(source: str) -> SourceKind:
    """Say what ``source`` names, by its suffix and by what the file begins with.

    Raises InputError where nothing of that name exists, or what is there is not read.
    """
    if _CAMERA.fullmatch(source):
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
    picture = None
    if path.is_file():
        try:
            with path.open("rb") as file:
                picture = kind_of(file.read(32))
        except OSError as error:
            raise InputError(
                f"cannot read {source!r}: {error.strerror}. Check the path."
            ) from error
    if picture in ("PNG", "JPEG", "WebP", "BMP"):
        return "image"
    if picture not in (None, "GIF"):  # an animated GIF is a video
        raise InputError(
            f"cannot read {source!r}: a {picture} picture under this name is not supported. "
            "Convert it to JPEG or PNG; turn it upright if it lies on its side."
        )
    return "video"


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
    if kind == "video":
        return CaptureSource(Path(source))
    if kind == "camera":
        return CaptureSource(int(source.removeprefix("/dev/video")))
    return PictureSource(Path(source), on_unreadable=on_unreadable)


def folder_images(folder: Path) -> list[Path]:
    """List the pictures of a folder that are read; InputError if there are none."""
    paths = pictures_in(folder, IMAGE_SUFFIXES)
    if not paths:
        raise InputError(
            f"no picture in folder {str(folder)!r}: expected files ending in "
            f"{', '.join(IMAGE_SUFFIXES)} directly in it."
        )
    return paths


def pictures_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """List the pictures of a folder (not of folders in it) by name, 2 before 10."""
    files = (path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    return sorted((path for path in files if path.suffix.lower() in suffixes), key=_by_numbers)


def _by_numbers(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part) if i % 2 else 0, part) for i, part in enumerate(parts)]


class PictureSource:
    """A picture, or those of a folder, each an image of its own."""

    fps = None

    def __init__(
        self, path: Path, *, on_unreadable: Callable[[InputError], None] | None = None
    ) -> None:
        self.kind: SourceKind = "folder" if path.is_dir() else "image"
        self._paths = folder_images(path) if path.is_dir() else [path]
        # A single picture is read before any output is touched.
        self._first = None if path.is_dir() else read_image(path)
        self._on_unreadable = on_unreadable
        self.frame_count = len(self._paths)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the pictures that can be read, in the order of their names."""
        for index, path in enumerate(self._paths):
            try:
                image = read_image(path) if self._first is None else self._first
            except InputError as error:
                if self._on_unreadable is None:
                    raise
                self._on_unreadable(error)
                continue
            yield SourceFrame(image, path.name, index, None)

    def close(self) -> None:
        """Hold nothing, so release nothing."""


class CaptureSource:
    """A video file with its container's timestamps, or a webcam with those of a clock from 0.

    Raises InputError for what cannot be opened, and for frames that are too large.
    """

    def __init__(self, source: Path | int) -> None:
        is_camera = isinstance(source, int)
        self.kind: SourceKind = "camera" if is_camera else "video"
        self._name = f"camera {source}" if isinstance(source, int) else source.name
        with quiet_opencv():
            target = source if isinstance(source, int) else opencv_path(source)
            self._capture = cv2.VideoCapture(target)
        if not self._capture.isOpened():
            raise InputError(
                f"cannot open camera {source}: no such device, in use by another program, or no "
                "permission. `clipgaze doctor` lists the devices."
                if is_camera
                else f"cannot open video {str(source)!r}: damaged, cut off before its index, not a "
                "video, or a codec that this OpenCV lacks. Play it or convert it with ffmpeg, and "
                "see `clipgaze doctor`."
            )
        fps = self._get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0.0 < fps <= 1000.0 else 30.0
        self.frame_count: int | None = None
        if not is_camera:
            sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
            check_size(str(source), *(int(self._get(side)) for side in sides))
            count = self._get(cv2.CAP_PROP_FRAME_COUNT)
            self.frame_count = round(count) if np.isfinite(count) and count >= 1 else None
        self._start_s = 0.0
        self._last_s: float | None = None

    def frames(self) -> Iterator[SourceFrame]:
        """Yield frames until it ends or cannot be decoded; InputError for a camera without any."""
        for index in itertools.count():
            image = self._read()
            if image is None:
                if index == 0 and self.kind == "camera":
                    raise InputError(f"{self._name} gave no frame. Unplug it or try another index.")
                return
            self._last_s = self._stamp_s(self._last_s)
            yield SourceFrame(as_bgr(image, self._name), self._name, index, self._last_s)

    def close(self) -> None:
        """Release the device or file; safe to call twice."""
        self._capture.release()

    def _get(self, key: int) -> float:
        return float(self._capture.get(key))

    def _read(self) -> NDArray[np.generic] | None:
        try:
            ok, image = self._capture.read()
        except cv2.error:  # some decoders raise on damaged data instead of ending
            return None
        return image if ok and image is not None and image.size else None

    def _stamp_s(self, last_s: float | None) -> float:
        if self.kind == "camera":
            now_s = time.monotonic()
            self._start_s = now_s if last_s is None else self._start_s
            stamp_s, step_s = now_s - self._start_s, 1e-6
        else:
            stamp_s, step_s = self._get(cv2.CAP_PROP_POS_MSEC) / 1000.0, 1.0 / self.fps
        if abs(stamp_s) < 1e9 and (last_s is None or stamp_s > last_s):
            return stamp_s
        # The container has none (NaN, or numbers beyond sense), or they jump back.
        return 0.0 if last_s is None else last_s + step_s


Source = PictureSource | CaptureSource
"""What yields frames once, and is then closed."""
