"""What a precision may change before it is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from export.half_run import MOST_ACTIVATION


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest mean changes by task and precision, in the task's unit, and shares of faces."""

    change: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: {
            "gaze": {"fp16": 0.1, "int8": 0.5},
            "face_landmarks": {"fp16": 0.1, "int8": 0.5},
            "face_detector": {"fp16": 0.1, "int8": 1.0},
        }
    )
    """Degrees; pixels of the 128 px crop; pixels of the detector's input of up to 640 px."""
    iris_px: Mapping[str, float] = field(default_factory=lambda: {"fp16": 0.1, "int8": 0.5})
    """Of gaze networks that say where irises are, pixels of the eye's patch."""
    faces: Mapping[str, float] = field(default_factory=lambda: {"fp16": 0.01, "int8": 0.05})
    """Faces lost or new, of those that FP32 finds."""
    activation: float = MOST_ACTIVATION


def failures(task: str, report: Mapping[str, Any], limits: Limits) -> list[str]:
    """A line for each limit that a network's report does not hold."""
    lines = []
    for kind, figures in report["files"].items():
        if kind == "fp32":
            continue
        precision = kind.split("_")[0]
        runs = {kind: figures}
        if "true_half" in figures:
            runs[f"{kind} in true half precision"] = figures["true_half"]
        for name, run in runs.items():
            most = limits.change[task][precision]
            if not run["change_mean"] <= most:
                lines.append(f"{task} {name}: mean change {run['change_mean']:.4g} over {most:g}")
            if not (iris := run.get("iris_px", 0.0)) <= limits.iris_px[precision]:
                most = limits.iris_px[precision]
                lines.append(f"{task} {name}: irises move by {iris:.4g} px, over {most:g}")
            for what in ("lost", "new") if "faces" in run else ():
                if run[what] > max(limits.faces[precision] * run["faces"], 1.0):
                    lines.append(
                        f"{task} {name}: {run[what]:.0f} of {run['faces']:.0f} faces {what}, over "
                        f"{limits.faces[precision]:.0%}"
                    )
        for layer, largest in figures.get("true_half", {}).get("largest", {}).items():
            if not (math.isfinite(largest) and largest <= limits.activation):
                lines.append(
                    f"{task} {kind}: the activation of {layer} reaches {largest:g}, over "
                    f"{limits.activation:g}; keep it in FP32, or train with weight decay"
                )
    return lines
