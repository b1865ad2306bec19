"""The bundled networks on rendered people: ``python -m train.eval.bundled --data SHARDS``.

Two measurements on shards of pictures, the frozen evaluation set unless other ones are given:

- the gaze network alone, on crops as at run time (the landmarks' errors are drawn, not made);
- the whole SDK, as an app would run it: each picture goes through GazeEstimator with its own
  camera: detector, landmarks, head pose, normalisation, gaze.

Prints tables and writes JSON; with --write-cards figures go into the bundled models' cards.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.eval.bundled", __doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="shards of pictures")
    add("--models", type=Path, help="folder of models; without it the bundled ones")
    add("--limit", type=int, help="only the first pictures")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--only", choices=("network", "sdk"), help="one of the two measurements")
    add("--out", type=Path, help="JSON file for the report")
    add("--write-cards", action="store_true", help="put figures of the frozen set into the cards")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.eval.bundled_networks import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
