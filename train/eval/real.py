"""Gaze and irises on real people: ``python -m train.eval.real --assets ../shared/assets``.

The whole SDK on photographs, with the field of view that it assumes:

- lens: everyone looks into the lens, so the true gaze is known, from the face centre to the camera.
  The angle to it; bias and spread from person to person; how pitch goes with the estimated head
  pitch; irises beside the pupils that the data set has. A network that always says "at the camera"
  would pass this alone, so read it beside the slopes of train.eval.rendered.
- photographs: where irises are along the eye beside MediaPipe's; gaze on the mirrored picture; how
  still gaze is under noise and shifts of half a pixel.

Every figure has a 95 % interval, by bootstrap over people. With --against another network's figure
and the difference stand beside it, over the faces that both find. Development figures: no network
is trained on these photographs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.eval.real", __doc__)
    add = parser.add_argument
    add(
        "--assets",
        type=Path,
        default=Path("../shared/assets"),
        help="folder with lens/, photos/ and photos.json",
    )
    add("--model", type=Path, help="networks: a file or a folder; without it the bundled ones")
    add("--against", type=Path, help="networks to compare with, a file or a folder")
    add("--threads", type=int, default=1, help="CPU threads")
    add("--limit", type=int, help="only the first pictures of each part")
    add("--json", type=Path, help="file for all figures")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("opencv"):
        from train.eval.real_people import run
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
