"""Data sets of face crops with gaze labels: whether one is what it should be.

check reads a data set and says what is wrong with it.  It is named NAME:PATH, and options follow a
question mark, NAME:PATH?people=p00,p01.  NAME is one of eth_xgaze, gaze360, mpiifacegaze, eyediap,
mpii_normalized, rendered, own; PATH alone is told which of them it looks like.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import HelpFormatter, announce, command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.data", __doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    checks = commands.add_parser(
        "check",
        help="read a data set and say what is wrong with it; exits with 1 then",
        description=__doc__,
        formatter_class=HelpFormatter,
    )
    checks.add_argument("spec", metavar="NAME:PATH", help="the data set, as above")
    checks.add_argument("--out", type=Path, help="folder for report.json and pictures")
    checks.add_argument(
        "--images", type=int, default=2000, help="how many pictures to read, 0 for all"
    )
    checks.add_argument(
        "--undo-scaling", action="store_true", help="mpiifacegaze: take S out of the labels"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.data.check import check, write
    spec = args.spec
    if args.undo_scaling:
        spec += ("&" if "?" in spec else "?") + "undo_scaling=1"
    announce(f"reading {spec}")
    report, dataset = check(spec, pictures=args.images)
    print(report.text())
    if args.out is not None:
        try:
            written = write(report, dataset, args.out)
        except OSError as error:
            print(f"{args.out}: {error.strerror or error}", file=sys.stderr)
            return 1
        print("wrote " + ", ".join(str(path) for path in written))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
