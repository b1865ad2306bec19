"""What a run on one GPU leaves: few, small files in one folder, with a report."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clipgaze_sdk.writing import write_files
from train.loop.states import STATE
from train.loop.training_loop import FitError

REPORT, CURVE = "report.json", "curve.png"
MOST_FILES, MOST_BYTES = 8, 16 << 20
_EXPORT_NEEDS = ("onnx", "onnxruntime")
_LEAST_EXPORT_S = 10.0
_ROOT = Path(__file__).parents[3]


def new_folder(out: Path) -> None:
    """Make the folder; raises :class:`FitError` where it holds something already."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = sorted(path.name for path in out.iterdir())
    except OSError as error:
        raise FitError(f"{out} cannot be the run's folder ({error}); give another") from None
    if there:
        raise FitError(f"{out} holds {there[0]} already; give a new folder")


def exported(task: str, out: Path, seconds: float) -> str:
    """Write ``TASK.onnx`` and its card beside the weights, in a process of its own.

    Returns what came of it, in a sentence: a run is worth its weights without it as well.
    """
    later = f"`python -m export.export_onnx {task} --run DIR --out DIR` does it elsewhere"
    lacking = [name for name in _EXPORT_NEEDS if importlib.util.find_spec(name) is None]
    if lacking:
        return f"not exported: {' and '.join(lacking)} not installed; {later}"
    if seconds < _LEAST_EXPORT_S:
        return f"not exported: {seconds:.0f} s were left; {later}"
    command = [
        *(sys.executable, "-m", "export.export_onnx", task),
        *("--run", str(out.resolve()), "--out", str(out.resolve())),
    ]
    try:
        done = subprocess.run(
            command, cwd=_ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        if all((out / f"{task}.{end}").is_file() for end in ("onnx", "json")):
            return f"wrote {out / task}.onnx at the last moment"  # both at once, checked before
        return f"not exported: {seconds:.0f} s were too short; {later}"
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode:
        return f"not exported: {said[-1] if said else f'exit code {done.returncode}'}; {later}"
    return said[-1] if said else "exported"


def tidied(out: Path) -> list[str]:
    """Delete what nobody needs afterwards; a sentence for each bound that does not hold."""
    (out / STATE).unlink(missing_ok=True)
    for path in out.glob("*.partial"):
        path.unlink()
    files = sorted(path for path in out.rglob("*") if path.is_file())
    said = [
        f"{path.name} has {path.stat().st_size / 2**20:.1f} MiB"
        for path in files
        if path.stat().st_size > MOST_BYTES
    ]
    if len(files) > MOST_FILES:
        said.append(f"there are {len(files)} files")
    return said


def write_report(out: Path, report: Mapping[str, Any]) -> Path:
    """One JSON of all that is known of the run; sizes of the other files are added."""
    others = sorted(p for p in out.iterdir() if p.is_file() and p.name != REPORT)
    whole = {**report, "files": {p.name: p.stat().st_size for p in others}}
    path = out / REPORT
    write_files({path: (json.dumps(whole, indent=1) + "\n").encode()})
    return path


def draw_curve(
    path: Path,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    size: tuple[int, int] = (640, 400),
) -> None:
    """A small PNG of some errors over minutes, from 0 up; each line has its last value beside it.

    matplotlib is not everywhere.
    """
    width, height = size
    left, right, top, bottom = 60, width - 150, 20, height - 40
    picture = np.full((height, width, 3), 255, np.uint8)
    known = {name: points for name, points in lines.items() if points}
    most_x = max((x for points in known.values() for x, _ in points), default=1.0) or 1.0
    most_y = max((y for points in known.values() for _, y in points), default=1.0) or 1.0
    ink, font = (0, 0, 0), cv2.FONT_HERSHEY_SIMPLEX

    def place(x: float, y: float) -> tuple[int, int]:
        return (
            round(left + (right - left) * x / most_x),
            round(bottom - (bottom - top) * y / most_y),
        )

    cv2.rectangle(picture, (left, top), (right, bottom), ink, 1)
    for share in (0.0, 0.5, 1.0):
        at = place(share * most_x, share * most_y)
        cv2.putText(picture, f"{share * most_y:.2g}", (8, at[1] + 4), font, 0.4, ink, 1, 16)
        text = f"{share * most_x:.1f} min"
        cv2.putText(picture, text, (at[0] - 20, bottom + 18), font, 0.4, ink, 1, 16)
    colors = ((180, 60, 20), (30, 120, 30), (20, 20, 200), (140, 30, 140))
    for number, (name, points) in enumerate(known.items()):
        color = colors[number % len(colors)]
        corners = np.array([place(x, y) for x, y in points], np.int32)
        cv2.polylines(picture, [corners], isClosed=False, color=color, thickness=2, lineType=16)
        for corner in corners:
            cv2.circle(picture, (int(corner[0]), int(corner[1])), 3, color, -1, 16)
        text = f"{name} {points[-1][1]:.3g}"
        cv2.putText(picture, text, (right + 8, top + 14 + 18 * number), font, 0.4, color, 1, 16)
    write_files({path: cv2.imencode(".png", picture)[1].tobytes()})
