"""``python -m train.synth preview`` and ``python -m train.synth write``."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from train.synth.backgrounds import sample_background
from train.synth.facekit import load_facekit
from train.synth.people import sample_person
from train.synth.scene import sample_scene
from train.synth.write import WriteOptions, write_shards


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m train.synth", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="render pictures and labels into shards")
    write.add_argument(
        "--facekit", type=Path, required=True, help="ICT-FaceKit's folder FaceXModel"
    )
    write.add_argument("--out", type=Path, required=True)
    write.add_argument("--count", type=int, required=True)
    write.add_argument("--seed", type=int, default=0)
    write.add_argument("--workers", type=int, default=2)
    preview = commands.add_parser("preview", help="a contact sheet with the labels drawn")
    preview.add_argument("--facekit", type=Path, required=True)
    preview.add_argument("--out", type=Path, default=Path("preview.png"))
    preview.add_argument("--count", type=int, default=16)
    preview.add_argument("--seed", type=int, default=0)
    preview.add_argument("--clean", action="store_true", help="draw no labels")
    args = parser.parse_args()
    if args.command == "write":
        write_shards(
            WriteOptions(args.facekit, args.out, args.count, seed=args.seed, workers=args.workers)
        )
    else:
        contact_sheet(args.facekit, args.out, args.count, args.seed, labels=not args.clean)


def contact_sheet(facekit: Path, out: Path, count: int, seed: int, *, labels: bool) -> None:
    """Write a sheet of ``count`` pictures, four in a row, gaze as a red arrow."""
    from train.synth.renderer import Renderer

    kit = load_facekit(facekit)
    renderer = Renderer(kit)
    tiles = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        person = sample_person(rng, kit)
        rgba, label = renderer.render(person, sample_scene(rng, person, size_px=400))
        cover = rgba[..., 3:].astype(np.float32) / 255
        picture = rgba[..., :3] + sample_background(rng, 400, 400) * (1 - cover)
        tile = np.ascontiguousarray(np.clip(picture, 0, 255)[..., ::-1]).astype(np.uint8)
        if labels:
            for x, y in label.landmarks_px:
                cv2.circle(tile, (round(x), round(y)), 1, (0, 255, 0), -1)
            for x, y in label.irises_px:
                cv2.circle(tile, (round(x), round(y)), 2, (255, 0, 255), -1)
            start = label.landmarks_px[[36, 39, 42, 45]].mean(0)
            end = start + 110 * label.gaze[:2]
            cv2.arrowedLine(
                tile,
                *[tuple(p.astype(int).tolist()) for p in (start, end)],
                (0, 0, 255),
                2,
                cv2.LINE_AA,
            )
        tiles.append(tile)
    while len(tiles) % 4:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[k : k + 4]) for k in range(0, len(tiles), 4)]
    if not cv2.imwrite(str(out), np.vstack(rows)):
        raise SystemExit(f"could not write {out}: the folder must exist and the name end in .png")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
