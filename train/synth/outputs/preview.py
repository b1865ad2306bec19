"""Contact sheets of what is rendered, with the labels drawn: ``python -m train.synth preview``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.geometry import vector_from_angles
from train.factors import FACTORS, factor
from train.synth.outputs.clips import make_clip
from train.synth.outputs.frames import make_frame
from train.synth.outputs.light import composed, decode_light, exposed
from train.synth.outputs.plan import domain_of
from train.synth.outputs.studio import PICTURES_PER_PERSON, Crop, Studio
from train.synth.render.sensor import identity_sensor
from train.synth.variety import Domain

Pixels = NDArray[np.uint8]
Drawing = tuple[Pixels, list[dict[str, Any]]]

SEEN, HIDDEN, IRIS, ARROW, BOX = (
    (60, 220, 60),
    (230, 60, 60),
    (255, 0, 255),
    (255, 40, 40),
    (60, 200, 255),
)
TILE_PX = 224


def contact_sheet(
    studio: Studio,
    product: str,
    domains: tuple[Domain, ...],
    *,
    seed: int = 0,
    columns: int = 8,
    rows: int = 8,
    clean: bool = False,
    captions: bool = False,
    switched: str | None = None,
) -> Pixels:
    """RGB tiles of products of a seed, rows × columns of them, each of another person.

    Landmarks are green where visible and red where hidden, irises are crosses, the arrow is the
    gaze.  ``clean`` draws no labels.  With ``switched``, the name of a factor, tiles come in pairs
    of the same picture with the factor off (left) and on.  Raises :class:`ValueError` for a factor
    that follows a face's shape.
    """
    if switched and (factor(switched).scope == "identity" or product in ("frames", "clips")):
        raise ValueError(
            f"{switched} cannot be switched in {product}; take a factor of the person or the "
            "picture, and crops, cutouts or pictures"
        )
    tiles: list[Pixels] = []
    count, number = rows * columns, 0
    while len(tiles) < count:
        index = number if product in ("frames", "clips") else number * (PICTURES_PER_PERSON + 1)
        chosen = domain_of(domains, product, index)
        for on in (False, True) if switched else (None,):
            wanted = {switched: on} if switched and on is not None else None
            for image, records in _shots(studio, product, seed, index, chosen, wanted, columns):
                tile = _tile(image, records, clean=clean)
                if captions and records:
                    tile = _written(tile, records[0].get("caption", ""))
                tiles.append(tile)
        number += 1
    return np.vstack([np.hstack(tiles[r * columns : (r + 1) * columns]) for r in range(rows)])


def switched_pair(
    studio: Studio, name: str, seed: int, index: int, chosen: Domain
) -> tuple[Crop, Crop]:
    """A crop without and with a factor, every other switchable factor off but for its needs."""
    quiet = {f.name: False for f in FACTORS if f.scope != "identity" and f.name != name}
    needs = factor(name).needs
    base = {k: v for k, v in quiet.items() if k not in needs} | dict.fromkeys(needs, True)
    make = (studio.crop(seed, index, chosen, switched={**base, name: on}) for on in (False, True))
    off, on = make
    return off, on


def factor_sheet(studio: Studio, chosen: Domain, *, seed: int = 0, columns: int = 10) -> Pixels:
    """Every factor that can be switched, off (left) and on, each on another person."""
    tiles: list[Pixels] = []
    for number, this in enumerate(f for f in FACTORS if f.scope != "identity"):
        pair = switched_pair(studio, this.name, seed, number * PICTURES_PER_PERSON, chosen)
        for crop, text in zip(pair, (this.name, ""), strict=True):
            tile = _tile(crop.rgb, [crop.record], clean=True)
            tiles.append(_written(tile, text) if text else tile)
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = len(tiles) // columns
    return np.vstack([np.hstack(tiles[r * columns : (r + 1) * columns]) for r in range(rows)])


def _shots(
    studio: Studio,
    product: str,
    seed: int,
    index: int,
    chosen: Domain,
    wanted: dict[str, bool] | None,
    columns: int,
) -> list[Drawing]:
    if product == "clips":  # a row of a clip's frames, each tenth of a second
        clip = make_clip(studio, seed, index, chosen, frames=columns, fps=10.0)
        return [(s.rgb, [clip.record | s.record]) for s in clip.frames()]
    if product == "frames":
        frame = make_frame(studio, seed, index, chosen)
        return [(frame.rgb, [face.record for face in frame.faces])]
    if product == "cutouts":
        cut = studio.cutout(seed, index, chosen, switched=wanted)
        light, cover = decode_light(cut.rgb), cut.alpha[..., None].astype(np.float32) / 255
        y, x = np.indices(cut.alpha.shape) // 16
        checks = np.where((x + y) % 2, 0.2, 0.4).astype(np.float32)[..., None]
        light = composed(np.dstack([light, cover]), checks)
        size = cut.alpha.shape[1], cut.alpha.shape[0]
        rng = np.random.default_rng(0)
        return [(exposed(rng, light, identity_sensor(), (0, 0, *size), size), [cut.record])]
    make = studio.crop if product == "crops" else studio.picture
    made = make(seed, index, chosen, switched=wanted)
    return [(made.rgb, [made.record])]


def _tile(image: Pixels, records: list[dict[str, Any]], *, clean: bool) -> Pixels:
    scale = TILE_PX / max(image.shape[:2])
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    tile[: size[1], : size[0]] = cv2.resize(image, size, interpolation=mode)
    if not clean:
        for record in records:
            _draw(tile, record, scale)
    return tile


def _draw(tile: Pixels, record: dict[str, Any], scale: float) -> None:
    def pixels(name: str) -> NDArray[np.float64]:
        return (np.array(record[name]) + 0.5) * scale - 0.5

    marks = pixels("landmarks_px")
    for (x, y), seen in zip(marks, record["visible"], strict=False):
        cv2.circle(tile, (round(x), round(y)), 1, SEEN if seen else HIDDEN, -1)
    for x, y in pixels("irises_px"):
        cv2.drawMarker(tile, (round(x), round(y)), IRIS, cv2.MARKER_CROSS, 7, 1)
    gaze = np.array(record["gaze"])
    if "crop_gaze_pitch_yaw_rad" in record:
        gaze = vector_from_angles(record["crop_gaze_pitch_yaw_rad"])
    start = marks[[36, 39, 42, 45]].mean(0)
    length = 1.2 * float(np.linalg.norm(marks[36:42].mean(0) - marks[42:48].mean(0))) + 12
    ends = [tuple(p.round().astype(int).tolist()) for p in (start, start + length * gaze[:2])]
    cv2.arrowedLine(tile, ends[0], ends[1], ARROW, 1, cv2.LINE_AA)
    if "ignore" in record:
        x0, y0, x1, y1 = ((np.array(record["bbox_px"]) + 0.5) * scale - 0.5).round().astype(int)
        color = HIDDEN if record["ignore"] else BOX
        cv2.rectangle(tile, (int(x0), int(y0)), (int(x1), int(y1)), color, 1)


def _written(tile: Pixels, text: str) -> Pixels:
    """The tile with its caption over its lower edge."""
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) > 38:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    lines.append(line)
    top = TILE_PX - 11 * len(lines) - 3
    tile[top:] //= 3
    for number, part in enumerate(lines):
        at = (3, top + 10 + 11 * number)
        cv2.putText(tile, part, at, cv2.FONT_HERSHEY_SIMPLEX, 0.32, (255,) * 3, 1, cv2.LINE_AA)
    return tile


def save_sheet(path: Path, sheet: Pixels, scale: float = 1.0) -> None:
    """Write a picture; raises :class:`SystemExit` that says why it cannot be written."""
    if scale != 1.0:
        sheet = np.asarray(
            cv2.resize(sheet, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    flags = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 88]
    try:
        done = cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), flags)
    except cv2.error:
        done = False
    if not done:
        raise SystemExit(
            f"could not write {path}: its folder must exist and it must end in .png or .jpg"
        )
    print(f"wrote {path}")
