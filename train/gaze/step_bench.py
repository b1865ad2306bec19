"""Time of a training step and its parts: ``python -m train.gaze.step_bench --backbone resnet18``.

ERM beside CLIP-Gaze with cached features, on random pictures in memory: what the GPU or the CPU can
do, not what a disk can.  CLIP-Gaze should take less than twice ERM's time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.gaze.step_bench", __doc__)
    add = parser.add_argument
    add("--methods", nargs="+", default=["erm", "clip_gaze"], help="as in train.gaze.fit")
    add("--backbone", default="resnet18", help="small, medium, twin, or a CNN of timm")
    add("--band", action="store_true", help="rows 32 to 127 of the crop alone")
    add("--half", action="store_true", help="half the resolution")
    add("--batch", type=int, default=128, help="images of a step")
    add("--steps", type=int, default=20, help="steps that are timed, after three to warm up")
    add("--precision", default="auto", help="auto, 32-true, bf16-mixed or 16-mixed")
    add("--accelerator", default="auto", choices=("auto", "cpu", "cuda"), help="what computes")
    add("--workers", type=int, default=0, help="loading processes")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("train"):
        from train.gaze.step_times import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
