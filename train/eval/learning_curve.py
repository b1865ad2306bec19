"""How the error falls with training.

``python -m train.eval.learning_curve --run RUN --data NAME:PATH``.

Reads log.jsonl of a run (error on its own augmented crops while it trains) and measures saved
states (state.safetensors and copies of it, given by --state) on other people, with their averaged
weights.  Plots both over image-steps and prints the table; a straight line through the last states
in logarithms of both says what more compute would bring, if nothing else limits it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.eval.learning_curve", __doc__)
    add = parser.add_argument
    add("--run", type=Path, required=True, help="a finished run of train.gaze.fit")
    add("--data", required=True, metavar="NAME:PATH", help="other people's crops")
    add("--state", type=Path, nargs="*", default=[], help="copies of its state")
    add("--out", type=Path, help="PNG of both curves")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.eval.error_by_steps import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
