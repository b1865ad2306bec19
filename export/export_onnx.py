"""Checkpoint to FP32 ONNX with its card: ``python export/export_onnx.py TASK --run RUN --out DIR``.

RUN is a folder of ``train.front.detector``, ``train.front.landmarks`` or ``train.gaze.fit``.
Outputs are named; batch (and for the detector height and width) is dynamic, or fixed by
``--batch N``.  PyTorch and ONNX Runtime are compared before anything is written over, on the crops
that the SDK cuts from ``--crops DIR`` of rendered shards, else on random inputs; a difference
beyond the tolerance is an error and exit code 1.
"""

from __future__ import annotations

if not __package__:
    import script_path  # noqa: F401 - run by its path

import argparse
from collections.abc import Sequence
from pathlib import Path

from clipgaze_sdk.models.cards import TASK_OUTPUTS
from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = command_parser("export/export_onnx.py", __doc__)
    add = parser.add_argument
    add("task", choices=sorted(TASK_OUTPUTS), help="what the network does")
    add("--run", type=Path, required=True, help="folder of the training run")
    add("--out", type=Path, required=True, help="folder for TASK.onnx and TASK.json")
    add("--batch", type=_batch, default=None, help="dynamic (default), or N; the SDK needs dynamic")
    add("--crops", type=Path, help="rendered shards to compare on")
    add("--trained-on", help="for the card; a run of train.gaze.fit knows it")
    add("--command", help="for the card: the training command; likewise")
    add("--seed", type=int, help="for the card; likewise")
    return parser


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected dynamic, or a number of 1 or more")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    args = make_parser().parse_args(arguments)
    with needs("train"):
        from export.conversion import run
    run(args)


if __name__ == "__main__":
    main()
