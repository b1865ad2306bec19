"""Shape coefficients of a face: ``python -m train.clip.identity --source rendered:DIR --out DIR``.

Prompts are personalised by the 100 identity coefficients of ICT-FaceKit.  They are known of
rendered people; of photographs this regressor tells them.  It learns from near-frontal rendered
crops.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import DEVICE_HELP, command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.clip.identity", __doc__)
    add = parser.add_argument
    add("--source", required=True, nargs="+", help="rendered:DIR")
    add("--out", type=Path, required=True, help="folder of the regressor")
    add("--cache", type=Path, required=True, help="folder for prepared crops")
    add("--facekit", type=Path, help="ICT-FaceKit, for the landmarks' loss")
    add("--backbone", default="resnet10t", help="of timm")
    add("--size-px", type=int, default=112, help="side of the crops that it looks at")
    add("--steps", type=int, default=1500, help="optimiser steps")
    add("--batch", type=int, default=128, help="crops of a step")
    add("--learning-rate", type=float, default=1e-3, help="the highest of the run")
    add("--weight-decay", type=float, default=0.05, help="of all weights")
    add("--landmark-weight", type=float, default=1.0, help="of the landmarks' loss")
    add("--held-out", type=float, default=0.15, help="share of people to test on")
    add("--seed", type=int, default=0, help="of weights and order")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--workers", type=int, default=0, help="processes that prepare crops")
    add("--max-minutes", type=float, help="stop then; the same command goes on")
    add("--device", help=DEVICE_HELP)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.clip.identity_regressor import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
