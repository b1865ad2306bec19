"""Where results go: annotated pictures and videos, JSON lines and CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from .._draw import draw_result
from .._errors import ConfigurationError, InputError
from .._opencv import cv2, opencv_path
from .._results import FrameResult
from ..writing import cannot_write
from .pictures import IMAGE_SUFFIXES, shown_name, write_image
from .sources import SourceFrame, SourceKind, folder_images

SinkKind = Literal["image", "video", "folder", "jsonl", "csv"]
VIDEO_FOURCC = {".mp4": "mp4v", ".avi": "MJPG"}
_ANNOTATED: dict[SourceKind, tuple[SinkKind, str]] = {
    "image": ("image", "an image (.jpg, .png …)"),
    "folder": ("folder", "a folder (a name without suffix)"),
    "video": ("video", "a video (.mp4, .avi)"),
    "camera": ("video", "a video (.mp4, .avi)"),
}
"""By kind of source, what shows its frames, in words for a user."""
_COLUMNS = (
    "source,frame,timestamp_s,face,track_id,confidence,box_x0_px,box_y0_px,box_x1_px,box_y1_px,"
    "gaze_pitch_rad,gaze_yaw_rad,gaze_uncertainty_rad,gaze_x,gaze_y,gaze_z,origin_x_mm,origin_y_mm,"
    "origin_z_mm,head_pitch_rad,head_yaw_rad,head_roll_rad,eye_openness_right,eye_openness_left"
)
CSV_HEADER = tuple(_COLUMNS.split(","))


def sink_kind(output: Path) -> SinkKind | None:
    """Say by its suffix what ``output`` is to hold; None where that cannot be written."""
    suffix = output.suffix.lower()
    if suffix in (".jsonl", ".csv"):
        return "jsonl" if suffix == ".jsonl" else "csv"
    if suffix in IMAGE_SUFFIXES or suffix in VIDEO_FOURCC:
        return "image" if suffix in IMAGE_SUFFIXES else "video"
    return "folder" if output.is_dir() or not suffix else None


def check_outputs(
    source: str, source_kind: SourceKind, outputs: Sequence[Path], *, force: bool
) -> None:
    """Refuse outputs that cannot be written, before any work starts. Writes nothing.

    Raises:
        ConfigurationError: an output does not fit the input, exists already (without ``force``), is
            named twice, is the input or a link to it, or its folder does not exist.
        InputError: OpenCV cannot open a video of that name.
    """
    pictures = folder_images(Path(source)) if source_kind == "folder" else []
    inputs = pictures if pictures or source_kind == "camera" else [Path(source)]
    identities = {_identity(path): path for path in inputs}
    annotated, example = _ANNOTATED[source_kind]
    for number, output in enumerate(outputs):
        kind, name, resolved = sink_kind(output), repr(str(output)), output.resolve()
        if kind not in (annotated, "jsonl", "csv"):
            raise ConfigurationError(
                f"cannot write {name} from {source!r} ({source_kind}): expected {example}, .jsonl "
                "or .csv"
            )
        if kind == "video":
            opencv_path(output)
        if resolved in [other.resolve() for other in outputs[:number]]:
            raise ConfigurationError(f"output {name} is given twice. Give it once.")
        if not resolved.parent.is_dir():
            raise ConfigurationError(
                f"cannot write {name}: there is no folder {str(output.parent)!r}. Make it first."
            )
        if output.exists() and output.is_dir() != (kind == "folder"):
            found, other = ("file", "folder") if kind == "folder" else ("folder", "file")
            raise ConfigurationError(f"{name} is a {found}; expected a {other} to write.")
        files = [output / path.name for path in pictures] if kind == "folder" else [output]
        existing = [path for path in files if os.path.lexists(path)]
        for path in filter(Path.exists, existing):
            if own := identities.get(_identity(path)):
                raise ConfigurationError(
                    f"output {str(path)!r} is the input itself ({str(own)!r}). Choose another name."
                )
        if existing and not force:
            more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
            raise ConfigurationError(
                f"{str(existing[0])!r}{more} exists already. Add --force to overwrite, or choose "
                "another name."
            )


def _identity(path: Path) -> tuple[int, int]:
    """Tell a file from all others, whatever its links are called."""
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def open_sink(output: Path, *, fps: float | None) -> Sink:
    """Make the sink for an output that ``check_outputs`` accepted; an existing file goes.

    Raises InputError where it cannot be created. ``fps`` is a written video's, 30 if None.
    """
    kind = sink_kind(output)
    if kind in ("image", "folder"):
        return PictureSink(output, folder=kind == "folder")
    if kind == "video":
        return VideoSink(output, fps=fps or 30.0)
    if kind == "jsonl":
        return LineSink(output, _json_line)
    return LineSink(output, _csv_rows, header=_COLUMNS + "\n")


class PictureSink:
    """An annotated picture; in a folder, one under the name of each source."""

    def __init__(self, path: Path, *, folder: bool) -> None:
        self._path = path
        self._is_folder = folder
        if folder:
            try:
                path.mkdir(exist_ok=True)
            except OSError as error:
                raise cannot_write(path, error) from error

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Draw the result on the picture, and write it."""
        path = self._path / frame.name if self._is_folder else self._path
        write_image(path, draw_result(frame.image, result))

    def close(self) -> None:
        """Hold nothing open."""


class VideoSink:
    """An annotated video, of the size of the first frame."""

    def __init__(self, path: Path, *, fps: float) -> None:
        self._path = path
        self._name = opencv_path(path)
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size_px = (0, 0)
        self._frames = 0

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Draw the result on the frame, and add it to the video."""
        annotated = draw_result(frame.image, result)
        if self._writer is None:
            self._size_px = (annotated.shape[1], annotated.shape[0])
            self._writer = self._open()
        if (annotated.shape[1], annotated.shape[0]) != self._size_px:
            # A writer drops frames of another size without a word.
            resized = cv2.resize(annotated, self._size_px, interpolation=cv2.INTER_AREA)
            annotated = np.asarray(resized, dtype=np.uint8)
        self._writer.write(annotated)
        self._frames += 1

    def _open(self) -> cv2.VideoWriter:
        code = VIDEO_FOURCC[self._path.suffix.lower()]
        fourcc = cv2.VideoWriter.fourcc(*code)
        _make_way(self._path)
        writer = cv2.VideoWriter(self._name, fourcc, self._fps, self._size_px)
        if not writer.isOpened():
            raise InputError(
                f"cannot write video {str(self._path)!r} with codec {code} at {self._fps:g} frames "
                f"per second and {self._size_px[0]}x{self._size_px[1]} px. Check that the folder "
                "can be written, try .avi, and see `clipgaze doctor`."
            )
        return writer

    def close(self) -> None:
        """Finish the file, and raise InputError if frames are missing; safe to call twice."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if self._path.is_file():  # OpenCV says nothing of a full disk, and a pipe cannot be read
            there = max(int(cv2.VideoCapture(self._name).get(cv2.CAP_PROP_FRAME_COUNT)), 0)
            if there < self._frames:
                raise InputError(
                    f"video {str(self._path)!r} has {there} of {self._frames} frames. Check the "
                    "space left on its disk, and write it again."
                )


class LineSink:
    """Text that is on disk at once, frame by frame; what does not fit is taken back."""

    def __init__(
        self, path: Path, text_of: Callable[[SourceFrame, FrameResult], str], *, header: str = ""
    ) -> None:
        self._path = path
        self._text_of = text_of
        self._size = 0
        _make_way(path)
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from error
        self._add(header)

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Add the frame's line or lines."""
        self._add(self._text_of(frame, result))

    def _add(self, text: str) -> None:
        data, done = text.encode(), 0
        try:
            while done < len(data):
                done += self._file.write(data[done:])
        except OSError as error:
            with contextlib.suppress(OSError):  # a device has no end to cut off
                self._file.truncate(self._size)
            raise cannot_write(self._path, error) from error
        self._size += done

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._file.close()


Sink = PictureSink | VideoSink | LineSink
"""What takes each frame's result, and is closed at the end."""


def _json_line(frame: SourceFrame, result: FrameResult) -> str:
    """Its source and number, then ``FrameResult.to_dict()``."""
    record = {"source": shown_name(frame.name), "frame": frame.index, **result.to_dict()}
    return json.dumps(record, allow_nan=False) + "\n"


def _csv_rows(frame: SourceFrame, result: FrameResult) -> str:
    """One row a face under ``CSV_HEADER``; a frame without faces has no row."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    stamp = "" if result.timestamp_s is None else f"{result.timestamp_s:.6f}"
    for number, face in enumerate(result.faces):
        gaze, head = face.gaze, face.head_pose
        angles = (gaze.pitch_rad, gaze.yaw_rad, gaze.uncertainty_rad)
        turn = (head.pitch_rad, head.yaw_rad, head.roll_rad)
        numbers = (*face.bbox_px, *angles, *gaze.vector, *gaze.origin_mm, *turn, *face.eye_openness)
        of_frame = (shown_name(frame.name), frame.index, stamp, number, face.track_id)
        cells = (f"{float(number):.5f}" for number in numbers)
        rows.writerow((*of_frame, f"{face.confidence:.4f}", *cells))
    return text.getvalue()


def _make_way(path: Path) -> None:
    """Remove the file or the link that is to be replaced, so that no link is followed."""
    if path.is_file() or (path.is_symlink() and not path.exists()):
        try:
            path.unlink()
        except OSError as error:
            raise cannot_write(path, error) from error
