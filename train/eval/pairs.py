"""Speed of two sets of networks: ``python -m train.eval.pairs OLD NEW``, folders of networks.

Both follow the face of samples/media/clip.mp4 in one process, in turns, so that whatever else the
machine does slows both. Printed are medians in milliseconds of a whole frame, of the gaze network,
and of it with its crops; the median, least and most of the ratio new to old over the rounds; and
the peak memory of the whole bench of each in a process of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.eval.pairs", __doc__)
    add = parser.add_argument
    add("old", type=Path, help="a folder with gaze.onnx and what else is not the bundled one")
    add("new", type=Path, help="another")
    add(
        "--precision",
        nargs="+",
        choices=("fp32", "int8"),
        default=["fp32", "int8"],
        help="of all networks; a folder has to have each",
    )
    add("--rounds", type=int, default=14, help="rounds that take turns")
    add("--threads", type=int, default=1, help="CPU threads")
    add("--json", type=Path, help="file for all figures")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("opencv"):
        from train.eval.speed_pairs import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
