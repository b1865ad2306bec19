"""``python -m train.data check NAME:PATH [--out DIR]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.data.check import check, write
from train.data.registry import READERS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.data", description=__doc__)
    commands = parser.add_subparsers(required=True)
    checks = commands.add_parser(
        "check", help="read a data set and say what is wrong with it; exits with 1 then"
    )
    checks.add_argument(
        "spec",
        metavar="NAME:PATH",
        help=f"NAME is one of {', '.join(READERS)}; options as in NAME:PATH?people=p00,p01",
    )
    checks.add_argument("--out", type=Path, help="folder for report.json and pictures")
    checks.add_argument(
        "--images", type=int, default=2000, help="how many pictures to read, 0 for all"
    )
    checks.add_argument(
        "--undo-scaling", action="store_true", help="mpiifacegaze: take S out of the labels"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(arguments)
    spec = args.spec
    if args.undo_scaling:
        spec += ("&" if "?" in spec else "?") + "undo_scaling=1"
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
