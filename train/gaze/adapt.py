"""Adapt a run to a target with few labels.

``python -m train.gaze.adapt --run RUN --target NAME:PATH --out DIR``.

Supervised domain adaptation (SDA) as the paper reports it: at most 100 labelled images of the
target.  They are drawn several times at random and left out of the test; the result is the mean and
the standard deviation over the draws, beside the error of the same test images before.

Ours: how it is fine-tuned.  The number of steps and the learning rate are fixed beforehand; nothing
is chosen by the test.  --out gets report.json and report.md, and draw-K/ each with the adapted
weights.  A run that was killed goes on with the draws that are missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import DEVICE_HELP, command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.gaze.adapt", __doc__)
    add = parser.add_argument
    add("--run", type=Path, required=True, help="--out of train.gaze.fit")
    add("--target", required=True, metavar="NAME:PATH", help="data set to adapt to")
    add("--out", type=Path, required=True, help="folder of the report and the adapted weights")
    add("--labels", type=int, default=100, help="labelled images, at most 100")
    add("--draws", type=int, default=10, help="how often they are drawn")
    add(
        "--layers",
        default="head",
        help="last (F alone), head (M and F, from features computed once), all (by the pictures)",
    )
    add("--steps", type=int, default=200, help="optimiser steps of a draw")
    add("--batch", type=int, default=32, help="images of a step")
    add(
        "--learning-rate",
        type=float,
        default=0.0,
        help="0: by the layers, last 1e-3, head 3e-4, all 1e-4",
    )
    add("--augment", type=float, default=0.5, help="strength of augmentation, for all")
    add("--seed", type=int, default=0, help="of draws and order")
    add("--workers", type=int, default=2, help="loading processes")
    add("--device", help=DEVICE_HELP)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.gaze.adaptation import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
