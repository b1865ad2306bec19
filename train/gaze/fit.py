"""Train a gaze model: ``python -m train.gaze.fit --method clip_gaze --source NAME:PATH --out RUN``.

On one device or several (--devices 4, or by torchrun), with the losses of ERM, PureGaze, CDG or
CLIP-Gaze.  A run that was killed goes on exactly where its last state is, by the same command.
--out gets model.safetensors (averaged weights) and its card model.json, the last epochs' weights,
state.safetensors, log.jsonl and tensorboard/.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs
from train.gaze.settings import METHODS, OPTIONS, options_text


def make_parser() -> argparse.ArgumentParser:
    """The command's options; those of --set are listed at the end of the help."""
    parser = command_parser("train.gaze.fit", __doc__)
    parser.epilog = options_text()
    add = parser.add_argument
    add("--method", required=True, help=f"one of {', '.join(METHODS)}")
    add("--source", required=True, action="append", help="NAME:PATH; several are joined")
    add("--out", type=Path, required=True, help="folder of the run")
    add("--held-out", help="NAME:PATH whose mean error is told at the end")
    add("--clip", help="NAME:PRETRAINED of open_clip, NAME:FILE.safetensors, or a model's folder")
    add("--prompts", type=Path, help="folder of train.clip.tune_prompts, for learnt prompts")
    add("--identity", type=Path, help="folder of train.clip.identity, for PCO on photographs")
    add("--cache", type=Path, help="folder of CLIP's features (beside --out by default)")
    add("--decoded", type=Path, help="folder for decoded crops: 150 kB each, faster on few cores")
    for name in ("seed", "epochs", "steps", "batch", "backbone", "precision", "learning_rate"):
        default, text = OPTIONS[name]
        add(f"--{name.replace('_', '-')}", dest=name, help=f"{text} (default: {default})")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other option, listed below; may be given several times",
    )
    add("--accelerator", default="auto", choices=("auto", "cpu", "cuda"), help="what trains")
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    add("--devices", type=int, default=devices, help="how many of them")
    add("--workers", type=int, default=2, help="loading processes per device")
    add("--max-minutes", type=float, default=0.0, help="stop then; the same command goes on")
    add("--deterministic", action="store_true", help="the same bits each time, slower on GPUs")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.gaze.fitting import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
