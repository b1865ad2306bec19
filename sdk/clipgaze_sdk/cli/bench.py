"""``clipgaze bench``: how long frames, stages and single networks take on this machine."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._call import STAGES
from .._errors import ClipGazeError, ConfigurationError, InputError
from .._options import EstimatorOptions
from ..backends import load_backend
from ..models.files import BUNDLED_FOLDER, TASKS, ModelFile, bundled_names, load_model_file
from ..tensorrt.info import ENGINE_SUFFIX
from ..tensorrt.network import BuildOptions
from .run import positive_int
from .versions import describe_setting, setting_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._estimator import GazeEstimator

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
    add = parser.add_argument
    text = "a picture with a clear face, fitted into 1280x720; needed without --compare"
    add("--image", metavar="FILE", type=Path, help=text)
    text = "frames to time (120); of a stream, up to the next run of the detector"
    add("--frames", metavar="N", type=positive_int, default=120, help=text)
    add("--threads", metavar="T", type=positive_int, default=2, help="CPU threads (2)")
    add("--model", metavar="PATH", type=Path, help="a gaze model or a folder")
    text = (
        "instead, time every network in every precision and backend that is here: bundled graphs, "
        "engines in this folder, and the files and folders given"
    )
    add("--compare", metavar="PATH", type=Path, nargs="*", help=text)
    add("--json", metavar="OUT", type=Path, help="write the figures here too")
    parser.set_defaults(command=bench)


def bench(args: argparse.Namespace) -> int:
    """Carry out ``clipgaze bench``, or raise a ClipGazeError."""
    if args.json is not None and not args.json.resolve().parent.is_dir():
        raise ConfigurationError(f"cannot write {str(args.json)!r}: make its folder first.")
    measure, show = (_frames, _frame_lines) if args.compare is None else (_networks, _model_lines)
    report = {**describe_setting(args.threads), **measure(args)}
    print("\n".join([*setting_lines(report), *show(report)]))
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _frames(args: argparse.Namespace) -> dict[str, Any]:
    """Time images of their own and a stream: the two ways to use an estimator."""
    if args.image is None:
        raise ConfigurationError("there is nothing to time. Give a picture of a face by --image.")

    from .._estimator import GazeEstimator

    options = EstimatorOptions(threads=args.threads, max_faces=1)
    image = bench_frame(args.image)
    with GazeEstimator(args.model, options=options) as estimator:
        faces = estimator.estimate(image).faces
        if not faces:
            raise InputError(
                f"found no face in {args.image.name}, so there is nothing to time. Give a picture "
                "with a clear face by --image."
            )
        x0, y0, x1, y1 = (float(edge) for edge in faces[0].bbox_px)
        frame = {"name": args.image.name, "size_px": [WIDTH_PX, HEIGHT_PX], "faces": 1}
        # Whole rounds, so that the detector has its share as in use.
        streamed = -(-args.frames // options.detect_interval) * options.detect_interval
        return {
            "frame": {**frame, "face_px": round(max(x1 - x0, y1 - y0))},
            "still": _time_frames(estimator, image, args.frames, stream=False),
            "stream": _time_frames(estimator, image, streamed, stream=True),
        }


def bench_frame(path: Path) -> NDArray[np.uint8]:
    """Fit a picture into the frame to time, (720, 1280, 3) uint8 BGR; InputError if unreadable."""
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


def _time_frames(
    estimator: GazeEstimator, image: NDArray[np.uint8], frames: int, *, stream: bool
) -> dict[str, Any]:
    estimator.reset()
    names = (*STAGES, "end to end")
    rows_ms: list[list[float]] = []
    detector_runs = 0
    for index in range(_WARM_UP + frames):
        start_s = time.perf_counter()
        result = estimator.estimate(image, timestamp_s=index / _STREAM_FPS if stream else None)
        taken_ms = {**result.timings_ms, "end to end": (time.perf_counter() - start_s) * 1e3}
        if index >= _WARM_UP:
            detector_runs += result.detector_ran
            rows_ms.append([taken_ms[name] for name in names])
    total_ms = sum(row[-1] for row in rows_ms)
    p50_ms, p99_ms = (dict(zip(names, row, strict=True)) for row in _percentiles(rows_ms))
    speed = {"mean_ms": total_ms / frames, "fps": 1e3 * frames / total_ms}
    counts = {"frames": frames, "detector_runs": detector_runs}
    return {"p50_ms": p50_ms, "p99_ms": p99_ms, **speed, **counts}


def _frame_lines(report: dict[str, Any]) -> list[str]:
    frame, still, stream = (report[key] for key in ("frame", "still", "stream"))
    return [
        f"frame: {WIDTH_PX}x{HEIGHT_PX} px, {frame['name']}; one face of {frame['face_px']} px",
        "",
        f"{'milliseconds':<14}{'image p50':>11}{'p99':>9}{'stream p50':>13}{'p99':>9}",
        *(
            f"{stage:<14}{still['p50_ms'][stage]:>11.2f}{still['p99_ms'][stage]:>9.2f}"
            f"{stream['p50_ms'][stage]:>13.2f}{stream['p99_ms'][stage]:>9.2f}"
            for stage in still["p50_ms"]
        ),
        f"{'frames/s':<14}{still['fps']:>11.1f}{'':>9}{stream['fps']:>13.1f}",
        f"{still['frames']} images; {stream['frames']} frames of a stream, in which the detector "
        f"ran on {stream['detector_runs']}",
    ]


def _networks(args: argparse.Namespace) -> dict[str, Any]:
    """Time the bundled graphs, the engines in the working folder, and what was given, by task."""
    paths = [BUNDLED_FOLDER / name for name in bundled_names()]
    for pattern in (f"*{ENGINE_SUFFIX}", f"engines_*/*{ENGINE_SUFFIX}"):
        paths += sorted(Path().glob(pattern))
    for path in args.compare:
        if not path.exists():
            raise InputError(f"{str(path)!r} was given to --compare, and does not exist.")
        inside = [*path.glob(f"*{ENGINE_SUFFIX}"), *path.glob("*.onnx")] if path.is_dir() else []
        paths += sorted(inside) or [path]
    files: list[ModelFile] = []
    skipped: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        try:
            files.append(load_model_file(path))
        except ClipGazeError as error:
            skipped[str(path)] = str(error)
    of_task = {task: [file for file in files if file.card.task == task] for task in TASKS}
    tasks = {task: _time_models(found, args, skipped) for task, found in of_task.items()}
    return {"tasks": tasks, "skipped": skipped}


def _time_models(
    files: Sequence[ModelFile], args: argparse.Namespace, skipped: dict[str, str]
) -> dict[str, Any]:
    """Run the networks of one task in turns, so that all see the same machine."""
    from ..tensorrt.builder import profile_of, sample_images

    with ExitStack() as stack:
        models: list[dict[str, Any]] = []
        runs: list[Callable[[], object]] = []
        for file in files:
            try:
                shape = profile_of(file.card, BuildOptions(precision="fp32", batch=(1, 1, 1))).opt
                images = sample_images(file.card, shape)
                backend = load_backend(file, threads=args.threads)
                stack.callback(backend.close)
                backend.run(images)
            except ClipGazeError as error:
                skipped[str(file.path)] = str(error)
            else:
                runs.append(partial(backend.run, images))
                bundled = file.path.parent == BUNDLED_FOLDER
                name = file.path.name if bundled else str(file.path)
                runtime = "onnxruntime" if file.path.suffix == ".onnx" else "tensorrt"
                model = {"name": name, "precision": file.card.precision, "backend": runtime}
                models.append({**model, "shape": shape})
        rows_ms = [[_time_ms(run) for run in runs] for _ in range(_WARM_UP + args.frames)]
    for model, p50_ms, p99_ms in zip(models, *_percentiles(rows_ms[_WARM_UP:]), strict=True):
        model |= {"p50_ms": p50_ms, "p99_ms": p99_ms}
        model["ratio"] = models[0]["p50_ms"] / p50_ms  # to the bundled FP32 network
    return {"rounds": args.frames, "models": models}


def _model_lines(report: dict[str, Any]) -> list[str]:
    lines = ["milliseconds a run, in turns, with copies to and from a GPU; ratio to the first row"]
    for task, result in report["tasks"].items():
        lines += ["", f"{task:<38}{'backend':<13}{'input':<13}{'p50':>8}{'p99':>9}{'ratio':>8}"]
        lines += [
            f"  {m['name']:<36}{m['backend']:<13}{'x'.join(map(str, m['shape'])):<13}"
            f"{m['p50_ms']:>8.2f}{m['p99_ms']:>9.2f}{m['ratio']:>7.2f}x"
            for m in result["models"]
        ]
    for name, reason in report["skipped"].items():
        lines += ["", f"left out: {name}: {' '.join(reason.split())}"]
    return lines


def _time_ms(run: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    run()
    return (time.perf_counter() - start_s) * 1e3


def _percentiles(rows_ms: list[list[float]]) -> list[list[float]]:
    """Give the p50 and the p99 of each column."""
    import numpy as np

    return [[float(ms) for ms in row] for row in np.percentile(rows_ms, (50, 99), axis=0)]
