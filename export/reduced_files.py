"""Writing the FP16 and INT8 files of a network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.calibration import Inputs, recorded_inputs
from export.half_graph import HalfRangeError, half_precision
from export.int8_graph import calibrated_ranges, quantized, quantized_for_cpu
from export.model_files import (
    BUNDLED,
    ExportError,
    Network,
    check_sources,
    load_network,
    serialized,
    write_derived,
    write_network,
)

MADE_BY = "python export/precisions.py"
RUNTIMES = {
    "fp16": ["tensorrt", "onnxruntime"],
    "int8": ["tensorrt"],
    "int8_cpu": ["onnxruntime"],
}
"""By kind of file: the runtimes that it is made for.

ONNX Runtime's CPU runs ``int8`` too, without integer kernels for this placement; TensorRT refuses
the uint8 activations of ``int8_cpu``.
"""


def write_fp16(network: Network, out: Path) -> Path:
    """Write ``NAME.fp16.onnx`` and its card."""
    try:
        half, excluded = half_precision(network.model)
    except HalfRangeError as error:
        raise ExportError(f"{network.path}: {error}") from None
    card = derived_card(network, "fp16", excluded=excluded)
    path = _path(network, "fp16", out)
    return write_derived(path, serialized(half), card, [network.path])


def write_int8(
    network: Network, out: Path, *, inputs: Inputs, method: str, command: str
) -> list[Path]:
    """Write ``NAME.int8.onnx`` and ``NAME.int8_cpu.onnx``, of the same ranges, and their cards."""
    check_sources(_path(network, "int8", out), [network.path])  # before the first file is written
    ranges = calibrated_ranges(network.model, inputs.images, method)
    calibration = {
        "method": method,
        "images": len(inputs.images),
        "sha256": inputs.sha256,
        "command": command,
    }
    made = {}
    for kind, convert in (("int8_cpu", quantized_for_cpu), ("int8", quantized)):
        graph, excluded = convert(network.model, ranges)
        card = derived_card(network, kind, excluded=excluded) | {"calibration": calibration}
        made[kind] = (_path(network, kind, out), serialized(graph), card)
    whole = write_network(*made["int8_cpu"])
    return [write_derived(*made["int8"], [whole, network.path]), whole]


def derived_card(network: Network, kind: str, *, excluded: Sequence[str]) -> dict[str, Any]:
    """The FP32 card's entries, less its figures, with what became of the network."""
    entries = {k: v for k, v in network.card.entries.items() if k not in ("file", "sha256")}
    return entries | {
        "precision": kind.split("_")[0],
        "base_sha256": network.card.sha256,
        "excluded_layers": list(excluded),
        "runs_on": RUNTIMES[kind],
        "figures": {},
    }


def _path(network: Network, kind: str, out: Path) -> Path:
    return out / f"{network.path.stem}.{kind}.onnx"


def run(args: argparse.Namespace) -> None:
    """Carry out ``export/precisions.py``; exit code 1 where something given cannot be used."""
    folders = " ".join(folder.name for folder in args.calibration)
    command = f"{MADE_BY} --calibration {folders} --method {args.method} --images {args.images}"
    try:
        networks = [load_network(path) for path in args.models or BUNDLED]
        for network in networks:
            out = args.out or network.path.parent
            inputs = recorded_inputs(network, args.calibration, limit=args.images, cache=args.cache)
            paths = [
                write_fp16(network, out),
                *write_int8(network, out, inputs=inputs, method=args.method, command=command),
            ]
            print(f"{network.card.task}: {len(inputs.images)} inputs, SHA-256 {inputs.sha256[:12]}")
            for path in paths:
                print(f"  wrote {path} ({path.stat().st_size / 1e6:.2f} MB)", flush=True)
    except ExportError as error:
        raise SystemExit(f"error: {error}") from None
