"""Mean of the weights of several runs: ``python -m train.front.mean RUN RUN... --out RUN``.

For runs of train.front.detector or train.front.landmarks of which each began where another ended:
their mean is often better than either (Wortsman et al., ICML 2022).  Of runs that began apart it is
worth nothing.  The result can be exported and started from, but not gone on with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser("train.front.mean", __doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs of one network")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.loop.weight_cards import write_mean
    try:
        print(f"wrote {write_mean(args.runs, args.out)}")
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
