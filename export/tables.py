"""A report of ``export/verify.py`` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipgaze_sdk.cli.versions import setting_lines
from export.comparison import UNITS

MOST_LAYERS = 3


def markdown(report: Mapping[str, Any]) -> str:
    """One table of all files, then the largest FP16 activations."""
    lines = [
        *setting_lines(report["setting"]),
        "",
        "| network | file | MB | mean change | worst | beside it | ONNX Runtime, ms | times FP32 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, part in report["networks"].items():
        for kind, figures in part["files"].items():
            lines.append(_row(task, kind, figures))
            if "true_half" in figures:
                name = f"{kind} in true half ({figures['true_half']['images']} inputs)"
                lines.append(_row(task, name, figures["true_half"]))
    lines += ["", "| network | inputs | largest FP16 activations |", "|---|---|---|"]
    for task, part in report["networks"].items():
        largest = part["files"].get("fp16", {}).get("true_half", {}).get("largest", {})
        most = sorted(largest.items(), key=lambda item: -item[1])[:MOST_LAYERS]
        text = ", ".join(f"{value:.1f} (`{name}`)" for name, value in most)
        lines.append(f"| {task} | {part['images']} | {text} |")
    return "\n".join(lines) + "\n"


def _row(task: str, kind: str, figures: Mapping[str, Any]) -> str:
    unit = UNITS[task]
    cells = [
        task,
        kind,
        f"{figures['bytes'] / 1e6:.2f}" if "bytes" in figures else "",
        "" if kind == "fp32" else f"{figures['change_mean']:.4f} {unit}",
        "" if kind == "fp32" else f"{figures['change_worst']:.3f} {unit}",
        _beside(figures),
        f"{figures['ms']:.2f}" if "ms" in figures else "",
        f"{figures['speedup']:.2f}" if "speedup" in figures else "",
    ]
    return f"| {' | '.join(cells)} |"


def _beside(figures: Mapping[str, Any]) -> str:
    parts = []
    if "gaze_error_deg" in figures:
        parts.append(f"gaze error {figures['gaze_error_deg']:.2f}°")
    if "iris_px" in figures:
        parts.append(f"irises {figures['iris_px']:.4f} px")
    if "openness" in figures:
        parts.append(f"openness ±{figures['openness']:.4f}, presence ±{figures['presence']:.4f}")
    if "faces" in figures:
        parts.append(
            f"{figures['lost']:.0f} of {figures['faces']:.0f} faces lost, "
            f"{figures['new']:.0f} new, score ±{figures['score']:.4f}"
        )
    return ", ".join(parts)
