"""Training arrays composed from shards of foregrounds, with the SDK's own geometry.

Each foreground (``python -m train.synth write --product cutouts``: a person, cut out of the
picture) meets several backgrounds, sizes and sensors here.  Crops are cut as the SDK cuts them, so
what training sees is what run time sees.  Results are cached per shard as ``.npz`` files.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.geometry import (
    GazeNormalization,
    box_from_landmarks,
    face_crop_from_landmarks,
)
from train.factors import FACTORS
from train.synth.outputs.hard_negatives import hard_negative, noise, scrambled
from train.synth.outputs.light import composed, decode_light
from train.synth.outputs.normalization import sampled
from train.synth.outputs.shards import Sample, read_shard
from train.synth.places.backgrounds import KINDS as PLACES
from train.synth.places.backgrounds import Backgrounds
from train.synth.places.lighting import LUMINANCE
from train.synth.render.sensor import FAULTS, expose, sample_sensor

GAZE = GazeNormalization(
    focal_px=960.0, distance_mm=600.0, size_px=(224, 96), center_px=(111.5, 79.5)
)
LANDMARK_CROP_SCALE = 1.5
LANDMARK_STORE_PX = 192
LANDMARK_STORE_SCALE = LANDMARK_CROP_SCALE * 1.5
DETECTOR_PX = 320
DETECTOR_MAX_FACES = 8

_CHANCES = {f.name: f.chance for f in FACTORS}

Arrays = dict[str, NDArray[Any]]
Light = NDArray[np.float32]


def backdrop(
    rng: np.random.Generator, pool: Backgrounds, width: int, height: int, level: Any = None
) -> Light:
    """Some place (height, width, 3) in linear light, as bright as ``level`` (3,) where given.

    An eighth are textures of no place: foliage, bark, cloth, stone.
    """
    kind = PLACES[int(rng.integers(len(PLACES)))]
    if rng.random() < 0.125:
        light = textured(rng, max(width, height))[:height, :width]
    else:
        light = pool.sample(rng, kind, width, height)
    if level is not None:
        wanted = np.clip(np.asarray(level, np.float32), 0.03, 1.2) * np.exp(rng.normal(0, 0.4))
        mean = float((light @ LUMINANCE.astype(np.float32)).mean())
        light = light * (wanted / max(mean, 0.02)).astype(np.float32)
    return np.asarray(light, np.float32)


def textured(rng: np.random.Generator, side: int) -> Light:
    """(side, side, 3) a rough pattern of two or three colours."""
    finest, rough = int(rng.integers(2, 8)), rng.uniform(0.5, 0.95)
    first = noise(rng, side, finest, rough)
    colors = np.exp(rng.normal(-1.5, 0.8, (3, 1)) + rng.normal(0, 0.4, (3, 3))).astype(np.float32)
    share = 1 / (1 + np.exp(-rng.uniform(1, 6) * first))[..., None]
    light = colors[0] * share + colors[1] * (1 - share)
    if rng.random() < 0.6:
        other = (noise(rng, side, finest, rough) > rng.uniform(0, 1.5))[..., None]
        light = np.where(other, colors[2] * np.exp(0.3 * first)[..., None], light)
    return np.asarray(light, np.float32)


def developed(
    rng: np.random.Generator, light: Light, face_px: float, **known: bool
) -> NDArray[np.uint8]:
    """What some camera makes of linear light; faults come with the chances of the factor table.

    ``known`` factors of the foreground (``near_infrared``) are kept.
    """
    draws = rng.random(len(FAULTS))
    on = {name: bool(d < _CHANCES[name]) for name, d in zip(FAULTS, draws, strict=True)}
    return expose(rng, light, sample_sensor(rng, {**on, **known}, face_px=face_px))


def scaled(rng: np.random.Generator, image: Light, *, lowest: float = 0.22) -> tuple[Light, float]:
    """The picture shrunk as if the person were farther away; returns it and the factor."""
    if rng.random() < 0.4:
        return image, 1.0
    factor = float(np.exp(rng.uniform(np.log(lowest), 0)))
    size = round(image.shape[1] * factor), round(image.shape[0] * factor)
    smaller = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.float32), size[0] / image.shape[1]


def premultiplied(foreground: Sample) -> Light:
    """(height, width, 4) linear light and coverage of a foreground; refuses other products."""
    if foreground.alpha is None:
        raise ValueError(
            f"sample {foreground.key} has no coverage; foregrounds are composed: write them with "
            "`python -m train.synth write --product cutouts`"
        )
    alpha = foreground.alpha.astype(np.float32)[..., None] / np.float32(255)
    return np.dstack([decode_light(foreground.rgb), alpha])


def pictured(
    rng: np.random.Generator, foreground: Sample, pool: Backgrounds, *, lowest: float
) -> tuple[NDArray[np.uint8], float]:
    """A camera's picture of a foreground before some place, and how much smaller it is."""
    rgba, factor = scaled(rng, premultiplied(foreground), lowest=lowest)
    behind = backdrop(rng, pool, rgba.shape[1], rgba.shape[0], foreground.labels["backdrop"])
    infrared = bool(foreground.labels["factors"]["near_infrared"])
    face_px = foreground.labels["face_px"] * factor
    light = composed(rgba, behind)
    return developed(rng, light, face_px, near_infrared=infrared), factor


def landmark_arrays(shard: Path, seed: int) -> Arrays:
    """:func:`landmark_crops` of a shard."""
    rng = np.random.default_rng([seed, 12, _number(shard)])
    return landmark_crops(read_shard(shard), rng, Backgrounds())


def landmark_crops(
    pictures: Iterable[Sample], rng: np.random.Generator, pool: Backgrounds
) -> Arrays:
    """Wide face crops (N, 192, 192, 3), points and visibility (N, 70), and crops of no face.

    Points are in units of the crop; both irises come last.
    """
    crops, points, visible, openness, empty = [], [], [], [], []
    side = LANDMARK_STORE_PX
    for picture in pictures:
        image, factor = pictured(rng, picture, pool, lowest=0.15)
        marks = (np.array(picture.labels["landmarks_px"]) + 0.5) * factor - 0.5
        irises = (np.array(picture.labels["irises_px"]) + 0.5) * factor - 0.5
        warp = face_crop_from_landmarks(marks, size_px=side, scale=LANDMARK_STORE_SCALE)
        crops.append(sampled(image, warp, (side, side)))
        everything = np.column_stack([np.vstack([marks, irises]), np.ones(70)])
        pixels = everything @ np.linalg.inv(warp).T
        points.append((pixels[:, :2] / pixels[:, 2:] + 0.5) / side * 2 - 1)
        visible.append(picture.labels["visible"])
        openness.append(picture.labels["openness"])
        if rng.random() < 0.4:
            empty.append(_no_face(rng, picture, pool))
    return {
        "crops": np.stack(crops),
        "points": np.array(points, np.float32),
        "visible": np.array(visible, bool),
        "openness": np.array(openness, np.float32),
        "empty": np.stack(empty) if empty else np.zeros((0, side, side, 3), np.uint8),
    }


def _no_face(rng: np.random.Generator, picture: Sample, pool: Backgrounds) -> NDArray[np.uint8]:
    """(192, 192, 3): a place, a thing, or a face taken apart, where a face would be in its crop."""
    side = LANDMARK_STORE_PX
    light = backdrop(rng, pool, side, side)
    kind = rng.random()
    if kind < 0.5:
        for _ in range(int(rng.integers(1, 3))):
            size = float(np.exp(rng.uniform(np.log(0.25), np.log(1.0)))) * side
            at = side / 2 + rng.normal(0, side / 10, 2)
            _put_negative(rng, light, hard_negative(rng), size, at)
    elif kind < 0.85:
        marks = np.array(picture.labels["landmarks_px"])
        rgba = scrambled(rng, premultiplied(picture), np.array(picture.labels["bbox_px"]))
        warp = face_crop_from_landmarks(marks, size_px=side, scale=LANDMARK_STORE_SCALE)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpAffine(rgba, warp[:2], (side, side), flags=flags)
        light = composed(np.asarray(drawn, np.float32), light)
    return developed(rng, light, float(np.exp(rng.uniform(np.log(20), np.log(side / 2)))))


def _put_negative(
    rng: np.random.Generator, light: Light, thing: Light, size: float, at: NDArray[np.float64]
) -> None:
    """Draw a thing, ``size`` pixels large, about ``at`` into linear light, in place."""
    thing = thing * np.float32(np.exp(rng.normal(0, 0.4))) ** np.array([1, 1, 1, 0], np.float32)
    angle, zoom = rng.normal(0, 0.4), size / thing.shape[0]
    if zoom < 0.6:  # average before the warp
        small = max(round(size), 8)
        smaller = cv2.resize(thing, (small, small), interpolation=cv2.INTER_AREA)
        thing = np.asarray(smaller, np.float32)
        zoom = size / small
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (thing.shape[0] - 1) / 2)
    place = np.column_stack([turn, at - turn @ middle])
    drawn = cv2.warpAffine(thing, place, light.shape[1::-1], flags=cv2.INTER_LINEAR)
    light *= 1 - drawn[..., 3:]
    light += drawn[..., :3]


def detector_arrays(shard: Path, seed: int, *, count: int = 400) -> Arrays:
    """:func:`detector_frames` of a shard."""
    rng = np.random.default_rng([seed, 13, _number(shard)])
    pool, pictures = Backgrounds(), list(read_shard(shard))
    return detector_frames(pictures, rng, pool, hard_negatives(rng), count=count)


def hard_negatives(rng: np.random.Generator, count: int = 80) -> list[Light]:
    """Things that are no faces."""
    return [hard_negative(rng) for _ in range(count)]


def detector_frames(
    pictures: Sequence[Sample],
    rng: np.random.Generator,
    pool: Backgrounds,
    things: Sequence[Light],
    *,
    count: int,
) -> Arrays:
    """Composed frames (count, 320, 320, 3), boxes (count, 8, 4) and points (count, 8, 5, 2).

    Unused rows hold NaN.  Things that are no faces, and people whose face was taken apart, stand
    behind those who are to be found.
    """
    frames, boxes, points = [], [], []
    for _ in range(count):
        frame = backdrop(rng, pool, DETECTOR_PX, DETECTOR_PX)
        frame_boxes = np.full((DETECTOR_MAX_FACES, 4), np.nan, np.float32)
        frame_points = np.full((DETECTOR_MAX_FACES, 5, 2), np.nan, np.float32)
        for _ in range(int(rng.choice([0, 1, 2, 4, 8]))):
            size = float(np.exp(rng.uniform(np.log(16), np.log(300))))
            thing = things[int(rng.integers(len(things)))]
            _put_negative(rng, frame, thing, size, rng.uniform(0, 1, 2) * DETECTOR_PX)
        nothing = np.zeros((0, 4), np.float32)
        for _ in range(int(rng.choice([0, 0, 1, 2]))):
            apart = pictures[int(rng.integers(len(pictures)))]
            height = float(np.exp(rng.uniform(np.log(20), np.log(250))))
            _paste(rng, frame, apart, height, nothing, whole=False)
        wanted = int(rng.choice([0, 0, 1, 1, 2, 3, 5, 8]))
        heights = np.exp(rng.uniform(np.log(13), np.log(290), wanted))
        if wanted and rng.random() < 0.4:  # or faces that fill the picture would be rare
            heights[0] = rng.uniform(110, 300)
        heights = np.sort(heights)
        placed = 0
        for height in heights:
            picture = pictures[int(rng.integers(len(pictures)))]
            result = _paste(rng, frame, picture, float(height), frame_boxes[:placed])
            if result is not None:
                frame_boxes[placed], frame_points[placed] = result
                placed += 1
        frames.append(developed(rng, frame, max(float(heights.mean()), 40.0) if wanted else 100.0))
        boxes.append(frame_boxes)
        points.append(frame_points)
    return {"frames": np.stack(frames), "boxes": np.stack(boxes), "points": np.stack(points)}


def _paste(
    rng: np.random.Generator,
    frame: NDArray[np.float32],
    picture: Sample,
    height: float,
    others: NDArray[np.float32],
    *,
    whole: bool = True,
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Draw one person into a frame; the box and five points, or None where there is no room.

    Without ``whole`` the face is taken apart first: a detector is to refuse it.
    """
    side = frame.shape[0]
    mark = picture.labels
    box = np.array(mark["bbox_px"])
    rgba = premultiplied(picture)
    if not whole:
        rgba = scrambled(rng, rgba, box)
    factor = height / (box[3] - box[1])
    before = 1.0
    if factor < 0.6:  # average before the warp, so that small faces do not alias
        before = max(round(rgba.shape[0] * factor), 16) / rgba.shape[0]
        to = round(rgba.shape[1] * before), round(rgba.shape[0] * before)
        rgba = np.asarray(cv2.resize(rgba, to, interpolation=cv2.INTER_AREA), np.float32)
    angle = (
        float(np.clip(rng.normal(0, 0.2), -0.8, 0.8))
        if rng.random() < 0.7
        else rng.uniform(-0.8, 0.8)
    )
    zoom = factor / before
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array([box[0] + box[2], box[1] + box[3]]) / 2 + 0.5) * before - 0.5
    target = rng.uniform(-0.02, 1.02, 2) * side
    place = np.column_stack([turn, target - turn @ middle])

    def to_frame(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(((p + 0.5) * before - 0.5) @ place[:, :2].T + place[:, 2])

    marks = to_frame(np.array(mark["landmarks_px"]))
    new = box_from_landmarks(marks)  # the box that the SDK gives a followed face
    shown = np.concatenate([np.maximum(new[:2], 0), np.minimum(new[2:], side - 1)])
    area = float(np.prod(np.maximum(new[2:] - new[:2], 1)))
    if float(np.prod(np.maximum(shown[2:] - shown[:2], 0))) < 0.6 * area:
        return None
    for other in others:
        common = np.minimum(new[2:], other[2:]) - np.maximum(new[:2], other[:2])
        smaller = min(area, float(np.prod(other[2:] - other[:2])))
        if (common > 0).all() and float(np.prod(common)) > 0.15 * smaller:
            return None
    size = (side, side)
    turned = cv2.warpAffine(rgba, place, size, flags=cv2.INTER_LINEAR)
    color, cover = turned[..., :3], turned[..., 3:]
    for x0, y0, x1, y1 in np.clip(others, 0, side - 1).astype(int):
        if cover[y0 : y1 + 1, x0 : x1 + 1].mean() > 0.2:  # a body in front of another's face
            return None
    frame *= 1 - cover
    frame += color
    five = np.stack([marks[36:42].mean(0), marks[42:48].mean(0), marks[30], marks[48], marks[54]])
    return new, five.astype(np.float32)


def _number(shard: Path) -> int:
    return int(shard.stem.rsplit("-", 1)[1])


KINDS: dict[str, Callable[[Path, int], Arrays]] = {
    "landmarks": landmark_arrays,
    "detector": detector_arrays,
}


def prepared(kind: str, data: Path, cache: Path, *, seed: int = 0, workers: int = 2) -> Arrays:
    """All shards' arrays of one kind, made (in parallel) where the cache has them not.

    Raises :class:`FileNotFoundError` when ``data`` holds no shards.
    """
    shards = sorted(data.glob("shard-*.tar"))
    if not shards:
        raise FileNotFoundError(
            f"{data} holds no shard-*.tar; write some with `python -m train.synth write`"
        )
    folder = cache / kind
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(kind, s, folder / f"{s.stem}.npz", seed) for s in shards]
    todo = [job for job in jobs if not job[2].is_file()]
    if todo:
        print(f"preparing {len(todo)} shards of {kind} crops", flush=True)
        if workers > 1:
            with multiprocessing.get_context("spawn").Pool(workers) as pool:
                for _ in pool.imap_unordered(_prepare, todo):
                    pass
        else:
            for job in todo:
                _prepare(job)
    parts = [np.load(job[2], allow_pickle=False) for job in jobs]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0].files}


def _prepare(job: tuple[str, Path, Path, int]) -> None:
    kind, shard, path, seed = job
    cv2.setNumThreads(1)
    arrays = KINDS[kind](shard, seed)
    partial = path.with_name(path.stem + ".partial.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(path)
