"""The SDK on photographs of real people: development figures, beside peers where there are any.

No network is trained on a photograph, and the references in photos.json are other programs'
outputs, not truth.  Measured are faces found, missed and made up; landmarks; gaze, its sign where
the reference is beyond 10 degrees, and what mirroring a picture does to it; how still gaze is on a
stream, and how fast the SDK is.

Writes report.json, report.md with the tables, gaze.jpg with our arrows beside the peer's,
false_faces.jpg, and the photographs with results drawn on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from train.commands import command_parser, needs


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command_parser("train.photos", __doc__)
    parser.add_argument(
        "--assets",
        type=Path,
        required=True,
        help="folder with photos/, photos.json, no_face/ and clips/person.mp4",
    )
    parser.add_argument("--models", type=Path, help="folder of models; without it the bundled ones")
    parser.add_argument("--out", type=Path, help="folder for the report and the pictures")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument(
        "--frames", type=int, default=100, help="frames of the speed test, 0 for none"
    )
    parser.add_argument(
        "--flip-augment", action="store_true", help="the estimator's option (but for its speed)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    with needs("opencv"):
        from train.photos.photographs import look
    look(
        args.assets,
        models=args.models,
        out=args.out,
        threads=args.threads,
        frames=args.frames,
        flip_augment=args.flip_augment,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
