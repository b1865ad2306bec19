"""Which backbone?  ``python export/backbones.py --run RUN … --data CROPS --calibration DIR``.

Compares gaze networks of ``python -m train.gaze.fit`` that were trained alike: parameters and
multiplications, the error on other people in FP32 and in INT8 on a CPU, and latency of both on ONNX
Runtime, all in one process and in turn.  Prints a Markdown table; ratios are to the first run.
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
    parser = command_parser("export/backbones.py", __doc__)
    add = parser.add_argument
    add(
        "--run", type=Path, action="append", required=True, help="folder of train.gaze.fit; several"
    )
    add("--data", type=Path, required=True, help="rendered crops or pictures of other people")
    add("--calibration", type=Path, nargs="+", required=True, help="rendered pictures, for INT8")
    add("--threads", type=int, default=2, help="of ONNX Runtime")
    add("--rounds", type=int, default=200, help="calls that are timed")
    add("--out", type=Path, help="file for the table")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    args = make_parser().parse_args(arguments)
    if len({run.name for run in args.run}) < len(args.run):
        raise SystemExit("error: two runs have folders of the same name; rename one")
    if min(args.threads, args.rounds) < 1:
        raise SystemExit("error: --threads and --rounds are 1 or more")
    with needs("train"):
        from export.backbone_report import run
    run(args)


if __name__ == "__main__":
    main()
