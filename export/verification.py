"""Comparing the FP16 and INT8 files of networks with their FP32 ones."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from clipgaze_sdk import ClipGazeError
from clipgaze_sdk.backends import load_backend
from clipgaze_sdk.cli.versions import describe_setting
from clipgaze_sdk.models.files import ModelFile, load_model_file
from export.comparison import UNITS, Change, Problem, answers, change, gaze_error_deg, problem
from export.gate import Limits, failures
from export.half_run import HalfRunner
from export.latency import medians_ms
from export.model_files import BUNDLED, ExportError, Network, load_network, write_files
from export.tables import markdown

KINDS = ("fp16", "int8", "int8_cpu")
HALF_IMAGES = 96
"""Inputs that run in true half precision, which is slow."""


def verified(
    network: Network,
    task: Problem,
    *,
    threads: int,
    rounds: int,
    kinds: Sequence[str] = KINDS,
    half_images: int = HALF_IMAGES,
) -> dict[str, Any]:
    """Figures of a network's files by kind, "fp32" first; ``rounds`` 0 leaves out latency."""
    files = {"fp32": network.file} | {kind: derived_file(network, kind) for kind in kinds}
    base = _answered(files["fp32"], task, threads)
    report: dict[str, Any] = {"fp32": {"change_mean": 0.0, "change_worst": 0.0}}
    if task.truth is not None:
        report["fp32"]["gaze_error_deg"] = gaze_error_deg(task, base)
    for kind in kinds:
        other = _answered(files[kind], task, threads)
        report[kind] = _figures(change(network.card, task, base, other))
    for kind, file in files.items():
        report[kind]["bytes"] = len(file.data)
        report[kind]["excluded_layers"] = list(file.card.excluded_layers)
    if "fp16" in kinds:
        report["fp16"]["true_half"] = _in_true_half(network, files["fp16"], task, base, half_images)
    if rounds:
        times = medians_ms(files, threads=threads, rounds=rounds)
        for kind, ms in times.items():
            report[kind] |= {"ms": ms, "speedup": times["fp32"] / ms}
    return report


def derived_file(network: Network, kind: str) -> ModelFile:
    """The file of another precision beside a network's; refuses one made from other weights."""
    path = network.path.with_name(f"{network.path.stem}.{kind}.onnx")
    try:
        file = load_model_file(path)
    except ClipGazeError as error:
        raise ExportError(
            f"{error} Make it with `python export/precisions.py {network.path} --calibration DIR`"
        ) from None
    if file.card.base_sha256 != network.card.sha256:
        raise ExportError(
            f"{path} was made from another {network.path.name} (SHA-256 "
            f"{file.card.base_sha256[:12]}, not {network.card.sha256[:12]}); make it again with "
            "`python export/precisions.py`"
        )
    return file


def _answered(file: ModelFile, task: Problem, threads: int) -> list[dict[str, Any]]:
    backend = load_backend(file, threads=threads)
    try:
        return answers(backend.run, task.images)
    finally:
        backend.close()


def _in_true_half(
    network: Network, file: ModelFile, task: Problem, base: list[dict[str, Any]], images: int
) -> dict[str, Any]:
    """Change against FP32 and the largest activations, over evenly chosen inputs."""
    chosen = np.linspace(0, len(task.images) - 1, min(images, len(task.images))).round().astype(int)
    part = Problem(
        [task.images[i] for i in chosen], None if task.truth is None else task.truth[chosen]
    )
    runner = HalfRunner(onnx.load_model_from_string(file.data))
    found = change(network.card, part, [base[i] for i in chosen], answers(runner.run, part.images))
    return _figures(found) | {"images": len(part.images), "largest": runner.largest}


def _figures(found: Change) -> dict[str, Any]:
    return {"change_mean": found.mean, "change_worst": found.worst, **found.figures}


def write_cards(path: Path, task: str, part: Mapping[str, Any]) -> None:
    """Put the figures of a network's report into the cards of its FP16 and INT8 files."""
    for kind in KINDS:
        card = path.with_name(f"{path.stem}.{kind}.json")
        entries = json.loads(card.read_text(encoding="utf-8"))
        run = part["files"][kind]
        figures = {"against_fp32": {"inputs": part["images"], **_card_figures(task, run)}}
        if half := run.get("true_half"):
            figures["in_true_half"] = {
                "inputs": half["images"],
                **_card_figures(task, half),
                "largest_activation": round(max(half["largest"].values()), 1),
            }
        entries["figures"] = entries.get("figures", {}) | figures
        write_files({card: (json.dumps(entries, indent=2) + "\n").encode()})


def _card_figures(task: str, run: Mapping[str, Any]) -> dict[str, float]:
    unit = UNITS[task].replace("°", "deg")
    names = {"change_mean": f"change_mean_{unit}", "change_worst": f"change_worst_{unit}"}
    of_machine = ("ms", "speedup")
    return {
        names.get(key, key): round(value, 4)
        for key, value in run.items()
        if isinstance(value, float) and key not in of_machine
    }


def networks_by_task(paths: Sequence[Path]) -> dict[str, Network]:
    """Networks by task, of which a report holds one each."""
    networks: dict[str, Network] = {}
    for path in paths:
        network = load_network(path)
        if other := networks.get(network.card.task):
            raise ExportError(f"{other.path} and {path} have one task; verify one after the other")
        networks[network.card.task] = network
    return networks


def run(args: argparse.Namespace) -> None:
    """Carry out ``export/verify.py``; exit code 1 where a limit is not held."""
    parts: dict[str, dict[str, Any]] = {}
    try:
        networks = networks_by_task(args.models or BUNDLED)
        for name, network in networks.items():
            task = problem(network, args.data, limit=args.images, cache=args.cache)
            files = verified(network, task, threads=args.threads, rounds=args.rounds)
            parts[name] = {"images": len(task.images), "files": files}
        setting = describe_setting(args.threads)
        report = {"setting": setting, "networks": parts}
        text = markdown(report)
        print(text)
        if args.out:
            plain = json.dumps(report, indent=1) + "\n"
            write_files(
                {args.out / "verify.md": text.encode(), args.out / "verify.json": plain.encode()}
            )
        wrong = [line for name, part in parts.items() for line in failures(name, part, Limits())]
        if wrong:
            raise SystemExit("\n".join(["not precise enough:", *wrong]))
        for name, network in networks.items() if args.write_cards else ():
            write_cards(network.path, name, parts[name])
    except ExportError as error:
        raise SystemExit(f"error: {error}") from None
