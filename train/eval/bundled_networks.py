"""The bundled networks measured on rendered people: the gaze network alone, and the whole SDK.

The work of ``python -m train.eval.bundled``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from clipgaze_sdk import FaceResult
from clipgaze_sdk.geometry import angle_between
from train.eval.frozen_set import COUNT, FORWARD, binned, describe, is_frozen, network_rows
from train.eval.network_files import NetworkFile
from train.eval.protocol import spearman
from train.eval.sdk_rows import answers
from train.synth.outputs.shards import Sample

MODELS = Path(__file__).parents[2] / "sdk" / "clipgaze_sdk" / "models"


def evaluate_network(
    data: Path, models: Path, *, limit: int | None, threads: int
) -> dict[str, Any]:
    """Figures of ``gaze.onnx`` alone."""
    with NetworkFile(models / "gaze.onnx", threads=threads) as network:
        rows = network_rows(data, network.normalization, network.ask_pictures, limit=limit)
    return summary(rows)


def evaluate_sdk(data: Path, models: Path | None, *, limit: int | None, threads: int) -> Any:
    """Figures of the whole SDK."""
    rows: list[dict[str, Any]] = []
    missed: list[dict[str, Any]] = []
    extra = 0
    for sample, face, others in answers(models, data, limit=limit, threads=threads):
        extra += others
        missed.append(describe(sample) | {"missed": float(face is None)})
        if face is not None:
            rows.append(describe(sample) | compare(face, sample))
    if not rows:
        raise SystemExit(f"no face found in {len(missed)} pictures of {data}: nothing to report")
    return {
        "pictures": len(missed),
        "found": len(rows) / len(missed),
        "missed_by": binned(missed, "missed"),
        "false_faces_per_picture": extra / len(missed),
        "head_pose_mean_deg": float(np.mean([r["head"] for r in rows])),
        "head_direction_as_gaze_mean_deg": float(np.mean([r["head_as_gaze"] for r in rows])),
        "landmark_error_of_interocular": float(np.mean([r["landmarks"] for r in rows])),
        **summary(rows),
    }


def compare(face: FaceResult, sample: Sample) -> dict[str, float]:
    """Errors of one face in degrees, and of its landmarks in interocular distances."""
    labels = sample.labels
    truth = np.array(labels["gaze"])
    marks = np.array(labels["landmarks_px"])
    facing = np.array(labels["camera_from_head"]) @ FORWARD
    eyes = max(float(np.linalg.norm(marks[45] - marks[36])), 0.5 * float(np.ptp(marks[:, 1])))
    found = face.head_pose.camera_from_head @ FORWARD
    return {
        "gaze": float(np.degrees(angle_between(face.gaze.vector, truth))),
        "sigma": float(np.degrees(face.gaze.uncertainty_rad)),
        "head": float(np.degrees(angle_between(found, facing))),
        "head_as_gaze": float(np.degrees(angle_between(facing, truth))),
        "landmarks": float(np.linalg.norm(face.landmarks_px - marks, axis=1).mean() / eyes),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean, median and bins of the gaze error; how well the uncertainty ranks it."""
    gaze = np.array([row["gaze"] for row in rows])
    seen = np.array([row["eyes"] == "visible" for row in rows])
    sigma = np.array([row["sigma"] for row in rows])
    return {
        "faces": len(rows),
        "people": len({row["person"] for row in rows}),
        "gaze_mean_deg": float(gaze.mean()),
        "gaze_median_deg": float(np.median(gaze)),
        "gaze_p90_deg": float(np.quantile(gaze, 0.9)),
        "gaze_mean_eyes_visible_deg": float(gaze[seen].mean()),
        "uncertainty_rank_correlation": spearman(sigma, gaze),
        "gaze_by": binned(rows, "gaze"),
        "uncertainty_by": binned(rows, "sigma"),
    }


def write_cards(report: dict[str, Any], models: Path) -> None:
    """Put the figures that belong to each network into its card."""
    kept = ("faces", "people", "uncertainty_rank_correlation")
    shares: dict[str, dict[str, Any]] = {}
    if network := report.get("gaze_network"):
        shares["gaze"] = {
            k: v
            for k, v in network.items()
            if (k.startswith("gaze") and not isinstance(v, dict)) or k in kept
        }
    if sdk := report.get("sdk"):
        marks = ("landmark_error_of_interocular", "head_pose_mean_deg")
        shares.setdefault("gaze", {})["whole_sdk_gaze_mean_deg"] = sdk["gaze_mean_deg"]
        shares["face_landmarks"] = {k: sdk[k] for k in marks}
        shares["face_detector"] = {k: sdk[k] for k in ("found", "false_faces_per_picture")}
    for name, figures in shares.items():
        path = models / f"{name}.json"
        card = json.loads(path.read_text())
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
        known = card["figures"].setdefault("rendered_people_frozen_set", {"pictures": COUNT})
        known.update(rounded)
        card["figures"].pop("rendered_people_held_out", None)
        path.write_text(json.dumps(card, indent=2) + "\n")


def table(title: str, report: dict[str, Any]) -> str:
    """A report as text."""
    lines = [title]
    for key, value in report.items():
        if isinstance(value, dict):
            for name, part in value.items():
                cells = "  ".join(f"{k}: {v[0]:.2f} ({v[1]})" for k, v in part.items())
                lines.append(f"  {key} {name:9} {cells}")
        else:
            lines.append(f"  {key:34} {round(value, 3) if isinstance(value, float) else value}")
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    """Measure as the command says, and print tables; returns the exit code."""
    frozen = is_frozen(args.data) and args.limit is None
    if not frozen:
        print(
            "these pictures are not the whole frozen set (train/eval/frozen_set.json): "
            "quote no figure of them"
        )
    models = args.models or MODELS
    report: dict[str, Any] = {
        "frozen_set": frozen,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {args.threads} threads",
    }
    few = {"limit": args.limit, "threads": args.threads}
    if args.only != "sdk":
        report["gaze_network"] = evaluate_network(args.data, models, **few)
        print(table("gaze network alone, crops as at run time", report["gaze_network"]))
    if args.only != "network":
        report["sdk"] = evaluate_sdk(args.data, args.models, **few)
        print(table("whole SDK", report["sdk"]))
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")
    if args.write_cards:
        if not frozen:
            raise SystemExit("cards hold figures of the frozen set only; nothing was written")
        write_cards(report, models)
    return 0
