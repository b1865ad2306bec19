"""Draw features before and after M: ``python -m train.eval.features --run R --data D --out PNG``.

t-SNE of f and f_re (cosine distances), coloured by the yaw and the pitch of gaze: where features
are of gaze, colours run smoothly.  With few images the two main components are drawn instead, and
where features have collapsed the picture says so.  --factor glasses adds a row coloured by a
factor.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import DEVICE_HELP, command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.eval.features", __doc__)
    add = parser.add_argument
    add("--run", type=Path, required=True, help="--out of train.gaze.fit")
    add("--data", required=True, nargs="+", metavar="NAME:PATH", help="whose images are drawn")
    add("--out", type=Path, required=True, help="picture.png")
    add("--factor", nargs="*", default=[], help="names of train/factors.py")
    add("--most", type=int, default=2000, help="images that are drawn")
    add("--workers", type=int, default=2, help="loading processes")
    add("--device", help=DEVICE_HELP)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.eval.feature_plots import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
