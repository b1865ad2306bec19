"""Gaze networks of several backbones side by side: error, size and time in FP32 and INT8."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from clipgaze_sdk.cli.versions import describe_setting, setting_lines
from clipgaze_sdk.models.files import ModelFile
from export.calibration import CALIBRATION_IMAGES, recorded_inputs
from export.comparison import problem
from export.conversion import converted, write_card
from export.graphs import WEIGHTED
from export.latency import medians_ms
from export.model_files import ExportError, load_network, write_files
from export.reduced_files import write_int8
from export.trained import load_run
from export.verification import derived_file, verified

KIND = "int8_cpu"


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one run."""

    name: str
    """Of its backbone."""
    image_steps: int
    parameters: int
    macs: int
    own_error_deg: float
    """On its own augmented crops, at the end of training."""
    error_deg: float
    """On other people, FP32."""
    int8_error_deg: float
    int8_change_deg: float
    """Mean angle between the answers of INT8 and FP32."""
    megabytes: tuple[float, float]
    """Of the FP32 file and the INT8 one."""


def count_macs(model: onnx.ModelProto) -> int:
    """Multiplications of convolutions and matrix products for one image of a fixed batch of 1.

    Raises :class:`ExportError` where a size is not known from the graph.
    """
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = {t.name: list(t.dims) for t in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        sizes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    total = 0
    for node in inferred.node:
        if node.op_type not in WEIGHTED:
            continue
        weight, out = sizes.get(node.input[1], []), sizes.get(node.output[0], [])
        if not weight or not out or not all(weight + out):
            raise ExportError(f"the sizes of {node.name} are not known: {weight} to {out}")
        if node.op_type == "Conv":
            each = int(np.prod(weight[1:]))
        elif node.op_type == "ConvTranspose":
            raise ExportError(f"{node.name}: transposed convolutions are not counted")
        else:
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            each = weight[1] if transposed else weight[-2]
        total += int(np.prod(out)) * each
    return total


def measured(
    runs: Sequence[Path], data: Path, calibration: Sequence[Path], *, threads: int, rounds: int
) -> tuple[list[Row], dict[str, dict[str, float]]]:
    """Rows in the order of the runs, and median milliseconds by kind of file and run.

    Raises :class:`ExportError` for runs or folders that cannot be used.
    """
    rows: list[Row] = []
    files: dict[str, dict[str, ModelFile]] = {"fp32": {}, KIND: {}}
    with tempfile.TemporaryDirectory(prefix="clipgaze-") as folder:
        for run in runs:
            out = Path(folder) / run.name
            row, found = _one(run, out, data, calibration, threads=threads)
            rows.append(row)
            for kind, file in found.items():
                files[kind][run.name] = file
            print(f"{run.name}: {row.error_deg:.2f}°", flush=True)
        every = {f"{kind} {name}": f for kind, of in files.items() for name, f in of.items()}
        times = medians_ms(every, threads=threads, rounds=rounds)
    return rows, {k: {n: times[f"{k} {n}"] for n in of} for k, of in files.items()}


def _one(
    run: Path, out: Path, data: Path, calibration: Sequence[Path], *, threads: int
) -> tuple[Row, dict[str, ModelFile]]:
    trained = load_run("gaze", run)
    fixed = onnx.load_from_string(converted(trained, batch=1))
    path = out / "gaze.onnx"
    out.mkdir()
    write_files({path: converted(trained)})
    write_card("gaze", path, run, trained_on="", command="", seed=0)
    network = load_network(path)
    inputs = recorded_inputs(network, calibration, limit=CALIBRATION_IMAGES)
    write_int8(network, out, inputs=inputs, method="entropy", command="")
    task = problem(network, data, limit=1_000_000, cache=None)
    found = verified(network, task, threads=threads, rounds=0, kinds=(KIND,), half_images=0)
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    card = json.loads((run / "model.json").read_text())
    row = Row(
        name=str(card["architecture"]["backbone"]),
        image_steps=int(last["step"]) * int(card["recipe"]["batch"]),
        parameters=sum(p.numel() for p in trained.network.parameters()),
        macs=count_macs(fixed),
        own_error_deg=float(last["error_deg"]),
        error_deg=found["fp32"]["gaze_error_deg"],
        int8_error_deg=found[KIND]["gaze_error_deg"],
        int8_change_deg=found[KIND]["change_mean"],
        megabytes=(found["fp32"]["bytes"] / 1e6, found[KIND]["bytes"] / 1e6),
    )
    return row, {"fp32": network.file, KIND: derived_file(network, KIND)}


def markdown(
    rows: Sequence[Row], times: Mapping[str, Mapping[str, float]], setting: Mapping[str, Any]
) -> str:
    """The table."""
    lines = [
        *setting_lines(setting),
        "",
        "| backbone | image-steps | parameters | MACs | own crops | others | INT8 | by INT8 | "
        "FP32, times the first | INT8 | MB, FP32 and INT8 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    fp32, int8 = (list(times[kind].values()) for kind in ("fp32", KIND))
    for row, a, b in zip(rows, fp32, int8, strict=True):
        cells = [
            f"`{row.name}`",
            f"{row.image_steps:,}",
            f"{row.parameters / 1e6:.2f} M",
            f"{row.macs / 1e6:.0f} M",
            f"{row.own_error_deg:.1f}°",
            f"{row.error_deg:.2f}°",
            f"{row.int8_error_deg:.2f}°",
            f"{row.int8_change_deg:.2f}°",
            f"{a / fp32[0]:.2f} ({a:.2f} ms)",
            f"{b / fp32[0]:.2f} ({b:.2f} ms)",
            f"{row.megabytes[0]:.1f}, {row.megabytes[1]:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def run(args: argparse.Namespace) -> None:
    """Carry out ``export/backbones.py``; exit code 1 where something given cannot be used."""
    try:
        rows, times = measured(
            args.run, args.data, args.calibration, threads=args.threads, rounds=args.rounds
        )
    except ExportError as error:
        raise SystemExit(f"error: {error}") from None
    setting = describe_setting(args.threads)
    text = markdown(rows, times, setting)
    print(text, end="")
    if args.out:
        args.out.write_text(text, encoding="utf-8")
