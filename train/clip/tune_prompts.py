"""Tune prompts by the proxy task.

``python -m train.clip.tune_prompts --clip C --source S --kind pco --out DIR --cache DIR``.

Face attributes are told from the frozen CLIP's image features: of a factor's positive and negative
text the true one shall be nearer.  Only the context (and the Meta-Net) learns, by SGD with CoOp's
rate 0.002, momentum 0.9, decay 5e-4 and a cosine.  Image features are computed once and kept, so
a run takes minutes.  People of the test are not trained on.

Ours: rare sides of a factor weigh as much as frequent ones; a batch is some people with a few
pictures each, as personalised texts are made once a person.  --shuffle-identity gives everybody
another's coefficients, which shows what identity is worth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import DEVICE_HELP, command_parser, needs

KINDS = ("hand", "coop", "cocoop", "pco")
DIMENSIONS = ("appearance", "wearable", "image quality")


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.clip.tune_prompts", __doc__)
    add = parser.add_argument
    add(
        "--clip",
        required=True,
        help="NAME:PRETRAINED of open_clip, NAME:FILE.safetensors, or a model's folder",
    )
    add("--source", required=True, nargs="+", help="rendered:DIR")
    add("--kind", required=True, choices=KINDS, help="written by hand, or what the context is of")
    add("--out", type=Path, required=True, help="a folder per seed is made in it")
    add("--cache", type=Path, required=True, help="folder for image features")
    add(
        "--dimensions",
        nargs="+",
        choices=DIMENSIONS,
        default=["appearance", "wearable"],
        help="of the factors that prompts are tuned for",
    )
    add("--context", type=int, default=4, help="learnt vectors")
    add("--from-words", action="store_true", help="begin as the hand-written ones")
    add("--shuffle-identity", action="store_true", help="everybody gets another's")
    add("--identity", type=Path, help="folder of train.clip.identity, for photographs")
    add("--epochs", type=int, default=10, help="passes over the people")
    add("--learning-rate", type=float, default=2e-3, help="at the start; falls in a cosine")
    add("--batch-people", type=int, default=4, help="people of a step")
    add("--pictures", type=int, default=8, help="of a person")
    add("--held-out", type=float, default=0.2, help="share of people to test on")
    add("--seeds", type=int, nargs="+", default=[0], help="one run each")
    add("--threads", type=int, default=2, help="CPU threads")
    add("--device", help=DEVICE_HELP)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.clip.prompt_tuning import run_command
    return run_command(args)


if __name__ == "__main__":
    sys.exit(main())
