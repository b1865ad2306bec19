"""The paper's tables at this project's scale: methods, losses, kinds of prompts, factors.

--data holds folders of rendered crops: source (or several source-NAME), and a folder for each
target domain.  Other data sets are given by --source and --target; where they are those of
published tables, published figures stand beside ours.

--preset smoke needs neither data nor CLIP: it draws dots and takes a tiny CLIP of random weights,
to try the whole path.  --preset report is the real one and needs --clip.  Every run is skipped
when it is done and goes on when it was killed; the same command may run in several processes at
once.  --out gets report.md with images/, and report.json.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from train.ablation.plan import PRESETS
from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.ablation", __doc__)
    add = parser.add_argument
    add("--preset", required=True, choices=tuple(PRESETS), help="how much is run, see above")
    add("--out", type=Path, required=True, help="folder of runs and report")
    add("--data", type=Path, help="folder of folders of rendered crops")
    add("--source", nargs="+", default=[], metavar="NAME:PATH", help="to train on, without --data")
    add("--target", nargs="+", default=[], metavar="NAME:PATH", help="to measure on, likewise")
    add("--clip", help="NAME:PRETRAINED, or the folder of a face CLIP")
    add("--identity", type=Path, help="folder of train.clip.identity, for sources of photographs")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of every run's recipe",
    )
    add("--seeds", type=int, nargs="+", help="seeds of the main table")
    add("--row-seeds", type=int, nargs="+", help="seeds of the other tables")
    add("--base-steps", type=int, help="steps of the backbone that all runs start from; 0: none")
    add("--prompt-epochs", type=int, help="epochs over the pictures that prompts are tuned on")
    add("--prompt-rate", type=float, help="learning rate of prompts")
    add("--prompt-images", type=int, help="pictures of the source to tune prompts on; 0: all")
    add("--labels", type=int, help="labels that few-label adaptation gets")
    add("--draws", type=int, help="times that these labels are drawn anew")
    add("--only", nargs="+", default=[], metavar="VARIANT", help="run these; report all")
    add(
        "--try",
        dest="tries",
        action="append",
        default=[],
        metavar="NAME=METHOD,OPTION=VALUE",
        help="one more run, in a table of its own",
    )
    add("--max-minutes", type=float, help="stop then; the same command goes on")
    add("--decoded", action="store_true", help="keep crops decoded on disk: 150 kB each, faster")
    add("--workers", type=int, default=0, help="loading processes")
    add("--threads", type=int, default=1, help="CPU threads")
    add("--device", help="cpu, cuda or cuda:N; without it cuda where there is one")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    given = sys.argv[1:] if argv is None else argv
    with needs("train"):
        from train.ablation.study import run
    return run(args, f"python -m train.ablation {shlex.join(given)}")


if __name__ == "__main__":
    raise SystemExit(main())
