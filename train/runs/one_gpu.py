"""Render, train, measure and export in minutes, on one GPU: ``python -m train.runs.one_gpu``.

Processes render on all cores but two while the GPU trains on what is there already, and everything
ends in time, whatever happens: the learning rate follows the clock.  Nothing is downloaded.  --out
gets the weights with their card, log.jsonl, curve.png, report.json and, where onnx and onnxruntime
are installed, the network as ONNX: 8 files of 16 MiB at most.  Without a GPU the CPU trains.

Tasks: the gaze network by train/runs/eyes.json, the landmark network, the detector, or throughput,
which trains nothing and measures how fast this machine renders, trains and answers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs
from train.gaze.settings import METHODS

TASKS = ("gaze", "landmarks", "detector", "throughput")


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.runs.one_gpu", __doc__)
    add = parser.add_argument
    add("--task", choices=TASKS, default="gaze", help="what to train, or to measure")
    add("--minutes", type=float, help="all of it takes so long (without it: 8, --smoke 2)")
    add("--out", type=Path, required=True, help="a new folder for the results")
    add("--smoke", action="store_true", help="all of it, tiny: two minutes on two CPU cores")
    add("--method", choices=METHODS, default="erm", help="of --task gaze")
    add("--batch", type=int, default=0, help="images a step; without it what suits the task")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of --task gaze: another value than the plan's, as of train.gaze.fit",
    )
    add("--plan", type=Path, help="JSON file; without it train/runs/eyes.json")
    add("--facekit", type=Path, help="ICT-FaceKit's FaceXModel; without it, $CLIPGAZE_FACEKIT")
    add("--processes", type=int, default=0, help="that render; without it all cores but two")
    add("--accelerator", choices=("auto", "cpu", "cuda"), default="auto", help="what trains")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    args.began = time.monotonic()  # libraries are a part of what takes time
    with needs("train"):
        from train.runs.gpu.running import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
