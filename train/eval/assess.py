"""Measure gaze networks.

``python -m train.eval.assess --model gaze.onnx --data NAME:PATH --out DIR``.

--model is an ONNX file with its card beside it, of any precision that the SDK runs, or a run of
train.gaze.fit.  Several --run instead are the seeds of one configuration; several --data are
measured one by one.  Prints mean, median and 90 % of the error, by person, gaze and head, what
needs no network (the mean gaze, the head's direction), and how well the uncertainty fits.
Writes report.json and report.md, and a heat map of the error over gaze and head for every data
set.  The error is over all images: a picture that cannot be read ends the measurement, unless
--allow-broken leaves it out and counts it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import DEVICE_HELP, command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.eval.assess", __doc__)
    add = parser.add_argument
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "--model",
        type=Path,
        metavar="PATH",
        help="NAME.onnx with its card, a folder with gaze.onnx, or a run of train.gaze.fit",
    )
    given.add_argument(
        "--run", type=Path, nargs="+", help="runs of train.gaze.fit that differ in their seed"
    )
    add("--data", required=True, nargs="+", metavar="NAME:PATH", help="data sets, one by one")
    add("--out", type=Path, required=True, help="folder of the report")
    add("--batch", type=int, default=128, help="images at once")
    add("--workers", type=int, default=2, help="loading processes")
    add("--device", help=DEVICE_HELP)
    add("--end-only", action="store_true", help="leave out the last epochs' weights")
    add("--allow-broken", action="store_true", help="leave out pictures that cannot be read")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.eval.assessment import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
