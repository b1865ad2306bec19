"""Train on idle cores, for days: ``scripts/long-run {start,stop,status}``.

Renders and trains in turn in the background, at the lowest priority and on one thread, and goes on
exactly where it was after a stop, a kill or a restart of the machine.  Never two at once in a
folder.  Each generation of the plan (train/runs/eyes.json) has more rendered people than the one
before, starts from its backbone, and leaves a network with its error on people never trained on.
long_run.jsonl in the folder is log and learning curve.  Needs $CLIPGAZE_FACEKIT, as all rendering
does (docs/training.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.runs.long_run", __doc__)
    parser.add_argument(
        "action",
        choices=("start", "stop", "status", "work"),
        help="begin or go on in the background; end it, its state saved; say how far it is; or "
        "work in the foreground",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("data/long_run"), help="all that it keeps"
    )
    parser.add_argument("--plan", type=Path, help="JSON file; without it train/runs/eyes.json")
    parser.add_argument("--most-gb", type=float, default=20.0, help="disk it may use")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.runs.long_running import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
