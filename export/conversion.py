"""From a trained network to FP32 ONNX with its card, compared before it is written."""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from export.calibration import recorded_inputs
from export.model_files import (
    OLDEST_IR,
    ExportError,
    load_network,
    serialized,
    write_files,
    write_network,
)
from export.trained import TASKS, Task, Trained, load_run

__all__ = ["TASKS", "export", "write_card"]

OPSET = 18
TOLERANCE = 2e-4
COMPARED_CROPS = 64


def export(
    name: str, run: Path, out: Path, *, batch: int | None = None, crops: Path | None = None
) -> Path:
    """Write ``out/NAME.onnx``; raises :class:`ExportError` beyond the tolerance."""
    trained = load_run(name, run)
    model = converted(trained, batch=batch)
    check(name, trained, model, batch=batch, crops=crops)
    path = out / f"{name}.onnx"
    write_files({path: model})
    return path


def converted(trained: Trained, *, batch: int | None = None) -> bytes:
    """The network as ONNX.

    By PyTorch's TorchScript exporter: its graph is the plain one that converters to other
    precisions and TensorRT read best.  See docs/export.md.
    """
    task = trained.task.with_batch(batch)
    image = torch.randn(task.example, generator=torch.Generator().manual_seed(0))
    dynamic = {
        "image": task.free,
        **{
            key: {i: d for i, d in enumerate(shape) if isinstance(d, str)}
            for key, shape in task.outputs.items()
        },
    }
    with tempfile.TemporaryDirectory(prefix="clipgaze-") as folder, warnings.catch_warnings():
        # The exporter announces its own successor.
        warnings.simplefilter("ignore", DeprecationWarning)
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            trained.network,
            (image,),
            path,
            input_names=["image"],
            output_names=list(task.outputs),
            dynamic_axes={name: axes for name, axes in dynamic.items() if axes},
            opset_version=OPSET,
            dynamo=False,
        )
        graph = onnx.load(path)
    graph.ir_version = min(graph.ir_version, OLDEST_IR)
    return serialized(graph)


def check(
    name: str, trained: Trained, model: bytes, *, batch: int | None, crops: Path | None
) -> None:
    """Compare PyTorch with ONNX Runtime, and raise :class:`ExportError` beyond the tolerance."""
    task = trained.task.with_batch(batch)
    if crops is None:
        images: Iterable[NDArray[np.float32]] = _random_images(task)
        what = "random inputs (give --crops for real ones)"
    else:
        images = _real_images(name, task, model, crops)
        what = f"crops of {crops}"
    worst = compare(trained.network, model, images)
    print(f"{name}: PyTorch against ONNX Runtime on {what}: largest difference {worst:.2e}")
    if not worst <= TOLERANCE:
        raise ExportError(f"{name}: differs by {worst:.2e}, more than {TOLERANCE:.0e}; not written")


def compare(network: nn.Module, model: bytes, images: Iterable[NDArray[np.float32]]) -> float:
    """Largest difference between PyTorch and ONNX Runtime, relative to outputs above 1."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    worst = 0.0
    for image in images:
        with torch.inference_mode():
            expected = network(torch.from_numpy(image))
        got = session.run(None, {"image": image})
        for e, g in zip(expected, got, strict=True):
            worst = max(worst, float(np.abs(e.numpy() - g).max() / (1 + np.abs(g).max())))
    return worst


def _random_images(task: Task) -> Iterable[NDArray[np.float32]]:
    for k, batch in enumerate((1, 2, 5)):
        shape = list(task.example)
        if 0 in task.free:
            shape[0] = batch
        if 2 in task.free:
            shape[2:] = [32 * (6 + k), 32 * (10 - k)]
        yield torch.randn(shape, generator=torch.Generator().manual_seed(k)).numpy()


def _real_images(name: str, task: Task, model: bytes, crops: Path) -> Iterable[NDArray[np.float32]]:
    """What the SDK gives this very network, in batches of the size that it takes."""
    with tempfile.TemporaryDirectory(prefix="clipgaze-") as folder:
        path = write_network(Path(folder) / f"{name}.onnx", model, _entries(name, task, {}))
        images = recorded_inputs(load_network(path), [crops], limit=COMPARED_CROPS).images
    batch = 1 if 0 in task.free else task.example[0]
    return [np.concatenate([image] * batch) for image in images]


def write_card(
    name: str, path: Path, run: Path, *, trained_on: str, command: str, seed: int
) -> Path:
    """Write ``NAME.json`` beside the model; figures are added by ``train.eval.bundled``."""
    trained = load_run(name, run)
    about = trained.about | {"trained_on": trained_on, "command": command, "seed": seed}
    write_network(path, path.read_bytes(), _entries(name, trained.task, about))
    return path.with_suffix(".json")


def _entries(name: str, task: Task, about: dict[str, Any]) -> dict[str, Any]:
    """A card without the file's name and hash."""
    shape: list[int | str] = [task.free.get(i, d) for i, d in enumerate(task.example)]
    return {
        "format": 1,
        "name": name,
        "task": name,
        "file": "",
        "sha256": "",
        "version": "0.1.0",
        "licence": "Apache-2.0",
        "precision": "fp32",
        "inputs": [{"name": "image", "dtype": "float32", "shape": shape}],
        "outputs": [
            {"name": key, "dtype": "float32", "shape": dims} for key, dims in task.outputs.items()
        ],
        "preprocessing": task.preprocessing,
        "trained_on": about.get("trained_on", ""),
        "face_model": "ICT-FaceKit (MIT licence), https://github.com/ICT-VGL/ICT-FaceKit",
        "command": about.get("command", ""),
        "seed": about.get("seed", 0),
        "commit": about.get("commit") or _commit(),
        **{k: about[k] for k in ("architecture", "last_log") if k in about},
        "figures": {},
        "intended_use": task.purpose,
        "limits": task.limits,
    }


def _commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()


def run(args: argparse.Namespace) -> None:
    """Carry out ``export/export_onnx.py``; exit code 1 where nothing could be written."""
    given = {"trained_on": args.trained_on, "command": args.command, "seed": args.seed}
    try:
        trained = load_run(args.task, args.run)
        about = trained.about | {k: v for k, v in given.items() if v is not None}
        if lacking := [k for k in ("trained_on", "command") if not about.get(k)]:
            names = " and ".join(f"--{k.replace('_', '-')}" for k in lacking)
            raise ExportError(f"{args.run} does not say what its card needs; give {names}")
        model = converted(trained, batch=args.batch)
        check(args.task, trained, model, batch=args.batch, crops=args.crops)
        entries = _entries(args.task, trained.task.with_batch(args.batch), about)
        path = write_network(args.out / f"{args.task}.onnx", model, entries)
    except (ExportError, json.JSONDecodeError) as error:
        raise SystemExit(f"error: {error}") from None
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB) and {path.with_suffix('.json').name}")
