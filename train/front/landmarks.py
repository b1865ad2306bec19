"""Train the landmark network: ``python -m train.front.landmarks --data … --cache … --out RUN``.

Crops are composed of rendered people cut out of their pictures; they are made once, into --cache.
The run leaves ``model.safetensors`` (averaged weights) and its card ``model.json``.  A run that was
killed goes on exactly where its last state is, by the same command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from train.commands import command_parser, needs
from train.front.arguments import add_arguments


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser("train.front.landmarks", __doc__)
    add_arguments(parser, steps=5000, batch=128)
    parser.add_argument("--poor-boxes", type=float, default=0.0, help="share of badly placed crops")
    parser.add_argument(
        "--consistency", type=float, default=0.0, help="weight of agreeing with mirrored pictures"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.front.landmark_recipe import LandmarkRecipe
        from train.front.training import main_of
    return main_of(lambda: LandmarkRecipe.of(args), args)


if __name__ == "__main__":
    sys.exit(main())
