"""Fine-tune a gaze network to a person or a camera:
``python -m train.gaze.finetune --init RUN --data NAME:PATH --out RUN``.

At most 100 labelled pictures; those of one's own are own:FOLDER.  Whether it helps is told by
cross-validation: the pictures are cut into folds, by people where there are several, else by their
order, as neighbours in time look alike; each fold is answered by a network that was tuned on the
others.  Beside it stands what needs no tuning: the same two angles added to every answer.

--out gets the weights tuned on all pictures, as a run that export/export_onnx.py reads
(model.safetensors, model.json), with report.json and report.md.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import DEVICE_HELP, command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.gaze.finetune", __doc__)
    add = parser.add_argument
    add("--init", type=Path, required=True, help="run to start from, such as train/weights/gaze")
    add("--data", required=True, metavar="NAME:PATH", help="such as own:my_pictures?fov=60")
    add("--out", type=Path, required=True, help="folder of the new run")
    add("--layers", default="stage", help="head (M, F, uncertainty), stage (the last one too), all")
    add("--steps", type=int, default=100, help="optimiser steps")
    add("--batch", type=int, default=16, help="pictures of a step")
    add("--learning-rate", type=float, default=3e-4, help="at the start; falls in half a cosine")
    add("--augment", type=float, default=0.5, help="strength of augmentation, 0 for none")
    add("--keep", type=float, default=0.5, help="share of the first weights in the result")
    add("--folds", type=int, default=5, help="parts of the cross-validation; 0 for none")
    add("--labels", type=int, default=0, help="take so many of a larger set; 0 takes all")
    add("--seed", type=int, default=0, help="of order and augmentation")
    add("--device", help=DEVICE_HELP)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    given = sys.argv[1:] if argv is None else list(argv)
    args = make_parser().parse_args(given)
    with needs("train"):
        from train.gaze.fine_tuning import run
    return run(args, shlex.join(["python", "-m", "train.gaze.finetune", *given]))


if __name__ == "__main__":
    sys.exit(main())
