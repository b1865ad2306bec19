"""Painted insides: rooms, offices, cars, and heaps of things that are not faces."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from train.synth.places import textures as tex
from train.synth.places.scenery import (
    SIDE,
    bokeh,
    ellipse,
    falloff,
    nature,
    paste,
    plain,
    rectangle,
    shadow,
    sky,
    street,
    textured,
)
from train.synth.places.textures import Image, Random, color, field, flat, mixed

Box = tuple[float, float, float, float]


def _shell(rng: Random, *, panels: bool) -> tuple[Image, Box]:
    """Floor, ceiling and walls around a back wall; its (x0, y0, x1, y1) px."""
    x0, x1 = rng.uniform(-0.3, 0.3) * SIDE, rng.uniform(0.7, 1.3) * SIDE
    y0, y1 = rng.uniform(-0.25, 0.2) * SIDE, rng.uniform(0.65, 0.95) * SIDE
    vx, vy = rng.uniform(x0, x1), rng.uniform(y0, y1)
    tint = color(rng, 0.2, 0.8)
    image = flat(SIDE, SIDE, tint)

    def out(x: float, y: float, by: float = 2.2) -> tuple[float, float]:
        return vx + (x - vx) * by, vy + (y - vy) * by

    wall = tex.plaster(rng, 320, 320)
    wall = wall if rng.random() < 0.75 else tex.bricks(rng, 320, 320)
    left, right = rng.uniform(0.5, 1.1, 2)
    a, b, c, d = (x0, y0), (x1, y0), (x1, y1), (x0, y1)
    paste(image, wall, [out(*a), a, d, out(*d)], left)
    paste(image, wall, [b, out(*b), out(*c), c], right)
    roof = flat(320, 320, color(rng, 0.5, 0.85, 0.03))
    if panels:
        for i in range(8):
            for j in range(8):
                if (i + j * 3) % 4 == 0:
                    cv2.rectangle(
                        roof, (40 * i, 40 * j), (40 * i + 38, 40 * j + 38), (2.5,) * 3, -1
                    )
        roof[::40] *= 0.6
        roof[:, ::40] *= 0.6
    paste(image, roof, [out(*a), out(*b), b, a])
    ground = (tex.wood, tex.checks, tex.plaster, tex.cloth)[int(rng.integers(4))](rng, 400, 400)
    paste(image, ground, [d, c, out(*c), out(*d)], 0.8)
    paste(image, wall, [a, b, c, d])
    for line in ([a, b], [a, d], [b, c]):  # light is lost in corners
        shadow(image, np.vstack([*line, np.add(line[1], 8), np.add(line[0], 8)]), 0.35, 14)
    skirting = rectangle(x0, y1 - 10, x1, y1)
    paste(image, flat(8, 8, color(rng, 0.1, 0.8, 0.05)), skirting)
    return image, (x0, y0, x1, y1)


def _box(rng: Random, image: Image, texture: Image, at: Box) -> None:
    """A piece of furniture: front, lighter top, dark foot and contact shadow."""
    x0, y0, x1, y1 = at
    depth = rng.uniform(5, 40)
    shadow(image, rectangle(x0 - 12, y0 + 15, x1 + 14, y1 + 12), 0.5, 16)
    paste(image, texture, rectangle(x0, y0, x1, y1), rng.uniform(0.5, 0.9))
    slant = rng.uniform(-20, 20)
    corners = [(x0 + slant, y0 - depth), (x1 + slant, y0 - depth), (x1, y0), (x0, y0)]
    paste(image, texture, corners, 1.15)
    shadow(image, rectangle(x0, y1 - 6, x1, y1 + 8), 0.6, 7)


def _shelf(rng: Random, image: Image, at: Box) -> None:
    """Boards with books, binders and boxes."""
    x0, y0, x1, y1 = at
    board = color(rng, 0.05, 0.6, 0.2)
    shadow(image, rectangle(x0 - 6, y0, x1 + 12, y1 + 10), 0.5, 12)
    paste(image, flat(8, 8, board * 0.35), rectangle(x0, y0, x1, y1))
    rows = int(rng.integers(2, 6))
    tall = (y1 - y0) / rows
    for row in range(rows):
        floor = y0 + (row + 1) * tall
        x = x0 + 4
        while x < x1 - 8:
            wide, high = rng.uniform(4, 26), tall * rng.uniform(0.45, 0.9)
            if rng.random() < 0.82:
                tint = color(rng, 0.04, 0.7, rng.uniform(0, 0.8))
                spine = flat(30, 8, tint) * np.sin(np.linspace(0.6, 2.6, 8))[None, :, None]
                if rng.random() < 0.5:
                    spine[5:9] = color(rng)
                lean = rng.uniform(-3, 3) if rng.random() < 0.2 else 0.0
                right = min(x + wide, x1)
                corners = [(x + lean, floor - high), (right + lean, floor - high)]
                paste(image, spine.astype(np.float32), [*corners, (right, floor), (x, floor)])
            x += wide + 0.5
        paste(image, flat(8, 8, board), rectangle(x0, floor - 4, x1, floor + 3))
        shadow(image, rectangle(x0, floor + 3, x1, floor + 14), 0.5, 6)


def _window(rng: Random, image: Image, at: Box) -> None:
    """Daylight with a frame, bars, and curtains or blinds."""
    x0, y0, x1, y1 = at
    view = (sky, nature, street)[int(rng.integers(3))](rng)
    paste(image, view[80:560, 80:560], rectangle(x0, y0, x1, y1), rng.uniform(1.0, 3.0))
    frame = flat(8, 8, color(rng, 0.2, 0.85, 0.05))
    bars = int(rng.integers(1, 4))
    for k in range(bars + 1):
        x = x0 + (x1 - x0) * k / bars
        paste(image, frame, rectangle(x - 5, y0 - 5, x + 5, y1 + 5))
    for y in (y0, y1):
        paste(image, frame, rectangle(x0 - 5, y - 5, x1 + 5, y + 5))
    if rng.random() < 0.4:
        slat = rng.uniform(6, 16)
        for y in np.arange(y0, y0 + (y1 - y0) * rng.uniform(0.3, 1.0), slat):
            paste(image, frame, rectangle(x0, y, x1, y + slat * rng.uniform(0.4, 0.6)), 1.3)
    elif rng.random() < 0.6:
        drape = tex.cloth(rng, 200, 80)
        for x in (x0 - 20, x1 - 30):
            paste(image, drape, rectangle(x, y0 - 15, x + rng.uniform(40, 80), y1 + 60))


def _hung(rng: Random, image: Image, at: Box) -> None:
    """A framed picture, poster or note with its shadow."""
    x0, y0, x1, y1 = at
    shadow(image, rectangle(x0 + 3, y0 + 5, x1 + 6, y1 + 8), 0.45, 6)
    paste(image, flat(8, 8, color(rng, 0.02, 0.7, 0.2)), rectangle(x0, y0, x1, y1))
    edge = rng.uniform(2, 12)
    art = tex.painting if rng.random() < 0.7 else tex.text
    paste(image, art(rng, 120, 120), rectangle(x0 + edge, y0 + edge, x1 - edge, y1 - edge))


def _door(rng: Random, image: Image, at: Box) -> None:
    x0, y0, x1, y1 = at
    tint = color(rng, 0.08, 0.8, 0.15)
    paste(image, flat(8, 8, tint * 1.15), rectangle(x0 - 9, y0 - 9, x1 + 9, y1))
    grain = tex.wood(rng, 120, 80) if rng.random() < 0.4 else flat(120, 80, tint)
    paste(image, grain, rectangle(x0, y0, x1, y1))
    for k in range(int(rng.integers(0, 4))):
        top = y0 + (y1 - y0) * (0.06 + 0.31 * k)
        low = top + (y1 - y0) * 0.25
        for grow, shade in ((0, 0.6), (3, 1.05)):
            c = rectangle(x0 + 15 + grow, top + grow, x1 - 15, low)
            paste(image, flat(8, 8, tint), c, shade)
    ellipse(image, (x0 + 10, (y0 + y1) / 2), (4, 6), 0, (0.5, 0.45, 0.3))


def room(rng: Random) -> Image:
    """A furnished room at home."""
    image, (x0, y0, x1, y1) = _shell(rng, panels=False)
    x = x0 + rng.uniform(0, 40)
    while x < x1 - 60:
        wide = rng.uniform(60, 240)
        kind = rng.integers(6)
        tall = rng.uniform(0.25, 0.5) * (y1 - y0)
        top = y0 + rng.uniform(0.1, 0.3) * (y1 - y0)
        if kind == 0:
            _shelf(rng, image, (x, y1 - tall * 1.7, x + wide, y1))
        elif kind == 1:
            _window(rng, image, (x, top, x + wide, top + tall * 1.3))
        elif kind == 2:
            _door(rng, image, (x, y1 - 0.75 * (y1 - y0), x + min(wide, 130), y1))
        elif kind < 5:
            _hung(rng, image, (x, top, x + wide * 0.6, top + tall * rng.uniform(0.4, 1)))
        x += wide + rng.uniform(5, 90)
    for _ in range(int(rng.integers(0, 4))):
        wide, tall = rng.uniform(80, 300), rng.uniform(50, 190)
        left, low = rng.uniform(-0.1, 0.9) * SIDE, y1 + rng.uniform(0, 60)
        cover = (tex.cloth, tex.wood, tex.plaster)[int(rng.integers(3))](rng, 160, 200)
        _box(rng, image, cover, (left, low - tall, left + wide, low))
    if rng.random() < 0.5:  # a lamp and its glow
        at = rng.uniform(0.1, 0.9, 2) * (SIDE, 0.6 * SIDE)
        y, x = np.mgrid[0:SIDE, 0:SIDE]
        glow = np.exp(-np.hypot(x - at[0], y - at[1]) / rng.uniform(30, 120))[..., None]
        image = image * (1 + 2.5 * glow * np.array([1.1, 0.9, 0.6])).astype(np.float32)
        shade = [(-22, 0), (22, 0), (36, 50), (-36, 50)]
        paste(image, flat(8, 8, np.array([2.2, 1.7, 1.0], "f4")), np.array(shade) + at)
    return np.asarray(image * falloff(rng), np.float32)


def office(rng: Random) -> Image:
    """Desks with monitors, shelves with binders, blinds, lit panels in the ceiling."""
    image, (x0, y0, x1, y1) = _shell(rng, panels=rng.random() < 0.8)
    for _ in range(int(rng.integers(1, 4))):
        x, top = rng.uniform(x0, x1 - 80), y0 + rng.uniform(0.08, 0.3) * (y1 - y0)
        at = (x, top, x + rng.uniform(80, 300), top + rng.uniform(80, 220))
        (_window, _hung, _shelf)[int(rng.integers(3))](rng, image, at)
    for _ in range(int(rng.integers(1, 6))):
        x, low = rng.uniform(-40, SIDE), y1 + rng.uniform(-60, 80)
        wide = rng.uniform(60, 170)
        tall = wide * rng.uniform(0.55, 0.7)
        desk = (x - 60, low, x + wide + rng.uniform(20, 150), low + rng.uniform(40, 90))
        _box(rng, image, tex.wood(rng, 60, 200), desk)
        paste(
            image, flat(8, 8, color(rng, 0.02, 0.3, 0.03)), rectangle(x, low - tall, x + wide, low)
        )
        page = tex.text(rng, 140, 200) if rng.random() < 0.6 else tex.painting(rng, 140, 200)
        lit = rng.uniform(0.6, 1.8) if rng.random() < 0.7 else 0.05
        paste(image, page, rectangle(x + 4, low - tall + 4, x + wide - 4, low - 14), lit)
    for _ in range(int(rng.integers(0, 3))):  # chairs
        x, y, size = rng.uniform(0, SIDE), y1 + rng.uniform(-40, 60), rng.uniform(30, 90)
        tint = color(rng, 0.01, 0.2)
        ellipse(image, (x, y - size), (0.55 * size, 0.75 * size), 0, tint)
        ellipse(image, (x - 4, y - size - 4), (0.45 * size, 0.65 * size), 0, tint * 1.4)
        cv2.line(image, (int(x), int(y - 10)), (int(x), int(y + size)), (0.02,) * 3, 6)
    return np.asarray(image * (0.4 + 0.6 * falloff(rng, 0.5)), np.float32)


def car_interior(rng: Random) -> Image:
    """Rear seats and head rests, pillars, and windows with the road passing by."""
    outside = (street if rng.random() < 0.6 else nature)(rng)
    streak = int(rng.integers(1, 50))
    outside = cv2.blur(outside, (streak, 1)) * np.float32(rng.uniform(0.6, 3))
    trim = tex.plaster(rng, SIDE, SIDE)
    trim = trim / trim.mean() * color(rng, 0.01, 0.25, 0.1)
    image = trim * falloff(rng)
    top, low = rng.uniform(0.05, 0.25) * SIDE, rng.uniform(0.5, 0.7) * SIDE
    cuts = np.sort(rng.uniform(-0.1, 1.1, int(rng.integers(3, 6)))) * SIDE
    cover = np.zeros((SIDE, SIDE), np.float32)
    for a, b in pairwise(cuts):
        lean = rng.uniform(-40, 40)
        pane = [(a + 22 + lean, top), (b - 22 + lean, top), (b - 14, low), (a + 14, low)]
        cv2.fillPoly(cover, [np.array(pane, np.int32)], 1.0, cv2.LINE_AA)
    soft = cv2.GaussianBlur(cover, (0, 0), 5)
    cover = np.clip((soft - 0.5) * 5 + 0.5, 0, 1)  # rounds the corners
    image = mixed(image.astype(np.float32), outside, cover)
    fabric = tex.cloth(rng, 300, 200)
    fabric = fabric / fabric.mean() * color(rng, 0.01, 0.4)
    for x in np.arange(rng.uniform(-0.1, 0.3), 1.2, rng.uniform(0.35, 0.6)) * SIDE:
        wide, back = rng.uniform(90, 150), low + rng.uniform(-30, 50)
        mask = np.zeros((SIDE, SIDE), np.float32)
        seat = [
            (x - wide * 0.8, back),
            (x + wide * 0.8, back),
            (x + wide, SIDE + 9),
            (x - wide, SIDE + 9),
        ]
        cv2.fillPoly(mask, [np.array(seat, np.int32)], 1.0)
        rest = rectangle(x - wide * 0.42, back - 95, x + wide * 0.42, back - 18).astype(np.int32)
        cv2.fillPoly(mask, [rest], 1.0)
        mask = np.clip((cv2.GaussianBlur(mask, (0, 0), 10) - 0.5) * 6 + 0.5, 0, 1)
        for post in (-0.2, 0.2):
            at = int(x + post * wide)
            cv2.line(image, (at, int(back - 30)), (at, int(back + 10)), (0.3, 0.3, 0.3), 5)
        rim = cv2.GaussianBlur(mask, (0, 0), 12)
        image = image * (1 - 0.5 * rim * (1 - mask))[..., None]
        skin = cv2.resize(fabric, (SIDE, SIDE)) * (0.35 + 0.9 * rim**2)[..., None]
        image = mixed(image, skin.astype(np.float32), mask)
        for seam in (-0.45, 0.45):
            a, b = (int(x + seam * wide), int(back + 15)), (int(x + seam * wide * 1.2), SIDE)
            cv2.line(image, a, b, (0.01, 0.01, 0.01), 2, cv2.LINE_AA)
    return np.asarray(image, np.float32)


def _ball(rng: Random, image: Image, at: Image, size: float, tint: Image) -> None:
    """A shaded solid ellipsoid with its shadow: ball, fruit, head without a face."""
    shadow(
        image,
        cv2.ellipse2Poly(
            (int(at[0] + size * 0.2), int(at[1] + size * 0.7)),
            (int(size), int(size * 0.5)),
            0,
            0,
            360,
            20,
        ),
        0.5,
        size / 4,
    )
    low, high = np.floor(at - size - 2).astype(int), np.ceil(at + size + 2).astype(int)
    low, high = np.maximum(low, 0), np.minimum(high, SIDE)
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    stretch, turn = rng.uniform(0.65, 1.0), rng.uniform(-0.5, 0.5)
    u = ((x - at[0]) * np.cos(turn) + (y - at[1]) * np.sin(turn)) / size / stretch
    v = ((y - at[1]) * np.cos(turn) - (x - at[0]) * np.sin(turn)) / size
    r2 = u * u + v * v
    n = np.sqrt(np.maximum(0, 1 - r2))
    sun = rng.normal(0, 0.5, 2)
    light = np.clip((n - u * sun[0] - v * abs(sun[1])) / np.hypot(1, np.hypot(*sun)), 0.04, 1)
    gloss = rng.uniform(0, 0.6) * np.exp(-((u + 0.35) ** 2 + (v + 0.4) ** 2) * 30)
    spots = np.exp(rng.uniform(0, 0.3) * field(rng, *x.shape, cells=rng.uniform(2, 6)))
    solid = tint * ((light + 0.12) * spots)[..., None] + gloss[..., None]
    area = image[low[1] : high[1], low[0] : high[0]]
    area[:] = mixed(area, solid.astype(np.float32), np.clip((1 - r2) * size / 3, 0, 1))


def _sign_of_face(rng: Random, image: Image, at: Image, size: float) -> None:
    """Two dots and a bar in some outline: sockets, knobs, headlights, drawn faces."""
    tint, ink = color(rng, 0.1, 0.8), color(rng, 0.01, 0.5)
    if rng.random() < 0.5:
        ellipse(image, at, (size * rng.uniform(0.7, 1), size), 0, tint)
    else:
        paste(
            image,
            flat(8, 8, tint),
            rectangle(at[0] - size, at[1] - size, at[0] + size, at[1] + size),
        )
    apart, dot = rng.uniform(0.25, 0.55) * size, rng.uniform(0.06, 0.2) * size
    for side in (-1, 1):
        ellipse(image, (at[0] + side * apart, at[1] - 0.25 * size), (dot, dot), 0, ink)
    if rng.random() < 0.7:
        y = at[1] + rng.uniform(0.2, 0.55) * size
        a, b = (int(at[0] - apart), int(y)), (int(at[0] + apart), int(y))
        cv2.line(image, a, b, ink.tolist(), max(1, int(dot)), cv2.LINE_AA)


def _clock(rng: Random, image: Image, at: Image, size: float) -> None:
    ring, dial, hand = color(rng), color(rng, 0.4, 0.9, 0.1), color(rng, 0.01, 0.1)
    shadow(
        image,
        cv2.ellipse2Poly((int(at[0] + 4), int(at[1] + 6)), (int(size), int(size)), 0, 0, 360, 20),
        0.4,
        6,
    )
    ellipse(image, at, (size, size), 0, ring)
    ellipse(image, at, (0.88 * size,) * 2, 0, dial)
    for k in range(12):
        d = np.array([np.sin(k * np.pi / 6), -np.cos(k * np.pi / 6)]) * size
        ellipse(image, at + 0.75 * d, (0.05 * size,) * 2, 0, hand)
    for reach in (0.5, 0.7):
        angle = rng.uniform(0, 2 * np.pi)
        end = at + reach * size * np.array([np.sin(angle), np.cos(angle)])
        a, b = (int(at[0]), int(at[1])), (int(end[0]), int(end[1]))
        cv2.line(image, a, b, hand.tolist(), max(1, int(size / 14)), cv2.LINE_AA)


def clutter(rng: Random) -> Image:
    """Things that a hasty eye takes for faces: balls, blobs of skin's colour, clocks, dots."""
    image = (plain, textured, room, bokeh)[int(rng.choice(4, p=[0.35, 0.35, 0.2, 0.1]))](rng)
    for _ in range(int(rng.integers(8, 26))):
        at = rng.uniform(0, SIDE, 2).astype(np.float32)
        size = float(np.exp(rng.uniform(np.log(9), np.log(110))))
        kind = rng.random()
        skin = color(rng, 0.08, 0.5, 0.0) * np.array([1.35, 0.9, 0.68], np.float32)
        if kind < 0.3:
            _ball(rng, image, at, size, skin if rng.random() < 0.6 else color(rng))
        elif kind < 0.5:
            _sign_of_face(rng, image, at, size)
        elif kind < 0.6:
            _clock(rng, image, at, size)
        elif kind < 0.72:  # limbs and fingers
            for k in range(int(rng.integers(1, 6))):
                root = at + (k * size * 0.35, 0)
                tip = root + rng.normal(0, 0.3, 2) * size + (0, -size)
                a, b = (int(root[0]), int(root[1])), (int(tip[0]), int(tip[1]))
                thick = max(2, int(size * 0.3))
                for narrow, shade in ((1.0, 0.75), (0.75, 1.0), (0.35, 1.15)):
                    cv2.line(
                        image,
                        a,
                        b,
                        (skin * shade).tolist(),
                        max(1, int(thick * narrow)),
                        cv2.LINE_AA,
                    )
        elif kind < 0.86:
            pattern = tex.TEXTURES[int(rng.integers(len(tex.TEXTURES)))](rng, 128, 128)
            corners = rectangle(-1, -1, 1, 1) * size * rng.uniform(0.5, 1.3, 2) + at
            corners = corners + rng.normal(0, 0.15 * size, (4, 2))
            shadow(image, corners + (3, 6), 0.4, 8)
            paste(image, pattern, corners)
        else:
            for k in range(int(rng.integers(1, 7))):  # rings, cups, wheels
                ellipse(image, at, np.array([1.0, 0.8]) * size / (k + 1), 20, color(rng))
    return np.asarray(image * (0.5 + 0.5 * falloff(rng)), np.float32)
