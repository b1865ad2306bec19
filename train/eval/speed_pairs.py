"""Two sets of networks timed in one process, in turns.

The work of ``python -m train.eval.pairs``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clipgaze_sdk import EstimatorOptions, GazeEstimator
from train.commands import announce
from train.eval.turns import in_turn, ratio_of, read_clip
from train.photos.speed import PICTURE, speed

CLIP = PICTURE.with_name("clip.mp4")
FRAMES = 60
"""Of the clip, in each round; the detector runs on every 30th."""
BENCH_FRAMES = 60
"""Of the process whose peak memory is taken."""
STAGES = {
    "whole frame": ("total",),
    "gaze network": ("gaze",),
    "crops and gaze network": ("normalize", "gaze"),
}
"""By what is told, the stages of ``FrameResult.timings_ms`` that it sums."""


def stage_ms(estimator: GazeEstimator, frames: Sequence[Any]) -> dict[str, float]:
    """Median milliseconds a frame of a followed stream, by the names of :data:`STAGES`."""
    estimator.reset()
    timings = [
        estimator.estimate(frame, timestamp_s=index / 25).timings_ms
        for index, frame in enumerate(frames)
    ]
    return {
        name: float(np.median([sum(times[stage] for stage in stages) for times in timings]))
        for name, stages in STAGES.items()
    }


def compare_stages(
    old: Callable[[], dict[str, float]], new: Callable[[], dict[str, float]], rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds and ratios by stage, of rounds that take turns after one of each to warm up."""
    old(), new()
    before, now = in_turn(old, new, rounds)
    return {
        name: ratio_of([ms[name] for ms in before], [ms[name] for ms in now]) for name in STAGES
    }


def compare_speed(
    old: Path,
    new: Path,
    frames: Sequence[Any],
    *,
    precision: Literal["fp32", "int8"],
    threads: int,
    rounds: int,
) -> dict[str, dict[str, float]]:
    """:func:`compare_stages` of two folders of networks, all in one precision."""
    options = EstimatorOptions(threads=threads, precision=precision)
    with (
        GazeEstimator(old, options=options) as first,
        GazeEstimator(new, options=options) as second,
    ):
        return compare_stages(
            lambda: stage_ms(first, frames), lambda: stage_ms(second, frames), rounds
        )


def run(args: argparse.Namespace) -> int:
    """Time as the command says, and print tables; returns the exit code."""
    frames = read_clip(CLIP, FRAMES)
    report: dict[str, Any] = {
        "networks": {"old": str(args.old), "new": str(args.new)},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "threads": args.threads,
        "rounds": args.rounds,
    }
    for precision in args.precision:
        announce(f"{args.rounds} rounds of {len(frames)} followed frames in {precision}")
        report[precision] = compare_speed(
            args.old,
            args.new,
            frames,
            precision=precision,
            threads=args.threads,
            rounds=args.rounds,
        )
        for name, of in report[precision].items():
            print(
                f"{precision} {name:24} {of['old']:7.2f} ms old {of['new']:7.2f} new  "
                f"ratio {of['ratio']:.3f} ({of['least']:.2f} to {of['most']:.2f}), "
                f"{1e3 / of['new']:.0f} a second at {1 / of['ratio']:.3f} of the rate"
            )
    announce("peak memory, each in a process of its own")
    report["peak_rss_mb"] = {
        name: speed(folder, frames=BENCH_FRAMES, threads=args.threads)["peak_rss_mb"]
        for name, folder in (("old", args.old), ("new", args.new))
    }
    memory = report["peak_rss_mb"]
    print(f"peak memory {memory['old']:.0f} MB old, {memory['new']:.0f} MB new")
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0
