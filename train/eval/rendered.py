"""Gaze and irises on rendered people: ``python -m train.eval.rendered --data SHARDS``.

The whole SDK on shards of pictures (python -m train.synth write --product pictures), each with its
own camera. From the line of sight:

- the error of gaze, by what is seen of the eyes;
- both eyes visible: slopes of said on true pitch and yaw, of all and beyond 20°; said pitch on a
  constant, the true pitch and the head's, whose coefficient is what leaks from the head (0 is
  best), and yaw likewise;
- heads back, eyes down (the head's pitch above 0, the true pitch below -5°, the difference beyond
  8°): how often the sign of pitch is right, and its mean error;
- irises between the corners of each eye that is seen: said on true, which eye it is and the head
  held fixed (up to squares); distances of irises, corners and lids in pixels of the 224 crop.

Every figure has a 95 % interval, by bootstrap over people. With --against another network's figure
and the difference stand beside it, over the faces that both find. python -m train.eval.bundled has
tables by domain, gaze, head and size, and the gaze network alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.eval.rendered", __doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="shards of pictures")
    add("--model", type=Path, help="networks: a file or a folder; without it the bundled ones")
    add("--against", type=Path, help="networks to compare with, a file or a folder")
    add("--threads", type=int, default=1, help="CPU threads")
    add("--limit", type=int, help="only the first pictures")
    add("--json", type=Path, help="file for all figures")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.eval.rendered_people import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
