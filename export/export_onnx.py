"""Checkpoint to FP32 ONNX with its card: ``python -m export.export_onnx TASK --run RUN --out DIR``.

Outputs are named, batch (and for the detector height and width) dynamic.  PyTorch and ONNX Runtime
are compared on random inputs before anything is written over; a difference beyond the tolerance is
an error and exit code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from train.crops import GAZE, LANDMARK_CROP_SCALE
from train.gaze import MEAN, STD
from train.loop import load_average
from train.networks import STRIDES, DetectorNetwork, GazeNetwork, LandmarkNetwork

OPSET = 18
TOLERANCE = 2e-4
OLDEST_IR = 9
"""ONNX Runtime 1.18, the oldest that the SDK supports, reads up to IR version 10."""


@dataclass(frozen=True, slots=True)
class Task:
    """How one kind of network is exported."""

    model: type[nn.Module]
    example: tuple[int, int, int, int]
    free: dict[int, str]
    """Dynamic dimensions of the input, by position."""
    outputs: dict[str, list[int | str]]
    preprocessing: dict[str, Any]
    purpose: str
    limits: str


COMMON = {"color": "RGB", "mean": list(MEAN), "std": list(STD)}
TASKS = {
    "face_detector": Task(
        DetectorNetwork,
        (2, 3, 256, 320),
        {0: "batch", 2: "height", 3: "width"},
        {
            "scores": ["batch", "anchors"],
            "boxes": ["batch", "anchors", 4],
            "points": ["batch", "anchors", 10],
        },
        {**COMMON, "long_side_px": [640, 256], "multiple_px": 32, "strides": list(STRIDES)},
        "Finding faces in whole frames, to start landmarks and gaze.",
        "Faces under 20 px of a 640 px frame, strong in-plane tilt, masks and hats are weak. "
        "Not for identification.",
    ),
    "face_landmarks": Task(
        LandmarkNetwork,
        (2, 3, 128, 128),
        {0: "batch"},
        {"points": ["batch", 70, 2], "openness": ["batch", 2], "presence": ["batch"]},
        {**COMMON, "crop_scale": LANDMARK_CROP_SCALE},
        "68 landmarks, both irises, eye openness, presence: for head pose and to follow a face.",
        "Profiles beyond 60 degrees and faces covered by hands or masks are weak.",
    ),
    "gaze": Task(
        GazeNetwork,
        (2, 3, 96, 224),
        {0: "batch"},
        {"pitch_yaw": ["batch", 2], "log_sigma": ["batch"]},
        {
            **COMMON,
            "focal_px": GAZE.focal_px,
            "distance_mm": GAZE.distance_mm,
            "center_px": list(GAZE.center_px),
        },
        "Direction of gaze of any person in front of one camera.",
        "Trained on rendered people only. Not for medical use, nor for deciding about people.",
    ),
}


class _Named(nn.Module):
    """The network with its outputs as a tuple in the card's order."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = self.model(image)
        return tuple(out[name] for name in self.names)


def export(name: str, run: Path, out: Path) -> Path:
    """Write ``out/NAME.onnx``; raises :class:`ValueError` beyond the tolerance."""
    task = TASKS[name]
    model = _Named(load_average(task.model(), run), list(task.outputs)).eval()
    image = torch.randn(task.example, generator=torch.Generator().manual_seed(0))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.onnx"
    partial = out / f"{name}.partial.onnx"
    torch.onnx.export(
        model,
        (image,),
        partial,
        input_names=["image"],
        output_names=list(task.outputs),
        dynamic_axes={
            "image": task.free,
            **{
                key: {i: d for i, d in enumerate(shape) if isinstance(d, str)}
                for key, shape in task.outputs.items()
            },
        },
        opset_version=OPSET,
        dynamo=False,
    )
    graph = onnx.load(partial)
    graph.ir_version = min(graph.ir_version, OLDEST_IR)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, partial)
    worst = compare(model, partial, task)
    print(f"{name}: PyTorch against ONNX Runtime, largest difference {worst:.2e}")
    if worst > TOLERANCE:
        partial.unlink()
        raise ValueError(f"{name}: differs by {worst:.2e}, more than {TOLERANCE:.0e}; not written")
    partial.replace(path)
    return path


def compare(model: nn.Module, path: Path, task: Task) -> float:
    """Largest absolute difference between PyTorch and ONNX Runtime over three shapes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for k, batch in enumerate((1, 2, 5)):
        shape = [batch, *task.example[1:]]
        if 2 in task.free:
            shape[2:] = [32 * (6 + k), 32 * (10 - k)]
        image = torch.randn(shape, generator=torch.Generator().manual_seed(k))
        with torch.no_grad():
            expected = model(image)
        got = session.run(None, {"image": image.numpy()})
        for e, g in zip(expected, got, strict=True):
            worst = max(worst, float(np.abs(e.numpy() - g).max() / (1 + np.abs(g).max())))
    return worst


def write_card(
    name: str, path: Path, run: Path, *, trained_on: str, command: str, seed: int
) -> Path:
    """Write ``NAME.json`` beside the model; figures are added by ``train.evaluate``."""
    task = TASKS[name]
    shape: list[int | str] = [task.free.get(i, d) for i, d in enumerate(task.example)]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    log = (run / "log.jsonl").read_text().splitlines()
    card = {
        "format": 1,
        "name": name,
        "task": name,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "version": "0.1.0",
        "licence": "Apache-2.0",
        "inputs": [{"name": "image", "dtype": "float32", "shape": shape}],
        "outputs": [
            {"name": key, "dtype": "float32", "shape": dims} for key, dims in task.outputs.items()
        ],
        "preprocessing": task.preprocessing,
        "trained_on": trained_on,
        "face_model": "ICT-FaceKit (MIT licence), https://github.com/ICT-VGL/ICT-FaceKit",
        "command": command,
        "seed": seed,
        "commit": commit,
        "last_log": json.loads(log[-1]),
        "figures": {},
        "intended_use": task.purpose,
        "limits": task.limits,
    }
    card_path = path.with_suffix(".json")
    card_path.write_text(json.dumps(card, indent=2) + "\n")
    return card_path


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m export.export_onnx", description=__doc__)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trained-on", required=True, help="for the card: what data, how much")
    parser.add_argument("--command", required=True, help="for the card: the training command")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        path = export(args.task, args.run, args.out)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error
    card = write_card(
        args.task, path, args.run, trained_on=args.trained_on, command=args.command, seed=args.seed
    )
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB) and {card.name}")


if __name__ == "__main__":
    main()
