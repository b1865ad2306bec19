"""Are the precisions precise?  ``python export/verify.py --data HELD_OUT``.

Compares, for each network, its FP16 and INT8 files (``export/precisions.py``) with the FP32 one on
held-out rendered pictures: what changes, the gaze error, sizes, and latency on ONNX Runtime.  FP16
also runs in true half precision, with the largest activation of every layer.  Prints a Markdown
table; exit code 1 where a limit is not held.  Where all are, ``--write-cards`` puts the figures
into the cards of the FP16 and INT8 files.
"""

from __future__ import annotations

if not __package__:
    import script_path  # noqa: F401 - run by its path

import argparse
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = command_parser("export/verify.py", __doc__)
    add = parser.add_argument
    add("models", type=Path, nargs="*", metavar="MODEL.onnx", help="default: the bundled networks")
    add("--data", type=Path, required=True, help="shards of pictures that calibration did not see")
    add("--images", type=int, default=720, help="inputs of each network at most")
    add("--threads", type=int, default=2, help="of ONNX Runtime")
    add("--rounds", type=int, default=60, help="of timing; 0 for none")
    add("--out", type=Path, help="folder for verify.md and verify.json")
    add("--cache", type=Path, help="folder that keeps recorded inputs")
    add("--write-cards", action="store_true", help="put the figures into the files' cards")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    args = make_parser().parse_args(arguments)
    if min(args.images, args.threads) < 1 or args.rounds < 0:
        raise SystemExit(
            "error: expected --images and --threads of 1 or more, --rounds of 0 or more"
        )
    with needs("train"):
        from export.verification import run
    run(args)


if __name__ == "__main__":
    main()
