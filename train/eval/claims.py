"""Does the method do what it claims?

``python -m train.eval.claims --run RUN --data rendered:DIR``.

Measured so that a trivial solution cannot pass, by linear probes on people that the probes have not
seen:

- a linear probe tells the factors worse from f_re than from f, and gaze no worse;
- without L_ir (--without-separate) the factors are told better from f_re;
- f_re of different images differ;
- with L_re, features are ordered as labels are, more than without (--without-rank);
- PCO's prompts tell attributes better than hand-written ones, CoOp's, and PCO's with other
  people's identity (--prompts pco=DIR …, folders of train.clip.tune_prompts).

Several runs after an option are seeds, compared one by one in the order given.  The exit code is 1
where something does not hold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import DEVICE_HELP, command_parser, needs

PROMPTS = ("hand", "coop", "cocoop", "pco", "shuffled")


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.eval.claims", __doc__)
    add = parser.add_argument
    add("--run", type=Path, required=True, nargs="+", help="CLIP-Gaze; one for each seed")
    add("--data", required=True, nargs="+", metavar="NAME:PATH", help="with factors: rendered:DIR")
    add("--without-separate", type=Path, nargs="*", default=[], help="the same with separate=0")
    add("--without-rank", type=Path, nargs="*", default=[], help="the same with rank=0")
    add("--prompts", nargs="*", default=[], metavar="KIND=DIR", help=f"of {', '.join(PROMPTS)}")
    add("--most", type=int, default=6000, help="images that are looked at")
    add("--out", type=Path, help="folder for claims.json and claims.md")
    add("--workers", type=int, default=2, help="loading processes")
    add("--device", help=DEVICE_HELP)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.eval.verdicts import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
