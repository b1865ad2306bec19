"""``clipgaze run``: estimate gaze on an image, a folder, a video or a webcam."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InputError
from .._options import EstimatorOptions
from .progress import ProgressLine, say

if TYPE_CHECKING:
    from .._estimator import GazeEstimator
    from .._results import FrameResult
    from ..media.sinks import Sink
    from ..media.sources import Source, SourceFrame

_OPTIONS: dict[str, tuple[type, str, str]] = {
    "threads": (int, "N", "CPU threads (2)"),
    "precision": (str, "NAME", "of all networks: fp32, fp16 or int8, the fastest on a CPU (fp32)"),
    "max_faces": (int, "N", "look for so many faces, the most certain first (16)"),
    "min_confidence": (float, "SCORE", "leave out detections below this score (0.4)"),
    "min_presence": (float, "SCORE", "leave out what is less certain to be a face (0.9)"),
    "min_face_px": (float, "PX", "leave out faces smaller than this (20)"),
    "detect_interval": (int, "N", "look for new faces on every Nth frame of a stream (30)"),
    "detector": (str, "NAME", "face detector: bundled, or yunet with --detector-path"),
    "detector_path": (str, "FILE", "YuNet's ONNX file"),
}
"""Fields of ``EstimatorOptions`` that take a value; --fov is horizontal_fov_deg."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``run`` and its arguments."""
    parser = commands.add_parser(
        "run",
        help="estimate gaze on an image, a folder of images, a video or a webcam",
        description="Estimate gaze, and write annotated pictures or videos, JSON lines or CSV.\n"
        "Without OUTPUT, a video or webcam is shown in a window where there is a display (q or\n"
        "Esc ends it); otherwise results are printed.",
        epilog="examples:\n"
        "  clipgaze run photo.jpg annotated.jpg\n"
        "  clipgaze run photos/ annotated/ results.csv\n"
        "  clipgaze run clip.mp4 annotated.mp4 results.jsonl\n"
        "  clipgaze run 0\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("input", metavar="INPUT", help="image, folder of images, video, webcam index, /dev/videoN")
    text = "annotated image, video (.mp4, .avi) or folder, .jsonl, .csv; one or more"
    add("outputs", metavar="OUTPUT", nargs="*", default=[], type=Path, help=text)
    add("--force", action="store_true", help="overwrite existing outputs")
    add("--headless", action="store_true", help="never open a window")
    add("--max-frames", metavar="N", type=positive_int, help="stop after N frames or pictures")
    add("--model", metavar="PATH", type=Path, help="a gaze model or a folder of models")
    view = parser.add_mutually_exclusive_group()
    text = "camera calibration in YAML (OpenCV or ROS)"
    view.add_argument("--camera", metavar="FILE", type=Path, help=text)
    text = "horizontal field of view, 60 if not given"
    view.add_argument("--fov", dest="horizontal_fov_deg", metavar="DEG", type=float, help=text)
    for name, (kind, metavar, text) in _OPTIONS.items():
        add(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)
    text = "average a face and its mirror image: steadier, twice the work"
    add("--flip-augment", action="store_true", default=None, help=text)
    parser.set_defaults(command=run)


def positive_int(text: str) -> int:
    """Read a whole number above zero, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Pick those of these arguments that were given."""
    return {name: vars(args)[name] for name in names if vars(args)[name] is not None}


def estimator_options(args: argparse.Namespace) -> EstimatorOptions:
    """Make the options that the arguments give, or raise a ConfigurationError."""
    return EstimatorOptions(**given(args, *_OPTIONS, "flip_augment", "horizontal_fov_deg"))


def make_estimator(args: argparse.Namespace) -> GazeEstimator:
    """Make the estimator that the arguments give, or raise a ClipGazeError."""
    from .._estimator import GazeEstimator
    from ..geometry.camera import Camera

    camera = Camera.load(args.camera) if args.camera is not None else None
    return GazeEstimator(args.model, camera=camera, options=estimator_options(args))


def run(args: argparse.Namespace) -> int:
    """Carry out ``clipgaze run``, or raise a ClipGazeError."""
    from ..media.pictures import OTHER_SUFFIXES
    from ..media.sinks import check_outputs, open_sink
    from ..media.sources import open_source, pictures_in, source_kind

    this = _Run(args, estimator_options(args))
    kind = source_kind(args.input)
    check_outputs(args.input, kind, args.outputs, force=args.force)
    left_out = pictures_in(Path(args.input), OTHER_SUFFIXES) if kind == "folder" else []
    if names := [path.name for path in left_out]:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        say(f"note: formats that are not read are left out: {', '.join(names[:3])}{more}")
    with ExitStack() as stack:
        hold = stack.enter_context
        source = hold(closing(open_source(args.input, on_unreadable=this.leave_out)))
        estimator = hold(make_estimator(args))
        sinks = [hold(closing(open_sink(output, fps=source.fps))) for output in args.outputs]
        interrupted = False
        try:
            this.run(estimator, source, sinks)
        except KeyboardInterrupt:
            interrupted = True
    # Outputs are closed by now, so what is said of them is true.
    this.summarize(note="interrupted: " if interrupted else "")
    return 130 if interrupted else this.verdict(source)


@dataclass(slots=True)
class _Run:
    """What was asked for, and what has been done so far."""

    args: argparse.Namespace
    options: EstimatorOptions
    frames: int = 0
    faces: int = 0
    unreadable: int = 0
    stopped: bool = False
    """By ``--max-frames`` or by the viewer."""
    camera_is_assumed: bool = False
    """No camera and no field of view was given."""
    full_frames: int = 0
    """Frames with as many faces as are looked for."""
    start_s: float = field(default_factory=time.monotonic)

    def leave_out(self, error: InputError) -> None:
        """Count a picture of a folder that cannot be used, and say why."""
        self.unreadable += 1
        say(f"error: {error}")

    def run(self, estimator: GazeEstimator, source: Source, sinks: Sequence[Sink]) -> None:
        """Take every frame until the source ends, or enough is done."""
        from ..media.opencv_build import window_is_available
        from ..media.pictures import shown_name

        args = self.args
        may_show = not sinks and not args.headless and source.kind in ("video", "camera")
        shown = may_show and window_is_available()
        title = f"clipgaze: {shown_name(args.input)}"
        counts = filter(None, (source.frame_count, args.max_frames))
        progress = ProgressLine(sys.stderr, total=min(counts, default=None))
        with ExitStack() as stack:
            stack.callback(progress.clear)
            if shown:
                stack.callback(_close_window, title)
            for frame in source.frames():
                try:
                    result = estimator.estimate(frame.image, timestamp_s=frame.timestamp_s)
                except InputError as error:
                    if source.kind != "folder":
                        raise
                    progress.clear()
                    self.leave_out(InputError(f"{frame.name}: {error}"))
                    continue
                for sink in sinks:
                    sink.write(frame, result)
                self.frames += 1
                self.faces += len(result.faces)
                self.full_frames += len(result.faces) >= self.options.max_faces
                self.camera_is_assumed = result.camera_is_assumed and not args.horizontal_fov_deg
                if sinks or shown:
                    progress.update(self.frames)
                else:
                    print("\n".join(describe_frame(frame, result)), flush=True)
                left = shown and not _show(title, frame, result)
                if left or self.frames == args.max_frames:
                    self.stopped = True
                    return

    def summarize(self, *, note: str = "") -> None:
        """Say what was done, and what is to be known of it."""
        outputs = self.args.outputs
        # JSON says that the camera was assumed, and pictures hold no distances.
        told = not outputs or any(output.suffix.lower() == ".csv" for output in outputs)
        if self.camera_is_assumed and told:
            say(
                "note: distances are approximate, as 60 degrees across are assumed. Give --fov "
                "DEG, or --camera FILE (YAML of OpenCV's or ROS's calibration: docs/cli.md)."
            )
        if self.full_frames:
            say(
                f"note: {self.full_frames} of {self.frames} frames had the most faces that are "
                f"looked for ({self.options.max_faces}); there may be more. Raise --max-faces."
            )
        elapsed_s = time.monotonic() - self.start_s
        where = ", ".join(map(str, outputs))
        written = f"; written to {where}" if where and self.frames else ""
        say(
            f"{note}{self.frames} frame{'' if self.frames == 1 else 's'}, {self.faces} "
            f"face{'' if self.faces == 1 else 's'} in {elapsed_s:.1f} s{written}"
        )

    def verdict(self, source: Source) -> int:
        """Say what was missing at the end, and give the exit code."""
        name = self.args.input
        if source.kind == "folder" and self.unreadable:
            total = self.unreadable + self.frames
            say(f"error: {self.unreadable} of {total} pictures in {name!r} could not be used")
            return 1
        if source.kind == "camera" and not self.stopped:
            say(f"error: camera {name!r} gave no more frames after {self.frames}")
            return 1
        if source.kind != "video" or self.stopped:
            return 0
        if self.frames == 0:
            raise InputError(
                f"no frame of video {name!r} could be decoded: it is damaged, or its codec is "
                "missing. Play it or convert it with ffmpeg, and see `clipgaze doctor`."
            )
        promised = source.frame_count or 0
        if self.frames < promised - 1:  # some headers count one too many
            say(
                f"warning: the video ended early: {self.frames} frames read, its header promises "
                f"{promised}. What was read is kept"
            )
        return 0


def describe_frame(frame: SourceFrame, result: FrameResult) -> list[str]:
    """Say in lines of text who looks where in one frame."""
    from ..media.pictures import shown_name

    count = len(result.faces)
    people = f"{count} face{'s' if count > 1 else ''}" if count else "nobody in view"
    when = "" if frame.timestamp_s is None else f" frame {frame.index} at {frame.timestamp_s:.3f} s"
    lines = [f"{shown_name(frame.name)}{when}: {people}"]
    for number, face in enumerate(result.faces):
        name = f"face {number}" if face.track_id is None else f"track {face.track_id}"
        angles = (face.gaze.pitch_rad, face.gaze.yaw_rad, face.gaze.uncertainty_rad)
        pitch_deg, yaw_deg, sigma_deg = map(math.degrees, angles)
        box = " ".join(str(round(float(edge))) for edge in face.bbox_px)
        distance_m = float(face.gaze.origin_mm[2]) / 1000.0
        lines.append(
            f"  {name}: gaze pitch {pitch_deg:+.1f} yaw {yaw_deg:+.1f} deg (sigma {sigma_deg:.1f}),"
            f" {distance_m:.2f} m away, box {box} px, confidence {face.confidence:.2f}"
        )
    return lines


def _show(title: str, frame: SourceFrame, result: FrameResult) -> bool:
    """Show an annotated frame; False when the viewer pressed q or Esc or closed the window."""
    from .._draw import draw_result
    from .._opencv import cv2

    cv2.imshow(title, draw_result(frame.image, result))
    if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
        return False
    return bool(cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1)


def _close_window(title: str) -> None:
    from .._opencv import cv2

    with suppress(cv2.error):  # the viewer may have closed it
        cv2.destroyWindow(title)
