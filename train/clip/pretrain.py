"""Pre-train the face CLIP: ``python -m train.clip.pretrain --source rendered:DIR --out DIR``.

Contrastive training of open_clip's model with its loss, on rendered crops and captions that are
made of their factors anew each time a crop is seen.

Ours: beside captions, every step reads single-factor sentences ("An image of a face with {c}.",
positive and negative, with the table's words or a synonym) and asks which of the two is true of
each crop.  Captions of few words are true of several crops of a batch, which a contrastive loss
takes for false; these sentences are compared in pairs, so that none is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import DEVICE_HELP, command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.clip.pretrain", __doc__)
    add = parser.add_argument
    add("--source", required=True, nargs="+", help="rendered:DIR")
    add("--out", type=Path, required=True, help="folder of the model")
    add("--cache", type=Path, required=True, help="folder for prepared crops")
    config = Path(__file__).with_name("face_clip.json")
    add("--config", type=Path, default=config, help="architecture, as open_clip writes it")
    add("--steps", type=int, default=1500, help="optimiser steps")
    add("--batch", type=int, default=128, help="crops of a step")
    add("--learning-rate", type=float, default=1e-3, help="the highest of the run")
    add("--weight-decay", type=float, default=0.05, help="of matrices alone")
    add("--warm-up", type=int, default=100, help="steps in which the rate rises")
    add(
        "--factor-weight",
        type=float,
        default=10.0,
        help="of the single-factor sentences; 0 trains with captions alone",
    )
    add("--held-out", type=float, default=0.1, help="share of people kept for evaluation")
    add("--seed", type=int, default=0, help="of weights, order and captions")
    add("--init", type=Path, help="finished model to start from; same --seed")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--workers", type=int, default=0, help="processes that prepare crops")
    add("--max-minutes", type=float, help="stop then; the same command goes on")
    add("--device", help=DEVICE_HELP)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.clip.pretraining import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
