"""The SDK on rendered people, with intervals over people.

The work of ``python -m train.eval.rendered``, whose help says what is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train.commands import announce
from train.eval.frozen_2 import floor_lines, part_of
from train.eval.frozen_set import is_frozen
from train.eval.over_people import (
    DRAWS,
    Measure,
    correlation_of,
    mean_of,
    median_of,
    section,
    slope_of,
    write_report,
)
from train.eval.sdk_rows import HEAD, answers, eye_rows, gaze_row

Rows = list[dict[str, Any]]

FAR_DEG = 20.0
"""Gaze beyond this, from the line of sight, has a slope of its own."""
EYES_DOWN_DEG = -8.0
"""Eyes count as down where the gaze's pitch less the head's is below this."""
LOOKING_DOWN_DEG = -5.0
"""Nearer to level than this, the sign of a pitch says little."""
_FIXED = ("left", *HEAD, "head_pitch_2", "head_yaw_2", "head_pitch_yaw")
"""What is held fixed for irises: which eye it is, and the head, up to squares."""

ERROR: dict[str, Measure] = {
    "error_mean_deg": mean_of("error"),
    "error_median_deg": median_of("error"),
}
SAID_ON_TRUE: dict[str, Measure] = {
    "pitch_slope": slope_of("said_pitch", "pitch"),
    "pitch_slope_beyond_20": slope_of("said_pitch", "pitch", beyond=FAR_DEG),
    "yaw_slope": slope_of("said_yaw", "yaw"),
    "yaw_slope_beyond_20": slope_of("said_yaw", "yaw", beyond=FAR_DEG),
    "pitch_bias_deg": mean_of("pitch_off"),
    "pitch_of_label": slope_of("said_pitch", "pitch", given=["head_pitch"]),
    "pitch_of_head": slope_of("said_pitch", "head_pitch", given=["pitch"]),
    "yaw_of_label": slope_of("said_yaw", "yaw", given=["head_yaw"]),
    "yaw_of_head": slope_of("said_yaw", "head_yaw", given=["yaw"]),
}
HEADS_BACK: dict[str, Measure] = {
    "sign_right_share": mean_of("sign_right"),
    "pitch_bias_deg": mean_of("pitch_off"),
    "error_mean_deg": mean_of("error"),
}
IRISES: dict[str, Measure] = {
    "along_slope_head_fixed": slope_of("along", "true_along", given=_FIXED),
    "along_correlation_head_fixed": correlation_of("along", "true_along", given=_FIXED),
    "along_slope": slope_of("along", "true_along"),
    "along_correlation": correlation_of("along", "true_along"),
    "across_slope_head_fixed": slope_of("across", "true_across", given=_FIXED),
    "across_correlation_head_fixed": correlation_of("across", "true_across", given=_FIXED),
    "iris_mean_px_of_224": mean_of("iris_px"),
    "iris_median_px_of_224": median_of("iris_px"),
    "corners_and_lids_mean_px_of_224": mean_of("lids_px"),
}


def head_back_eyes_down(row: Mapping[str, Any]) -> bool:
    """Whether the face is raised above the line of sight while the eyes look well below it."""
    eyes = row["pitch"] - row["head_pitch"]
    down = eyes < EYES_DOWN_DEG and row["pitch"] < LOOKING_DOWN_DEG
    return bool(row["head_pitch"] > 0 and down)


def look(
    model: Path | None, data: Path, *, threads: int, limit: int | None = None
) -> tuple[Rows, Rows]:
    """Rows of each picture's gaze, and of each eye that is seen in one."""
    announce(f"{model or 'bundled'} on {data}")
    gaze: Rows = []
    eyes: Rows = []
    for sample, face, _ in answers(model, data, limit=limit, threads=threads):
        gaze.append(gaze_row(face, sample))
        eyes += eye_rows(face, sample)
    return gaze, eyes


def figures(each: Sequence[tuple[Rows, Rows]], *, draws: int = DRAWS) -> dict[str, Any]:
    """Print the figures of one network or two and return them; see :func:`look` for the rows."""

    gaze = [rows for rows, _ in each]
    seen = [[row for row in rows if row["eyes"] == "visible"] for rows in gaze]
    back = [[row for row in rows if head_back_eyes_down(row)] for rows in seen]
    irises = [eyes for _, eyes in each]
    parts = {
        "gaze": ("gaze, by what is seen of the eyes", gaze, ERROR, "eyes"),
        "visible": ("both eyes visible: said on true", seen, SAID_ON_TRUE, None),
        "head_back_eyes_down": ("both visible, head back, eyes down", back, HEADS_BACK, None),
        "irises": ("irises of eyes that are seen, each eye", irises, IRISES, None),
    }
    return {
        name: section(title, rows, measures, by=by, draws=draws)
        for name, (title, rows, measures, by) in parts.items()
    }


def run(args: argparse.Namespace) -> int:
    """Measure as the command says, print figures and write them; returns the exit code."""
    frozen = (is_frozen(args.data) or part_of(args.data) is not None) and args.limit is None
    for line in floor_lines(args.data):
        print(line)
    if not frozen:
        print("these pictures are not a whole frozen set: quote no figure of them as its")
    models = [args.model, *([args.against] if args.against else [])]
    each = [look(m, args.data, threads=args.threads, limit=args.limit) for m in models]
    write_report(args.json, {"frozen_set": frozen} | figures(each), models)
    return 0
