"""``clipgaze bench --compare``: every model and backend that is here, side by side."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ClipGazeError, InputError
from .versions import describe_setting, installed_version, setting_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..backends import Backend
    from ..models.files import ModelFile

_WARM_UP = 3
_LIBRARIES = {
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime",),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "pycuda": ("pycuda",),
}


@dataclass(frozen=True, slots=True)
class ModelBench:
    """Times of one network in one precision on one backend, in milliseconds a run."""

    name: str
    precision: str
    backend: str
    """"onnxruntime" or "tensorrt"."""
    shape: tuple[int, ...]
    """Of the input."""
    p50_ms: float
    p99_ms: float
    ratio: float
    """How many times faster than the bundled FP32 network on ONNX Runtime, by p50."""


def compare(args: argparse.Namespace) -> int:
    """Carry out ``clipgaze bench --compare``.

    Raises:
        ClipGazeError: as its message says.
    """
    from ..models.files import TASKS

    files, skipped = _present(args.compare)
    report: dict[str, Any] = {
        **describe_setting(
            args.threads,
            **{k: v for k, names in _LIBRARIES.items() if (v := installed_version(*names))},
        ),
        "tasks": {},
        "skipped": skipped,
    }
    for task in TASKS:
        own = [file for file in files if file.card.task == task]
        report["tasks"][task] = _compare_task(own, args, skipped)
    print("\n".join(compare_lines(report)))
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _present(given: Iterable[Path]) -> tuple[list[ModelFile], dict[str, str]]:
    """Return the bundled graphs, the engines in the working folder, and what was given."""
    from ..models.files import BUNDLED_FOLDER, bundled_names, load_model_file
    from ..tensorrt.info import ENGINE_SUFFIX

    paths = [BUNDLED_FOLDER / name for name in bundled_names()]
    folders = [Path(), *sorted(Path().glob("engines_*"))]
    paths += [p for folder in folders for p in sorted(folder.glob(f"*{ENGINE_SUFFIX}"))]
    for path in given:
        if not path.exists():
            raise InputError(f"{str(path)!r} was given to --compare, and does not exist.")
        inside = [*path.glob(f"*{ENGINE_SUFFIX}"), *path.glob("*.onnx")] if path.is_dir() else []
        paths += sorted(inside) or [path]
    files, skipped = [], {}
    for path in dict.fromkeys(paths):
        try:
            files.append(load_model_file(path))
        except ClipGazeError as error:
            skipped[str(path)] = str(error)
    return files, skipped


def _compare_task(
    files: Sequence[ModelFile], args: argparse.Namespace, skipped: dict[str, str]
) -> dict[str, Any]:
    """Run the networks of one task in turns, so that all see the same machine."""
    import numpy as np

    from ..backends import load_backend
    from ..tensorrt.builder import profile_of
    from ..tensorrt.network import BuildOptions
    from ..tensorrt.samples import sample_images

    with ExitStack() as stack:
        loaded: list[tuple[ModelFile, Backend, NDArray[np.float32]]] = []
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
                loaded.append((file, backend, images))
        times_ms: list[list[float]] = [[] for _ in loaded]
        for index in range(_WARM_UP + args.frames):
            for (_, backend, images), taken in zip(loaded, times_ms, strict=True):
                start_s = time.perf_counter()
                backend.run(images)
                if index >= _WARM_UP:
                    taken.append((time.perf_counter() - start_s) * 1e3)
    p50 = [float(np.percentile(taken, 50)) for taken in times_ms]
    models = [
        asdict(
            ModelBench(
                name=_name(file),
                precision=file.card.precision,
                backend=_backend_name(file),
                shape=images.shape,
                p50_ms=middle,
                p99_ms=float(np.percentile(taken, 99)),
                ratio=p50[0] / middle,
            )
        )
        for (file, _, images), taken, middle in zip(loaded, times_ms, p50, strict=True)
    ]
    return {"rounds": args.frames, "models": models}


def _backend_name(file: ModelFile) -> str:
    return "onnxruntime" if file.path.suffix == ".onnx" else "tensorrt"


def _name(file: ModelFile) -> str:
    from ..models.files import BUNDLED_FOLDER

    return file.path.name if file.path.parent == BUNDLED_FOLDER else str(file.path)


def compare_lines(report: dict[str, Any]) -> list[str]:
    """Lay the figures out for a person to read."""
    lines = [
        *setting_lines(report),
        "milliseconds a run, in turns, with copies to and from a GPU; ratio to the first row",
    ]
    for task, result in report["tasks"].items():
        header = f"{task:<38}{'backend':<13}{'input':<13}{'p50':>8}{'p99':>9}{'ratio':>8}"
        lines += ["", header]
        lines += [
            f"  {m['name']:<36}{m['backend']:<13}{'x'.join(map(str, m['shape'])):<13}"
            f"{m['p50_ms']:>8.2f}{m['p99_ms']:>9.2f}{m['ratio']:>7.2f}x"
            for m in result["models"]
        ]
    for name, reason in report["skipped"].items():
        lines += ["", f"left out: {name}: {' '.join(reason.split())}"]
    return lines
