"""``python -m train.synth preview`` and ``python -m train.synth write``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from train.synth.outputs.write import (
    PRODUCTS,
    WriteOptions,
    make_studio,
    resolve_domains,
    write_shards,
)


def main(arguments: list[str] | None = None) -> None:
    """Entry point; what the user can mend ends in one line and exit code 1."""
    args = _parser().parse_args(arguments)
    facekit = args.facekit or os.environ.get("CLIPGAZE_FACEKIT")
    if not facekit:
        raise SystemExit(
            "no face model: give --facekit DIR or set CLIPGAZE_FACEKIT to the folder FaceXModel "
            "of a checkout of https://github.com/ICT-VGL/ICT-FaceKit"
        )
    try:
        domains = resolve_domains(args.domain)
        if args.command == "write":
            options = WriteOptions(
                facekit=Path(facekit),
                out=args.out,
                product=args.product,
                count=args.count,
                domains=tuple(d.name for d in domains),
                seed=args.seed,
                workers=args.workers,
                clip_frames=args.clip_frames,
                clip_fps=args.clip_fps,
            )
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if args.command == "write":
        write_shards(options)
    else:
        _preview(args, Path(facekit))


def _preview(args: argparse.Namespace, facekit: Path) -> None:
    from train.factors import factor
    from train.synth.outputs.preview import TILE_PX, contact_sheet, factor_sheet, save_sheet

    try:
        if args.factor and args.factor != "all":
            factor(args.factor)
    except KeyError as error:
        raise SystemExit(str(error.args[0])) from None
    studio = make_studio(facekit)
    if args.factor == "all":
        chosen = resolve_domains(args.domain)[0]
        sheet = factor_sheet(studio, chosen, seed=args.seed, columns=args.columns)
        save_sheet(args.out, sheet, args.tile_px / TILE_PX)
        return
    try:
        sheet = contact_sheet(
            studio,
            args.product,
            resolve_domains(args.domain),
            seed=args.seed,
            rows=args.rows,
            columns=args.columns,
            clean=args.clean,
            captions=args.captions,
            switched=args.factor,
        )
    except ValueError as error:
        raise SystemExit(str(error)) from None
    save_sheet(args.out, sheet, args.tile_px / TILE_PX)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.synth", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="render samples and labels into shards")
    write.add_argument("--out", type=Path, required=True, help="folder of the shards")
    write.add_argument("--count", type=int, required=True, help="samples in all")
    write.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    write.add_argument("--clip-frames", type=int, default=60, help="frames of each clip")
    write.add_argument("--clip-fps", type=float, default=30.0, help="frames per second of clips")
    preview = commands.add_parser("preview", help="a contact sheet with the labels drawn")
    preview.add_argument("--out", type=Path, default=Path("preview.png"))
    preview.add_argument("--rows", type=int, default=8)
    preview.add_argument("--columns", type=int, default=8)
    preview.add_argument("--clean", action="store_true", help="draw no labels")
    preview.add_argument("--captions", action="store_true", help="write each tile's caption")
    preview.add_argument("--factor", help="pairs of tiles with this factor (or all) off and on")
    preview.add_argument("--tile-px", type=int, default=224, help="size of a tile")
    for command in (write, preview):
        command.add_argument("--product", choices=PRODUCTS, default="crops")
        command.add_argument(
            "--domain", default="mix", help="a preset, several with commas between, or all"
        )
        command.add_argument("--seed", type=int, default=0)
        command.add_argument(
            "--facekit", help="ICT-FaceKit's folder FaceXModel (default: $CLIPGAZE_FACEKIT)"
        )
    return parser


if __name__ == "__main__":
    main()
