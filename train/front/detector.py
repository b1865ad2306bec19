"""Train the face detector: ``python -m train.front.detector --data … --cache … --out RUN``.

Frames are composed of rendered people cut out of their pictures; they are made once, into --cache.
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
    parser = command_parser("train.front.detector", __doc__)
    add_arguments(parser, steps=6000, batch=32)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.front.detector_recipe import DetectorRecipe
        from train.front.training import main_of
    return main_of(lambda: DetectorRecipe.of(args), args)


if __name__ == "__main__":
    sys.exit(main())
