"""Runs the task that the command asks for, and says what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from train.runs.gpu.front import run_front
from train.runs.gpu.gaze import run_gaze
from train.runs.gpu.leaving import REPORT
from train.runs.gpu.setup import Job
from train.runs.gpu.throughput import run_throughput

Task = Callable[[argparse.Namespace, Job], dict[str, Any]]
_TASKS: dict[str, Task] = {
    "gaze": run_gaze,
    "landmarks": run_front,
    "detector": run_front,
    "throughput": run_throughput,
}


def run(args: argparse.Namespace) -> int:
    """Do a task; returns the exit code."""
    try:
        job = Job.of(args)
        report = _TASKS[args.task](args, job)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    said = {k: report[k] for k in ("rows_per_s", "metrics", "held_out", "export") if k in report}
    print(json.dumps(said, indent=1))
    for what in report.get("beyond_bounds", ()):
        print(f"more than was promised: {what}", file=sys.stderr)
    print(f"{job.budget.spent_s():.0f} s; {job.out / REPORT} says all")
    return 0
