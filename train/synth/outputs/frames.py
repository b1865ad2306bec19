"""Whole camera frames: none to several people at their places, in one light, before one lens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from train.factors import FACTORS
from train.synth.chances import sample_picture_factors
from train.synth.figure.people import Person
from train.synth.outputs.framing import MOST_FACE_PX, around, clipped, scaled
from train.synth.outputs.light import Image, Pixels, composed, exposed, face_light
from train.synth.outputs.records import (
    Floats,
    Record,
    affine,
    appearance,
    geometry,
    moved,
    plain,
    surroundings,
)
from train.synth.outputs.studio import FRAME, PICTURES_PER_PERSON, Studio
from train.synth.places.lighting import Lighting, sample_lighting
from train.synth.render.posing import Labels
from train.synth.render.scene import FACE_WIDTH_MM, Scene, place, sample_panorama
from train.synth.render.sensor import metered, sample_sensor
from train.synth.streams import Streams
from train.synth.variety import Domain

EMPTY = 0.06
"""Share of frames without anybody, so that a detector learns to say so."""
LONGEST_PX = 1280
"""Frames of larger cameras are made of this size, as a detector's input is smaller still."""
FARTHER = 2.5
"""Everybody but the first stands up to so many times farther than the domain's people."""
FARTHEST_MM = 6500.0
SMALLEST_FACE_PX = 12.0
MOST_HIDDEN = 0.5
MOST_OVERLAP = 0.25
"""Of the smaller face's box, by a nearer face's."""
REACH = (2.1, 1.7, 2.1)
"""What is drawn of a person beside, above and below the face centre, in units of 140 mm."""

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class Face:
    """One person of a frame."""

    labels: Labels
    """In the frame's pixels; landmarks behind nearer people or outside are not visible."""
    ignore: bool
    """Too small, or mostly outside or hidden: neither a face nor none to a detector."""
    record: Record


@dataclass(slots=True)
class Frame:
    """What one camera saw."""

    rgb: Pixels
    """(height, width, 3)."""
    camera_matrix: Floats
    faces: list[Face]
    """From far to near."""
    record: Record


@dataclass(slots=True)
class _Camera:
    matrix: Floats
    frame_px: tuple[int, int]


@dataclass(slots=True)
class _Layer:
    """One person drawn for the frame; ``window`` is (left, top, width, height)."""

    rgba: Image
    window: tuple[int, int, int, int]
    labels: Labels
    person: Person
    person_id: str
    scene: Scene
    hidden: float = 0.0
    """Share of the 68 landmarks outside of the frame or behind nearer people."""


def make_frame(studio: Studio, seed: int, index: int, domain: Domain) -> Frame:
    """A whole camera frame with none to several people."""
    streams = Streams(seed, FRAME, index)
    camera = _sample_camera(streams("camera"), domain)
    centers = _sample_places(streams("places"), domain, camera)
    quality = _sample_quality(streams, domain)
    kind = str(_weighted(streams("light kind"), domain.lights))
    panorama = sample_panorama(streams, domain, studio.panoramas, kind)
    lighting = sample_lighting(streams("light"), kind, quality, panorama)
    numbers = streams("people").permutation(PICTURES_PER_PERSON)
    first = index // PICTURES_PER_PERSON * PICTURES_PER_PERSON
    layers = []
    for k, center in enumerate(centers):
        number = first + int(numbers[k % PICTURES_PER_PERSON])
        person = studio.person(seed, number, domain)
        scene = _sample_face(
            Streams(seed, FRAME, index, k), domain, person, quality, center, camera, lighting
        )
        layers.append(_draw(studio, person, scene, camera, f"{seed}-{number}"))
    nearest = max((layer.labels.face_px for layer in layers), default=100.0)
    sensor = sample_sensor(streams("sensor"), quality, iso_range=domain.iso, face_px=nearest)
    background = str(_weighted(streams("background kind"), domain.backgrounds))
    light = studio.backgrounds.sample(streams("background"), background, *camera.frame_px, lighting)
    for layer in layers:
        _put(light, layer)
    _hide(layers, camera.frame_px)
    if layers:  # the camera exposes for the nearest face
        near = layers[-1]
        sensor = metered(sensor, face_light(near.rgba, near.window, near.labels))
    whole = (0, 0, *camera.frame_px)
    rgb = exposed(streams("exposure"), light, sensor, whole, camera.frame_px)
    faces = [_face(layer) for layer in layers]
    record = {
        "camera_matrix": plain(camera.matrix, 5),
        "frame_px": list(camera.frame_px),
        "faces": [face.record for face in faces],
        "factors": {f.name: quality[f.name] for f in FACTORS if f.name in quality},
        **surroundings(lighting, background),
        "domain": domain.name,
        "seed": seed,
        "index": index,
    }
    return Frame(rgb, camera.matrix, faces, record)


def _weighted(rng: np.random.Generator, weights: Mapping[Any, float]) -> Any:
    names, p = list(weights), np.array(list(weights.values()), float)
    return names[int(rng.choice(len(names), p=p / p.sum()))]


def _sample_camera(rng: np.random.Generator, domain: Domain) -> _Camera:
    width, height = domain.frame_px[int(rng.integers(len(domain.frame_px)))]
    scale = min(1.0, LONGEST_PX / max(width, height))
    width, height = round(width * scale), round(height * scale)
    fov = np.radians(rng.uniform(*domain.horizontal_fov_deg))
    focal = width / 2 / np.tan(fov / 2)
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    return _Camera(matrix, (width, height))


def _sample_places(rng: np.random.Generator, domain: Domain, camera: _Camera) -> list[Floats]:
    """Face centres (3,) in millimetres, from far to near, whose boxes overlap a little at most."""
    empty, wanted = rng.random() < EMPTY, int(_weighted(rng, domain.people))
    focal, (width, height) = float(camera.matrix[0, 0]), camera.frame_px
    # Nobody so near that the face does not fit.
    least = focal * FACE_WIDTH_MM / (0.6 * min(width, height))
    low, high = (float(np.log(max(d, least))) for d in domain.distance_mm)
    boxes: list[Box] = []
    centers: list[Floats] = []
    for k in range(0 if empty else wanted):
        for _ in range(20):
            distance = float(np.exp(rng.uniform(low, max(low, high))))
            farther, outside, u, v = rng.uniform(1, FARTHER), rng.random(), *rng.random(2)
            if k:
                distance = min(distance * farther, max(FARTHEST_MM, least))
            size = focal * FACE_WIDTH_MM / distance
            room = -0.3 if outside < 0.12 else 0.5
            x = room * size + u * (width - 2 * room * size)
            y = min(0.55 * size + v * v * (height - 1.2 * size), height - 0.2 * size)
            box = (x - 0.5 * size, y - 0.65 * size, x + 0.5 * size, y + 0.65 * size)
            if all(_overlap(box, other) < MOST_OVERLAP for other in boxes):
                boxes.append(box)
                off = (np.array([x, y]) - camera.matrix[:2, 2]) / focal
                centers.append(np.array([*off, 1.0]) * distance)
                break
    return sorted(centers, key=lambda center: -float(center[2]))


def _overlap(a: Box, b: Box) -> float:
    """Common area over that of the smaller box."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return w * h / min(areas)


def _sample_quality(streams: Streams, domain: Domain) -> dict[str, bool]:
    """Factors of light and camera, which all people of a frame share."""
    nobody = {f.name: False for f in FACTORS if f.scope != "picture"}
    on = sample_picture_factors(streams, nobody, domain)
    return {f.name: on[f.name] for f in FACTORS if f.dimension == "image quality"}


def _sample_face(
    streams: Streams,
    domain: Domain,
    person: Person,
    quality: dict[str, bool],
    center: Floats,
    camera: _Camera,
    lighting: Lighting,
) -> Scene:
    on = sample_picture_factors(streams, person.factors, domain) | quality
    scene = place(streams, domain, on, center, camera.matrix, camera.frame_px)
    return replace(scene, lighting=lighting)


def _draw(studio: Studio, person: Person, scene: Scene, camera: _Camera, person_id: str) -> _Layer:
    """Draw one person; faces over :data:`MOST_FACE_PX` are drawn smaller and enlarged."""
    scale = min(1.0, MOST_FACE_PX / scene.face_px)
    small = scaled(scene, scale)
    drawn = studio.draw(person, small, clipped(around(small, *REACH), small.frame_px))
    labels, rgba, window = drawn.labels, drawn.rgba, drawn.window
    if scale < 1:
        window = clipped(around(scene, *REACH), scene.frame_px)
        # From the frame's pixels to those of the smaller window, one within the other.
        to_small = affine(scale, *drawn.window[:2]) @ affine(1.0, -window[0], -window[1])
        rgba = np.asarray(
            cv2.warpAffine(
                drawn.rgba,
                to_small[:2],
                window[2:],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.float32,
        )
        labels = replace(moved(labels, scale=1 / scale), camera_matrix=camera.matrix)
    return _Layer(rgba, window, labels, person, person_id, scene)


def _put(light: Image, layer: _Layer) -> None:
    """Compose a person into the frame, in place.

    The model ends below the shoulders; what is below takes the last row's colours.
    """
    left, top, width, height = layer.window
    part = light[top : top + height, left : left + width]
    part[:] = composed(layer.rgba, part)
    below = light[top + height :, left : left + width]
    if len(below):
        below[:] = composed(np.broadcast_to(layer.rgba[-1:], (*below.shape[:2], 4)), below)


def _hide(layers: list[_Layer], frame_px: tuple[int, int]) -> None:
    """Landmarks that nearer people cover or that are outside of the frame are not visible."""
    width, height = frame_px
    cover = np.zeros((height, width), np.float32)
    for layer in reversed(layers):
        points = np.vstack([layer.labels.landmarks_px, layer.labels.irises_px])
        x, y = points.round().astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        behind = cover[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)] > 0.5
        seen = inside & ~behind
        layer.hidden = 1 - float(seen[:68].mean())
        layer.labels.visible = layer.labels.visible & seen
        left, top, w, h = layer.window
        alpha = layer.rgba[..., 3]
        part = cover[top : top + h, left : left + w]
        np.maximum(part, alpha, out=part)
        below = cover[top + h :, left : left + w]
        np.maximum(below, alpha[-1:], out=below)


def _face(layer: _Layer) -> Face:
    labels, scene = layer.labels, layer.scene
    record = geometry(labels)
    record |= appearance(layer.person, layer.person_id, scene.factors, scene.streams)
    ignore = labels.face_px < SMALLEST_FACE_PX or layer.hidden > MOST_HIDDEN
    return Face(labels, ignore, record | {"ignore": ignore})
