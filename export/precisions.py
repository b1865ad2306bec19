"""FP16 and INT8 graphs of FP32 networks: ``python export/precisions.py --calibration DIR``.

From each ``NAME.onnx`` with its card, by default the three bundled ones, this makes::

    NAME.fp16.onnx      half precision, for TensorRT and for GPUs
    NAME.int8.onnx      Q/DQ with int8 activations, for TensorRT
    NAME.int8_cpu.onnx  Q/DQ with uint8 activations, for ONNX Runtime on CPUs

each with a card beside it that says from which file it was made, and how.  Inputs and outputs stay
FP32.  In the wheel's own folder the first two are ``NAME.fp16.delta`` and ``NAME.int8.delta``, from
which the SDK makes the same files.  Check what was made with ``python export/verify.py``.
"""

from __future__ import annotations

if not __package__:
    import script_path  # noqa: F401 - run by its path

import argparse
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs

METHODS = ("entropy", "minmax")


def make_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = command_parser("export/precisions.py", __doc__)
    add = parser.add_argument
    add("models", type=Path, nargs="*", metavar="MODEL.onnx", help="default: the bundled networks")
    add(
        "--calibration",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="shards of rendered pictures or frames, on which INT8 is calibrated",
    )
    add("--method", choices=METHODS, default="entropy", help="how ranges of INT8 are chosen")
    add("--images", type=int, default=256, help="inputs of each network that calibrate, at most")
    add("--out", type=Path, help="folder; default: beside each model")
    add("--cache", type=Path, help="folder that keeps recorded inputs")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    args = make_parser().parse_args(arguments)
    if args.images < 1:
        raise SystemExit(f"error: --images is {args.images}; expected 1 or more")
    with needs("export"):
        from export.reduced_files import run
    run(args)


if __name__ == "__main__":
    main()
