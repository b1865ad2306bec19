"""Hair of a rendered person: scalp hair grown as textured cards from the skull."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from train.synth.figure.beards import beard_cover, facial_hair
from train.synth.figure.facekit import PARTS, FaceKit
from train.synth.figure.hair_cards import (
    CARDS,
    Floats,
    Ribbons,
    Skull,
    Strands,
    angles,
    fit_skull,
    look_up_line,
    ribbons,
    spiral,
    strand_texture,
    strands_of,
)
from train.synth.figure.hair_styles import Style, choose_style, hair_color, hairline_distance
from train.synth.streams import Streams

__all__ = ["Strands", "facial_hair", "hair_color", "scalp_cover", "scalp_hair", "strand_texture"]

DOWN = np.array([0.0, 1.0, 0.0], np.float32)
CROWN = np.array([0.10, -0.90, 0.42])
"""Direction of the whorl from which short hair flows."""


def scalp_hair(
    streams: Streams, kit: FaceKit, calm: Floats, on: Mapping[str, bool]
) -> Strands | None:
    """Cards of the hair on the head; None for a bald head without a rim.

    ``calm`` (26719, 3) is the person's neutral face, head frame, mm; ``on`` names the factors.
    """
    style = choose_style(streams, on)
    if style is None:
        return None
    skull = fit_skull(kit, calm)
    line = hairline_distance(streams, style)
    brow = float(calm[kit.landmarks[17:27], 1].mean())
    rng = streams("hair")
    groups = []
    for layer, count in (("broad", style.broad), ("fine", style.fine)):
        roots, edge = _roots(rng, line, count, style, dense_edge=layer == "fine")
        groups.append(_cards(rng, skull, style, roots, edge, brow, broad=layer == "broad"))
    if style.flow == "tie":
        groups.append(_knot(rng, skull, style))
    return strands_of(*groups, coarse=1)


def scalp_cover(
    streams: Streams, kit: FaceKit, calm: Floats, on: Mapping[str, bool]
) -> NDArray[np.float32]:
    """How much of each vertex (26719,) hair covers, 0..1: colours the skin under the cards."""
    cover = beard_cover(streams, kit, on)
    style = choose_style(streams, on)
    if style is None:
        return cover
    head = slice(0, PARTS["head"][1])
    skull = fit_skull(kit, calm)
    offset = calm[head] - skull.center
    unit = (offset / np.linalg.norm(offset, axis=1, keepdims=True)).astype(np.float32)
    distance = look_up_line(hairline_distance(streams, style), unit)
    short = min(style.sides / 20, 1.0)
    scalp = (
        np.clip((distance + 1.0) / (22.0 if style.rim else 9.0), 0, 1)
        * (0.75 + 0.25 * short)
        * (1 - style.thin)
    )
    stands_out = np.linalg.norm(offset, axis=1) > skull.radius(unit, ears=False) + 5  # ears
    cover[head] = np.maximum(cover[head], np.where(stands_out, 0, scalp))
    return cover


def _roots(
    rng: np.random.Generator, line: Floats, count: int, style: Style, *, dense_edge: bool
) -> tuple[Floats, Floats]:
    """Directions (N, 3) of roots, evenly spread where hair grows, and their mm to the hairline.

    A quarter of the fine cards stand within 12 mm of the hairline, where scalp would show.
    """
    unit = spiral(count * 2, rng)
    distance = look_up_line(line, unit)
    inner = np.flatnonzero(distance > rng.uniform(-1.0, 16.0 if style.rim else 4.0, len(unit)))
    if style.thin and dense_edge:
        inner = inner[rng.random(len(inner)) > style.thin]
    inner = inner[np.argsort(rng.random(len(inner)))][: int(count * (0.75 if dense_edge else 1))]
    chosen = [unit[inner]]
    if dense_edge:
        extra = spiral(count * 6, rng)
        near = look_up_line(line, extra)
        azimuth, _ = angles(extra)
        rim = np.flatnonzero(
            (near > rng.normal(1, 3, len(near))) & (near < 12) & (np.abs(azimuth) < 85)
        )
        chosen.append(extra[rim[np.argsort(rng.random(len(rim)))][: count // 4]])
    roots = np.vstack(chosen)
    return roots, look_up_line(line, roots)


def _cards(
    rng: np.random.Generator,
    skull: Skull,
    style: Style,
    roots: Floats,
    edge: Floats,
    brow: float,
    *,
    broad: bool,
) -> Ribbons:
    count = len(roots)
    layer = rng.uniform(0.1, 0.8, count) if broad else rng.uniform(0.3, 1.0, count)
    fringe = _in_fringe(rng, roots, edge, style)
    length = _lengths(rng, skull, style, roots, edge, fringe, brow)
    at_edge = (edge < 9) & (np.abs(angles(roots)[0]) < 100) & ~fringe & (not broad)
    if style.covers_ears:  # new hair along the hairline is short
        length = np.where(at_edge, rng.uniform(15, 60, count), length)
    lines = _grow(rng, skull, style, roots, length, layer, fringe)
    if style.cut is not None:
        stop = np.where(fringe, 1e3, style.cut + rng.normal(0, 7, count) - 10 * layer)
        lines = _cut(lines, stop)
    if style.wave:
        lines = _wave(rng, lines, skull.center, style, length)
    outward = _outward(lines, skull.center)
    width = style.width * np.where(broad, 1.6, 1.0) * rng.uniform(0.7, 1.2, count)
    width *= np.where(at_edge, 0.45, 1.0)
    roll = rng.normal(0, 0.25 if style.jitter < 0.5 else 0.8, count)
    card = rng.integers(0, 2, count) + (0 if broad else 2 * rng.integers(0, 2, count))
    card = np.where(at_edge & (rng.random(count) < 0.75), CARDS - 1, card)
    card = card + CARDS * rng.integers(0, 2, count)
    clump = 1 + 0.10 * np.sin(roots @ rng.normal(0, 9, (3, 2)) + rng.uniform(0, 6, 2)).sum(1)
    tone = (0.7 + 0.4 * layer) * clump * rng.normal(1, 0.06, count)
    dark = 0.34 + 0.46 * np.exp(-length / 45)[:, None]  # at the root; short hair lets light in
    shade = dark + (1.05 - dark) * np.clip(np.linspace(0, 2.2, lines.shape[1]), 0, 1)
    shade = shade * np.clip(tone, 0.5, 1.45)[:, None]
    # What is nearest a camera before the face comes first, so that it hides the rest unshaded.
    order = np.argsort(lines[..., 2].mean(1) - 50 * layer)
    return ribbons(
        lines[order], outward[order], width[order], roll[order], card[order], shade[order],
        np.full(count, -1),
    )  # fmt: skip


def _in_fringe(
    rng: np.random.Generator, roots: Floats, edge: Floats, style: Style
) -> NDArray[np.bool_]:
    if not style.fringe or style.rim:
        return np.zeros(len(roots), bool)
    azimuth, elevation = angles(roots)
    wide = 47 + rng.normal(0, 4, len(roots))
    return (np.abs(azimuth) < wide) & (edge < 34) & (elevation > 27)


def _lengths(
    rng: np.random.Generator,
    skull: Skull,
    style: Style,
    roots: Floats,
    edge: Floats,
    fringe: NDArray[np.bool_],
    brow: float,
) -> Floats:
    """Length (N,) of each card, mm."""
    azimuth, elevation = angles(roots)
    upper = np.clip((elevation - 14) / 24, 0, 1)
    behind = np.clip((np.abs(azimuth) - 100) / 40, 0, 1)
    length = style.top * upper + (1 - upper) * (style.sides + (style.back - style.sides) * behind)
    length *= rng.uniform(0.78, 1.12, len(roots))
    if style.cut is None and style.flow != "tie":
        length *= np.clip(0.45 + edge / 25, 0.45, 1)
    if style.flow == "tie":
        knot = _knot_center(skull, style)
        radius = skull.radius(roots, ears=False)
        reach = np.linalg.norm(knot - (skull.center + roots * radius[:, None]), axis=1)
        length = reach * 1.28 + 4
    if fringe.any():
        tip = np.degrees(np.arcsin((skull.center[1] - brow) / 96))  # elevation of the brows
        low = rng.uniform(-9, 4, len(roots)) + rng.uniform(-3, 5)
        over = np.radians(elevation - tip) * 97 + 6 - low
        length = np.where(fringe, np.maximum(over, 12), length)
    return length.astype(np.float32)


def _flow(rng: np.random.Generator, style: Style, roots: Floats, side: Floats) -> Floats:
    """Wanted direction (N, 3) at each root, before gravity; not yet tangent to the scalp.

    ``side`` (N,) is -1 or 1: on which side of the parting a root is.
    """
    if style.flow == "part":
        high = np.clip(-roots[:, 1], 0, 1)
        crosses = np.clip(-side * roots[:, 0] * 90 + 12, 0, 30) / 30  # over the head's middle
        back = (0.05 if style.covers_ears else 0.3) + 0.9 * crosses
        return np.stack([side * (0.4 + 0.6 * high), 0.5 - 0.3 * crosses, back], 1)
    if style.flow == "back":
        return np.stack(
            [0.25 * np.sign(roots[:, 0]) * np.abs(roots[:, 0]), 0.15 + 0 * side, 1 + 0 * side], 1
        )
    away = roots - CROWN * (roots @ CROWN)[:, None] - 0.3 * CROWN
    away = away + 0.35 * np.cross(roots, CROWN)
    if style.flow == "out":
        return np.asarray(0.5 * away + rng.normal(0, 0.5, roots.shape))
    return np.asarray(away)


def _grow(
    rng: np.random.Generator,
    skull: Skull,
    style: Style,
    roots: Floats,
    length: Floats,
    layer: Floats,
    fringe: NDArray[np.bool_],
) -> Floats:
    """Centre lines (N, segments + 1, 3): combed, pulled down, kept out of the head and face."""
    side = np.where(roots[:, 0] * 90 + rng.normal(0, 1.5, len(roots)) > style.part, 1.0, -1.0)
    flow = _flow(rng, style, roots, side)
    if style.flow == "tie":
        flow = _knot_center(skull, style) - skull.center - roots * 90
    ahead = np.stack(
        [0.25 * roots[:, 0] + 0.12 * style.part / 28, 0.3 + 0 * length, -1 + 0 * length], 1
    )
    flow = np.where(fringe[:, None], ahead, flow)
    flow = flow / (np.linalg.norm(flow, axis=1, keepdims=True) + 1e-6)
    spread = np.where(fringe, 0.10, style.jitter)[:, None]
    flow = flow + spread * rng.normal(0, 0.6, flow.shape)
    flow += 0.5 * spread * np.sin(roots @ rng.normal(0, 7, (3, 3)) + rng.uniform(0, 6, 3))
    lift = np.where(fringe, 0.3, style.lift)[:, None]
    point = skull.center + roots * (skull.radius(roots, ears=False)[:, None] - 0.5)
    heading = roots * lift + _tangent(flow, roots) * (1 - 0.7 * lift)
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    forward = np.abs(angles(roots)[0]) + rng.normal(0, 6, len(roots)) < 96
    points = [point]
    tied = style.flow == "tie"
    for step in range(style.segments):
        t = (step + 1) / style.segments
        radial = point - skull.center
        radial /= np.linalg.norm(radial, axis=1, keepdims=True)
        if tied:
            toward = _knot_center(skull, style) - point
            toward /= np.linalg.norm(toward, axis=1, keepdims=True) + 1e-6
            flow = np.where(fringe[:, None], flow, toward)
        hold = 0.55 * (1 - t) + (0.25 if style.lift > 0.6 else 0.1)
        pull = DOWN * (style.gravity * (0.35 + t))
        comb = np.clip(1 - (point[:, 1:2] - skull.center[1] + 20) / 70, 0, 1)
        comb = comb if style.gravity > 0.5 else 1.0
        heading = hold * heading + (1 - hold) * (comb * _tangent(flow, radial) + pull)
        heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-6
        point = point + heading * (length / style.segments)[:, None]
        point = _keep_out(skull, style, point, layer, t, side, fringe, length)
        if style.covers_ears:
            point = _drape(point, forward)
        points.append(point)
    return np.stack(points, 1).astype(np.float32)


def _tangent(vectors: Floats, normals: Floats) -> Floats:
    """``vectors`` without their part along ``normals``, unit."""
    flat = vectors - normals * (vectors * normals).sum(-1, keepdims=True)
    return np.asarray(flat / (np.linalg.norm(flat, axis=-1, keepdims=True) + 1e-6))


def _keep_out(
    skull: Skull,
    style: Style,
    point: Floats,
    layer: Floats,
    t: float,
    side: Floats,
    fringe: NDArray[np.bool_],
    length: Floats,
) -> Floats:
    """Push points (N, 3) out of the head, and aside from the face."""
    if style.covers_ears or style.wave:
        open_x = 57 + 7 * layer
        inside = open_x * np.sqrt(np.clip(1 - ((point[:, 1] - 8) / 106) ** 2, 0, 1))
        weight = np.clip((72 - point[:, 2]) / 25, 0, 1) * ~fringe
        aside = np.where(point[:, 1] > -75, np.where(point[:, 0] < 0, -1.0, 1.0), side)
        short = np.clip(inside - aside * point[:, 0], 0, 0.8 * length / style.segments)
        point = point + (aside * short * weight)[:, None] * np.array([1.0, 0, 0])
    offset = point - skull.center
    distance = np.linalg.norm(offset, axis=1)
    unit = (offset / distance[:, None]).astype(np.float32)
    rise = min(t / 0.4, 1.0)
    clear = 1.0 + (np.where(fringe, 5.0, style.volume) * layer + 1.0) * rise
    floor = skull.radius(unit, ears=style.covers_ears) + clear
    kept = np.maximum(distance, floor)
    if style.flow in ("tie", "back", "part"):  # lies on what is below
        loose = np.clip((offset[:, 1] - 5) / 40, 0, 1) if style.flow == "part" else 0.0
        kept += (floor - kept) * 0.5 * (1 - loose)
    return np.asarray(skull.center + unit * kept[:, None])


def _drape(point: Floats, forward: NDArray[np.bool_]) -> Floats:
    """Long hair falls before or behind the shoulders."""
    low = np.clip((point[:, 1] - 75) / 75, 0, 1)
    depth = np.where(
        forward, np.minimum(point[:, 2], 85 - 62 * low), np.maximum(point[:, 2], 130 + 45 * low)
    )
    return np.stack([point[:, 0], point[:, 1], np.where(low > 0, depth, point[:, 2])], 1)


def _cut(lines: Floats, stop: Floats) -> Floats:
    """Shorten lines to where they first come below the height ``stop`` (N,)."""
    count, points = lines.shape[:2]
    below = lines[..., 1] > stop[:, None]
    first = np.where(below.any(1), below.argmax(1), points - 1).clip(1)
    row = np.arange(count)
    y0, y1 = lines[row, first - 1, 1], lines[row, first, 1]
    part = np.where(below.any(1), np.clip((stop - y0) / np.maximum(y1 - y0, 1e-3), 0, 1), 1)
    at = (first - 1 + part)[:, None] * np.linspace(0, 1, points)
    low = np.minimum(at.astype(int), points - 2)
    mix = (at - low)[..., None]
    row = row[:, None]
    return np.asarray(lines[row, low] * (1 - mix) + lines[row, low + 1] * mix)


def _wave(
    rng: np.random.Generator, lines: Floats, center: Floats, style: Style, length: Floats
) -> Floats:
    """Lines wound into waves or curls, less near the roots."""
    count, points = lines.shape[:2]
    run = np.linalg.norm(np.diff(lines, axis=1), axis=2).sum(1)
    t = np.linspace(0, 1, points)
    phase = rng.normal(0, 0.8, (count, 1)) + rng.uniform(0, 6)
    turns = 2 * np.pi * t * (run / (style.wavelength * rng.uniform(0.8, 1.25, count)))[:, None]
    size = style.wave * rng.uniform(0.6, 1.3, (count, 1)) * np.clip(t / 0.4, 0, 1)
    size = size * np.minimum(length / 90, 1)[:, None]
    tangent = np.gradient(lines, axis=1)
    outward = _outward(lines, center)
    across = np.cross(tangent, outward)
    across /= np.linalg.norm(across, axis=2, keepdims=True) + 1e-6
    swing = size[..., None] * np.sin(turns + phase)[..., None] * across
    bulge = 0.35 * size[..., None] * (1 + np.cos(turns + phase))[..., None] * outward
    return np.asarray(lines + swing + bulge)


def _outward(lines: Floats, center: Floats) -> Floats:
    """Unit normals (N, S, 3) of the mass of hair: a ball above, a cylinder below its middle."""
    offset = lines - center
    offset[..., 1] = np.where(offset[..., 1] > 0, 0.3 * offset[..., 1], offset[..., 1])
    return np.asarray(offset / (np.linalg.norm(offset, axis=2, keepdims=True) + 1e-6))


def _knot_center(skull: Skull, style: Style) -> Floats:
    """Where tied hair is gathered, head frame."""
    elevation = np.radians(style.tie[0])
    unit = np.array([0.0, -np.sin(elevation), np.cos(elevation)], np.float32)
    return skull.center + unit * (skull.radius(unit, ears=False) + 12)


def _knot(rng: np.random.Generator, skull: Skull, style: Style) -> Ribbons:
    """A bun, or the tail of tied hair."""
    knot = _knot_center(skull, style)
    unit = (knot - skull.center) / np.linalg.norm(knot - skull.center)
    tail = style.tie[1]
    t = np.linspace(0, 1, style.segments + 1)
    if tail:
        count = 60
        start = rng.normal(0, 1, (count, 3)) * 5
        side = _tangent(start, np.broadcast_to(unit, start.shape)) * rng.uniform(4, 26, (count, 1))
        swell = np.sin(np.pi * np.clip(t * 1.1, 0, 1)) ** 0.6
        arc = unit * 55 * np.sin(np.minimum(t * 2.2, np.pi / 2))[:, None]
        drop = DOWN * (tail * np.maximum(t - 0.08, 0) ** 1.1)[:, None]
        lines = knot + start[:, None] + side[:, None] * swell[None, :, None] + (arc + drop)[None]
        outward = np.broadcast_to(side[:, None], lines.shape) + 0.0
    else:
        count, radius = 150, rng.uniform(24, 36)
        axis = rng.normal(0, 1, (count, 3)) * (0.5, 0.5, 0.5) + unit
        axis /= np.linalg.norm(axis, axis=1, keepdims=True)
        first = _tangent(rng.normal(0, 1, (count, 3)), axis)
        second = np.cross(axis, first)
        angle = t[None] * rng.uniform(1.5, 3.0, (count, 1)) + rng.uniform(0, 6.3, (count, 1))
        flat = (
            np.cos(angle)[..., None] * first[:, None] + np.sin(angle)[..., None] * second[:, None]
        )
        tilt = rng.uniform(-0.7, 0.9, (count, 1, 1))
        outward = flat * np.sqrt(1 - tilt**2) + tilt * axis[:, None]
        lines = (
            knot + unit * radius * 0.6 + outward * radius * rng.uniform(0.85, 1.02, (count, 1, 1))
        )
    outward /= np.linalg.norm(outward, axis=2, keepdims=True)
    tint = np.clip(rng.normal(0.95, 0.15, count), 0.5, 1.4)[:, None] * np.ones(len(t))
    card = rng.integers(0, 2 * CARDS, count)
    width = rng.uniform(9, 15, count)
    return ribbons(
        lines.astype(np.float32), outward, width, rng.normal(0, 0.15, count), card, tint,
        np.full(count, -1),
    )  # fmt: skip
