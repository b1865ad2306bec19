"""``clipgaze bench``: how long each stage and a whole frame take on this machine."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._call import STAGES
from .._errors import ConfigurationError, InputError
from .run import positive_int
from .versions import describe_setting, installed_version, setting_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._estimator import GazeEstimator
    from .._results import FrameResult

WIDTH_PX, HEIGHT_PX = 1280, 720
_STREAM_FPS = 30.0
_WARM_UP = 3


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``bench`` and its arguments."""
    parser = commands.add_parser(
        "bench",
        help="measure milliseconds per stage and end to end",
        description="Measure p50 and p99 of each stage and of whole frames, at 1280x720 with one "
        "face, for images of their own and for a followed stream, and the compiled warp against "
        "OpenCV.",
    )
    parser.add_argument(
        "--image",
        metavar="FILE",
        type=Path,
        help="a picture with a face, fitted into 1280x720; a drawn face if not given",
    )
    parser.add_argument(
        "--frames", metavar="N", type=positive_int, default=100, help="frames to time (100)"
    )
    parser.add_argument(
        "--threads", metavar="T", type=positive_int, default=2, help="CPU threads (2)"
    )
    parser.add_argument("--model", metavar="PATH", type=Path, help="a gaze model or a folder")
    parser.add_argument(
        "--compare",
        metavar="PATH",
        type=Path,
        nargs="*",
        help="instead, time every network in every precision and backend that is here: bundled "
        "graphs, engines in this folder, and the files and folders given",
    )
    parser.add_argument("--json", metavar="OUT", type=Path, help="write the figures here too")
    parser.set_defaults(command=bench)


@dataclass(frozen=True, slots=True)
class PathBench:
    """Times of one way of using the estimator, in milliseconds."""

    p50_ms: dict[str, float]
    p99_ms: dict[str, float]
    mean_ms: float
    """Of whole frames."""
    fps: float
    """Frames per second, one after another."""
    frames: int
    detector_runs: int


def bench(args: argparse.Namespace) -> int:
    """Carry out ``clipgaze bench``.

    Raises:
        ClipGazeError: as its message says.
    """
    from .warp_bench import bench_warp

    if args.json is not None and not args.json.resolve().parent.is_dir():
        raise ConfigurationError(f"cannot write {str(args.json)!r}: make its folder first.")
    if args.compare is not None:
        from .compare_bench import compare

        return compare(args)
    image, name = bench_frame(args.image)
    estimator, threshold = _estimator_that_sees(image, args, drawn=args.image is None)
    with estimator:
        probe = estimator.estimate(image)
        if not probe.faces:
            raise InputError(
                f"found no face in {name}, so there is nothing to time. Give a picture with a "
                "clear face by --image."
            )
        still = _bench_path(estimator, image, frames=args.frames, stream=False)
        stream = _bench_path(estimator, image, frames=args.frames, stream=True)
    warp = bench_warp(image, rounds=200)
    report = {
        **_setting(args, name, probe, threshold=threshold),
        "still": asdict(still),
        "stream": asdict(stream),
        "warp": asdict(warp),
    }
    print("\n".join(report_lines(report)))
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def bench_frame(path: Path | None) -> tuple[NDArray[np.uint8], str]:
    """Give the frame to time, 1280x720 BGR, and what it is called.

    Raises:
        InputError: the picture cannot be read.
    """
    import numpy as np

    from .._opencv import cv2
    from ..media.pictures import read_image

    if path is None:
        return _drawn_face(), "a drawn face (give a real one by --image)"
    picture = read_image(path)
    height, width = picture.shape[:2]
    scale = min(WIDTH_PX / width, HEIGHT_PX / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    x, y = (WIDTH_PX - size[0]) // 2, (HEIGHT_PX - size[1]) // 2
    frame = np.full((HEIGHT_PX, WIDTH_PX, 3), 96, np.uint8)
    frame[y : y + size[1], x : x + size[0]] = cv2.resize(picture, size, interpolation=interpolation)
    return frame, path.name


def _drawn_face() -> NDArray[np.uint8]:
    """Draw enough of a face for the networks to have something to work on."""
    import numpy as np

    from .._opencv import cv2

    across = np.linspace(70, 150, WIDTH_PX, dtype=np.float32)[None, :, None]
    frame = np.tile(across, (HEIGHT_PX, 1, 3)).astype(np.uint8)
    skin, dark, white = (140, 170, 215), (50, 60, 80), (235, 235, 235)
    cv2.ellipse(frame, (640, 360), (115, 155), 0, 0, 360, skin, cv2.FILLED, cv2.LINE_AA)
    cv2.ellipse(frame, (640, 265), (120, 85), 0, 180, 360, dark, cv2.FILLED, cv2.LINE_AA)
    for x in (593, 687):
        cv2.ellipse(frame, (x, 345), (24, 11), 0, 0, 360, white, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(frame, (x, 345), 10, dark, cv2.FILLED, cv2.LINE_AA)
        cv2.ellipse(frame, (x, 322), (32, 10), 0, 200, 340, dark, 6, cv2.LINE_AA)
    cv2.ellipse(frame, (640, 385), (18, 40), 0, 20, 160, (110, 140, 190), 5, cv2.LINE_AA)
    cv2.ellipse(frame, (640, 440), (42, 13), 0, 0, 360, (110, 110, 190), cv2.FILLED, cv2.LINE_AA)
    return cv2.GaussianBlur(frame, (0, 0), 1.5)  # type: ignore[return-value]


def _estimator_that_sees(
    image: NDArray[np.uint8], args: argparse.Namespace, *, drawn: bool
) -> tuple[GazeEstimator, float | None]:
    """Make an estimator of one face; for a drawn one, lower thresholds until every network runs.

    Returns:
        The estimator, and the threshold in place of its own ones, if any.
    """
    from .._estimator import GazeEstimator
    from .._options import EstimatorOptions

    options, used = EstimatorOptions(threads=args.threads, max_faces=1), None
    for threshold in (0.1, 0.01, 0.0) if drawn else ():
        estimator = GazeEstimator(args.model, options=options)
        if estimator.estimate(image).faces:
            return estimator, used
        estimator.close()
        used = threshold
        options = replace(options, min_confidence=threshold, min_presence=threshold)
    return GazeEstimator(args.model, options=options), used


def _bench_path(
    estimator: GazeEstimator, image: NDArray[np.uint8], *, frames: int, stream: bool
) -> PathBench:
    import numpy as np

    estimator.reset()
    results: list[FrameResult] = []
    totals_ms: list[float] = []
    for index in range(_WARM_UP + frames):
        start_s = time.perf_counter()
        stamp_s = index / _STREAM_FPS if stream else None
        result = estimator.estimate(image, timestamp_s=stamp_s)
        taken_ms = (time.perf_counter() - start_s) * 1e3
        if index >= _WARM_UP:
            results.append(result)
            totals_ms.append(taken_ms)
    columns = {name: [result.timings_ms[name] for result in results] for name in STAGES}
    columns["end to end"] = totals_ms
    return PathBench(
        p50_ms={name: float(np.percentile(values, 50)) for name, values in columns.items()},
        p99_ms={name: float(np.percentile(values, 99)) for name, values in columns.items()},
        mean_ms=sum(totals_ms) / frames,
        fps=1e3 * frames / sum(totals_ms),
        frames=frames,
        detector_runs=sum(result.detector_ran for result in results),
    )


def _setting(
    args: argparse.Namespace, name: str, probe: FrameResult, *, threshold: float | None
) -> dict[str, Any]:
    import numpy as np
    import onnxruntime

    from .._opencv import cv2

    box = probe.faces[0].bbox_px
    return {
        **describe_setting(
            args.threads,
            numpy=np.__version__,
            opencv=cv2.__version__,
            onnxruntime=installed_version("onnxruntime") or onnxruntime.__version__,
        ),
        "frame": {
            "name": name,
            "size_px": [WIDTH_PX, HEIGHT_PX],
            "faces": 1,
            "face_px": round(float(max(box[2] - box[0], box[3] - box[1]))),
            "lowered_threshold": threshold,
        },
    }


def report_lines(report: dict[str, Any]) -> Sequence[str]:
    """Lay the figures out for a person to read."""
    frame, still, stream, warp = (report[key] for key in ("frame", "still", "stream", "warp"))
    lines = [
        *setting_lines(report),
        f"frame: {frame['size_px'][0]}x{frame['size_px'][1]} px, {frame['name']}; "
        f"one face of {frame['face_px']} px",
        *_threshold_note(frame["lowered_threshold"]),
        "",
        f"{'milliseconds':<14}{'image p50':>11}{'p99':>9}{'stream p50':>13}{'p99':>9}",
    ]
    for stage in still["p50_ms"]:
        lines.append(
            f"{stage:<14}{still['p50_ms'][stage]:>11.2f}{still['p99_ms'][stage]:>9.2f}"
            f"{stream['p50_ms'][stage]:>13.2f}{stream['p99_ms'][stage]:>9.2f}"
        )
    lines += [
        f"{'frames/s':<14}{still['fps']:>11.1f}{'':>9}{stream['fps']:>13.1f}",
        f"{still['frames']} frames each; in the stream the detector ran on "
        f"{stream['detector_runs']} of them",
        "",
        f"warp_normalize, one 224x224 crop from {warp['image_size_px'][0]}x"
        f"{warp['image_size_px'][1]}, one thread: {warp['compiled_ms']:.3f} ms; OpenCV and numpy "
        f"{warp['opencv_ms']:.3f} ms: {warp['ratio']:.1f} times faster",
        f"they differ by {warp['worst_grey_levels']:.2f} grey levels at most, "
        f"{warp['mean_grey_levels']:.3f} on average",
    ]
    return lines


def _threshold_note(threshold: float | None) -> list[str]:
    if threshold is None:
        return []
    return [
        f"note: no face was sure enough, so the thresholds were lowered to {threshold:g} to make "
        "every network run; times of the detector are then too high"
    ]
