"""Rendered people, with exact labels of gaze, head, landmarks and factors.

The geometry is ICT-FaceKit's (https://github.com/ICT-VGL/ICT-FaceKit): give its folder FaceXModel
by --facekit or in the environment variable CLIPGAZE_FACEKIT.  Each command has its own --help.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from train.commands import HelpFormatter, announce, command_parser, needs
from train.factors import factor
from train.synth.domains import DOMAINS
from train.synth.outputs.plan import (
    POOL_PICTURES_PER_PERSON,
    PRODUCTS,
    PoolOptions,
    WriteOptions,
    resolve_domains,
)
from train.synth.variety import Domain

Options = TypeVar("Options", WriteOptions, PoolOptions)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets ``run``, which does its work."""
    parser = command_parser("train.synth", __doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    write = _command(commands, "write", _write, "render samples and labels into shards")
    write.add_argument("--out", type=Path, required=True, help="folder of the shards")
    write.add_argument("--count", type=int, required=True, help="samples in all")
    write.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    write.add_argument("--clip-frames", type=int, default=60, help="frames of each clip")
    write.add_argument("--clip-fps", type=float, default=30.0, help="frames per second of clips")
    pool = _command(commands, "pool", _pool, "fill a pool of face crops that trainers read")
    pool.add_argument("--out", type=Path, required=True, help="folder of the pool, as in /dev/shm")
    pool.add_argument("--count", type=int, required=True, help="rows that are to be whole")
    pool.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    pool.add_argument("--minutes", type=float, help="stop at the next row after so long")
    pool.add_argument(
        "--size", type=int, default=0, help="rows of a new pool's room; without it, --count"
    )
    preview = _command(commands, "preview", _preview, "draw a contact sheet, with the labels")
    preview.add_argument("--out", type=Path, default=Path("preview.png"), help="picture to write")
    preview.add_argument("--rows", type=int, default=8, help="rows of tiles")
    preview.add_argument("--columns", type=int, default=8, help="tiles in a row")
    preview.add_argument("--clean", action="store_true", help="draw no labels")
    preview.add_argument("--captions", action="store_true", help="write each tile's caption")
    preview.add_argument("--factor", help="pairs of tiles with this factor (or all) off and on")
    preview.add_argument(
        "--eyes", action="store_true", help="eye patches as a network sees them; prints figures"
    )
    preview.add_argument(
        "--beside",
        type=Path,
        metavar="DIR",
        help="with --eyes, a column of these photographs' eyes",
    )
    preview.add_argument("--tile-px", type=int, default=224, help="pixels along a tile's side")
    for command in (write, preview):
        command.add_argument("--product", choices=PRODUCTS, default="crops", help="what to make")
    for command in (write, preview, pool):
        command.add_argument(
            "--environments",
            type=Path,
            metavar="DIR",
            help="panoramas (*.hdr) that light most pictures, and are seen behind people",
        )
        command.add_argument(
            "--domain",
            default="mix",
            help=f"a preset, several with commas between, or all: {', '.join(_names())}; "
            "NAME-appearance, NAME-world or NAME-sensor leaves a part of its variety out",
        )
        command.add_argument("--seed", type=int, default=0, help="another one gives other people")
    bench = _command(commands, "bench", _bench, "time the renderer, and each stage of a crop")
    bench.add_argument("--domain", default="mix", help=f"a preset: {', '.join(_names())}")
    bench.add_argument("--count", type=int, default=400, help="crops of all processes together")
    bench.add_argument("--workers", type=int, default=2, help="processes")
    bench.add_argument(
        "--pictures-per-person",
        type=int,
        default=POOL_PICTURES_PER_PERSON,
        help="crops in a row of one person, as in pools; shards have 8",
    )
    media = _command(commands, "demo-media", _demo_media, "make the pictures of samples/media")
    media.add_argument("--out", type=Path, default=Path("samples/media"), help="folder for them")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=text, description=f"{text[:1].upper()}{text[1:]}.", formatter_class=HelpFormatter
    )
    command.add_argument(
        "--facekit",
        type=Path,
        help="ICT-FaceKit's folder FaceXModel; without it, $CLIPGAZE_FACEKIT",
    )
    command.set_defaults(run=run)
    return command


def _names() -> list[str]:
    return [domain.name for domain in DOMAINS]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; what the user can mend ends in one line and exit code 1."""
    args = make_parser().parse_args(argv)
    if args.facekit is None:
        if not os.environ.get("CLIPGAZE_FACEKIT"):
            raise SystemExit(
                "no face model: give --facekit DIR or set CLIPGAZE_FACEKIT to the folder "
                "FaceXModel of a checkout of https://github.com/ICT-VGL/ICT-FaceKit"
            )
        args.facekit = Path(os.environ["CLIPGAZE_FACEKIT"])
    args.run(args)
    return 0


def _domains(args: argparse.Namespace) -> tuple[Domain, ...]:
    try:
        return resolve_domains(args.domain)
    except ValueError as error:
        raise SystemExit(str(error)) from None


def _options(kind: Callable[..., Options], args: argparse.Namespace, *own: str) -> Options:
    """What fills a folder with samples: options that all such commands have, and its ``own``."""
    shared: tuple[str, ...] = ("facekit", "out", "count", "seed", "workers", "environments")
    given = {name: getattr(args, name) for name in (*shared, *own)}
    try:
        return kind(domains=tuple(domain.name for domain in _domains(args)), **given)
    except ValueError as error:
        raise SystemExit(str(error)) from None


def _write(args: argparse.Namespace) -> None:
    options = _options(WriteOptions, args, "product", "clip_frames", "clip_fps")
    with needs("train"):
        from train.synth.outputs.write import write_shards
    write_shards(options)


def _pool(args: argparse.Namespace) -> None:
    options = _options(PoolOptions, args, "minutes", "size")
    with needs("train"):
        from train.synth.outputs.pool_filling import fill_pool
    fill_pool(options)


def _preview(args: argparse.Namespace) -> None:
    domains = _domains(args)
    try:
        if args.factor and args.factor != "all":
            factor(args.factor)
    except KeyError as error:
        raise SystemExit(str(error.args[0])) from None
    if args.beside and not args.eyes:
        raise SystemExit("--beside shows photographs' eyes beside rendered ones; add --eyes")
    with needs("train"):
        from train.synth.outputs.eye_sheet import save_eyes
        from train.synth.outputs.preview import TILE_PX, contact_sheet, factor_sheet, save_sheet
        from train.synth.outputs.write import make_studio
    studio = make_studio(args.facekit, environments=args.environments)
    announce(f"drawing {'eyes' if args.eyes else args.product} of {args.domain}")
    if args.eyes:
        size = args.columns, args.rows
        save_eyes(studio, domains, args.out, size=size, seed=args.seed, photographs=args.beside)
        return
    if args.factor == "all":
        sheet = factor_sheet(studio, domains[0], seed=args.seed, columns=args.columns)
    else:
        try:
            sheet = contact_sheet(
                studio,
                args.product,
                domains,
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


def _bench(args: argparse.Namespace) -> None:
    (domain,) = _domains(args)[:1]
    with needs("train"):
        from train.synth.outputs.bench import bench
    announce(f"drawing {args.count} crops in {args.workers} processes, then one by one")
    each = args.pictures_per_person
    bench(args.facekit, domain.name, count=args.count, workers=args.workers, each=each)


def _demo_media(args: argparse.Namespace) -> None:
    with needs("train"):
        from train.synth.outputs.demo_media import make_media
    announce("drawing a picture and a clip of some seconds")
    make_media(args.facekit, args.out)


if __name__ == "__main__":
    raise SystemExit(main())
