"""``clipgaze bench``: how long each stage and a whole frame take on this machine."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._call import STAGES
from .._errors import ConfigurationError, InputError
from .._options import EstimatorOptions
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
        "face, for images of their own and for a followed stream.",
    )
    parser.add_argument(
        "--image",
        metavar="FILE",
        type=Path,
        help="a picture with a clear face, fitted into 1280x720; needed without --compare",
    )
    parser.add_argument(
        "--frames",
        metavar="N",
        type=positive_int,
        default=120,
        help="frames to time (120); of a stream, up to the next run of the detector",
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
    if args.json is not None and not args.json.resolve().parent.is_dir():
        raise ConfigurationError(f"cannot write {str(args.json)!r}: make its folder first.")
    if args.compare is not None:
        from .compare_bench import compare

        return compare(args)
    if args.image is None:
        raise ConfigurationError("there is nothing to time. Give a picture of a face by --image.")

    from .._estimator import GazeEstimator

    options = EstimatorOptions(threads=args.threads, max_faces=1)
    image = bench_frame(args.image)
    with GazeEstimator(args.model, options=options) as estimator:
        probe = estimator.estimate(image)
        if not probe.faces:
            raise InputError(
                f"found no face in {args.image.name}, so there is nothing to time. Give a picture "
                "with a clear face by --image."
            )
        still = _bench_path(estimator, image, frames=args.frames, stream=False)
        # Whole rounds, so that the detector has its share as in use.
        rounds = -(-args.frames // options.detect_interval)
        frames = rounds * options.detect_interval
        stream = _bench_path(estimator, image, frames=frames, stream=True)
    report = {**_setting(args, probe), "still": asdict(still), "stream": asdict(stream)}
    print("\n".join(report_lines(report)))
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def bench_frame(path: Path) -> NDArray[np.uint8]:
    """Fit a picture into the frame to time, (720, 1280, 3) uint8 BGR.

    Raises:
        InputError: the picture cannot be read.
    """
    import numpy as np

    from .._opencv import cv2
    from ..media.pictures import read_image

    picture = read_image(path)
    height, width = picture.shape[:2]
    scale = min(WIDTH_PX / width, HEIGHT_PX / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    x, y = (WIDTH_PX - size[0]) // 2, (HEIGHT_PX - size[1]) // 2
    frame = np.full((HEIGHT_PX, WIDTH_PX, 3), 96, np.uint8)
    frame[y : y + size[1], x : x + size[0]] = cv2.resize(picture, size, interpolation=interpolation)
    return frame


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


def _setting(args: argparse.Namespace, probe: FrameResult) -> dict[str, Any]:
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
            "name": args.image.name,
            "size_px": [WIDTH_PX, HEIGHT_PX],
            "faces": 1,
            "face_px": round(float(max(box[2] - box[0], box[3] - box[1]))),
        },
    }


def report_lines(report: dict[str, Any]) -> Sequence[str]:
    """Lay the figures out for a person to read."""
    frame, still, stream = (report[key] for key in ("frame", "still", "stream"))
    lines = [
        *setting_lines(report),
        f"frame: {frame['size_px'][0]}x{frame['size_px'][1]} px, {frame['name']}; "
        f"one face of {frame['face_px']} px",
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
        f"{still['frames']} images; {stream['frames']} frames of a stream, in which the detector "
        f"ran on {stream['detector_runs']}",
    ]
    return lines
