"""One person's skin, painted on the unwrapped face: its colour, its relief and its gloss.

Skin is described by what is in it, melanin and blood (:mod:`~train.synth.figure.skin_optics`), as
maps of
natural logarithms of volume fractions; what lies on it (brows, make-up, beard roots) is laid over
the colour (:mod:`~train.synth.figure.skin_marks`).  Each thing draws from a stream of its own and
draws
the same numbers whether or not its factor is on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.figure import skin_marks as marks
from train.synth.figure.facekit import FaceKit
from train.synth.figure.skin_atlas import (
    COARSE_PX,
    MIDDLE,
    TEXTURE_PX,
    Bytes,
    Floats,
    SkinAtlas,
    stroke,
)
from train.synth.figure.skin_lids import lid_edges, paint_lids
from train.synth.figure.skin_optics import (
    BLOOD_RANGE,
    MELANIN_RANGE,
    TABLE_STEPS,
    look_up,
    skin_rgb,
    skin_table,
)

MakeRng = Callable[[str], np.random.Generator]

LIGHT_MELANIN = (0.008, 0.085)
DARK_MELANIN = (0.085, 0.42)
"""Volume fractions; the two ranges meet, so that no tone of skin is left out."""


@dataclass(frozen=True, slots=True)
class Skin:
    """What is painted for one person.  Texture row 0 is v = 0."""

    albedo: NDArray[np.uint8]
    """(768, 768, 3) RGB, sRGB-like: a power of 1/2.2 of linear light."""
    relief: NDArray[np.uint8]
    """(768, 768, 2): height (128 flat, pores and wrinkles below) and gloss (0 matt to 255)."""
    base_color: NDArray[np.float32]
    """(3,) linear: the person's typical skin, for what the texture does not cover."""


@dataclass(slots=True)
class _Layers:
    """A skin in the making; logarithms of volume fractions, (768, 768)."""

    melanin: Floats
    blood: Floats
    groove: Floats
    """(768, 768) depth of lines, 0 to 1."""


class SkinPainter:
    """Paints skins for one :class:`FaceKit`."""

    def __init__(self, kit: FaceKit) -> None:
        self.atlas = SkinAtlas(kit)
        self._lid_edges = lid_edges(self.atlas)
        self._table = np.ascontiguousarray(255.0 * skin_table() ** np.float32(1 / 2.2))

    def paint(
        self, streams: MakeRng, on: Mapping[str, bool], *, hair_color: NDArray[np.floating]
    ) -> Skin:
        """Paint one person's skin; ``on`` holds the factors, ``hair_color`` (3,) is linear."""
        hair = np.asarray(hair_color, np.float32)
        tone = _Tone(streams("skin tone"), dark=on["dark_skin"])
        layers = self._maps(streams, on, tone)
        self._spots(streams, on, layers, tone)
        lips = self._lips(streams("lips"), layers, tone)
        image = self._colors(layers, tone)
        self._shades(on, image, layers, tone, lips)
        self._lipstick(streams("lipstick"), on, image, lips)
        self._beard(streams, on, image, hair, tone)
        if on["eye_shadow"]:
            marks.paint_eye_make_up(streams("eye shadow"), self.atlas, image)
        fold = paint_lids(streams, self.atlas, image, tired=on["dark_circles"])
        x, y, w, h = marks.EYE_BOX
        layers.groove[y : y + h, x : x + w] += 0.8 * fold
        thick = on["thick_eyebrows"]
        brows = marks.paint_brows(streams("brows"), self.atlas, image, hair, thick=thick)
        return Skin(
            albedo=np.asarray(cv2.convertScaleAbs(image), np.uint8),
            relief=_matt(self._relief(streams, on, layers, lips), brows),
            base_color=tone.color(),
        )

    # -- what is in the skin ------------------------------------------------------------------

    def _maps(self, streams: MakeRng, on: Mapping[str, bool], tone: _Tone) -> _Layers:
        masks = self.atlas.masks
        melanin = np.full((COARSE_PX, COARSE_PX), tone.melanin, np.float32)
        blood = np.full((COARSE_PX, COARSE_PX), tone.blood, np.float32)
        rng = streams("blotches")
        for cells, dm, db in ((7, 0.06, 0.08), (19, 0.05, 0.10), (48, 0.04, 0.09)):
            melanin += _coarse_noise(rng, cells) * dm * rng.uniform(0.5, 1.4)
            blood += _coarse_noise(rng, cells) * db * rng.uniform(0.5, 1.6)
        rng = streams("regions")
        melanin += masks["forehead"] * rng.uniform(-0.05, 0.22) - masks["cheeks"] * rng.uniform(
            0, 0.12
        )
        melanin += masks["perioral"] * rng.uniform(0, 0.12 + 0.25 * tone.depth)
        melanin += masks["socket"] * rng.uniform(0.0, 0.12 + 0.2 * tone.depth)
        melanin += masks["upper_lid"] * rng.uniform(-0.1, 0.25)
        melanin += masks["neck"] * rng.uniform(-0.1, 0.15)
        blood += masks["cheeks"] * rng.uniform(0.1, 0.6) + masks["nose"] * rng.uniform(0.15, 0.7)
        blood += masks["ears"] * rng.uniform(0.2, 0.9) + masks["chin"] * rng.uniform(0, 0.35)
        blood += masks["upper_lid"] * rng.uniform(0.1, 0.7) - masks["forehead"] * rng.uniform(
            0, 0.15
        )
        blood += masks["alar_crease"] * rng.uniform(0.2, 0.8)
        blood += masks["inner_corner"] * rng.uniform(0.1, 0.6)
        self._red_cheeks(streams("red cheeks"), on["red_cheeks"], blood)
        self._dark_circles(streams("dark circles"), on["dark_circles"], melanin, blood, tone)
        blood += masks["nostrils"] * 0.8
        return _Layers(_enlarged(melanin), _enlarged(blood), self._wrinkles(streams, on))

    def _red_cheeks(self, rng: np.random.Generator, shown: bool, blood: Floats) -> None:
        cheeks, nose, ears = rng.uniform(1.0, 1.6), rng.uniform(0.4, 1.2), rng.uniform(0.2, 0.9)
        patchy = 1 + 0.25 * _coarse_noise(rng, 30)
        if shown:
            masks = self.atlas.masks
            flush = cheeks * masks["cheeks"] + nose * masks["nose"] + ears * masks["ears"]
            blood += flush * np.clip(patchy, 0.3, 1.6)

    def _dark_circles(
        self, rng: np.random.Generator, shown: bool, melanin: Floats, blood: Floats, tone: _Tone
    ) -> None:
        brown, red = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.8)
        amount = (1.0 if shown else 0.15) * (1 - 0.45 * tone.depth)  # less is seen on dark skin
        masks = self.atlas.masks
        melanin += (masks["tear_trough"] + 0.35 * masks["socket"]) * (amount * brown)
        blood += (masks["tear_trough"] + 0.4 * masks["inner_corner"]) * (amount * red)

    def _wrinkles(self, streams: MakeRng, on: Mapping[str, bool]) -> Floats:
        rng = streams("wrinkles")
        lines = marks.wrinkle_lines(rng)
        strength = rng.uniform(0.75, 1.0) if on["wrinkles"] else rng.uniform(0.04, 0.16)
        layer = np.zeros((TEXTURE_PX, TEXTURE_PX), np.uint8)
        for points, depth, thickness in lines:
            for part, share in ((points, 0.55), (points[4:-4], 1.0)):  # shallow at its ends
                place = part + np.array([MIDDLE, 0], np.float32)
                stroke(layer, place, 255 * depth * share, thickness)
        sharp = cv2.GaussianBlur(layer, (0, 0), 0.9)
        soft = cv2.GaussianBlur(layer, (0, 0), 3.0)
        groove = cv2.addWeighted(sharp, 0.8, soft, 1.0, 0)
        return groove.astype(np.float32) * np.float32(strength / 255)

    def _spots(
        self, streams: MakeRng, on: Mapping[str, bool], layers: _Layers, tone: _Tone
    ) -> None:
        """Freckles, moles and sun spots (melanin); spots and small veins (blood)."""
        rng = streams("freckles")
        count, dark = int(rng.integers(450, 950)), rng.uniform(1.2, 2.0)
        place = self._places(rng, self.atlas.masks["freckled"] ** 1.5, 960)
        radius, shade = rng.gamma(5.0, 0.25, 960), rng.uniform(0.3, 1.0, 960)
        if on["freckles"]:
            spots = _dots(place[:count], radius[:count], shade[:count], blur=0.8)
            layers.melanin += spots * np.float32(dark * (1.0 - 0.45 * tone.depth))
        everywhere = np.maximum(1.0 - self.atlas.masks["neck"], 0.3)
        rng = streams("moles")
        count = int(rng.poisson(4.0))
        place = self._places(rng, everywhere, 16)
        moles = _dots(place[:count], rng.uniform(1.0, 2.6, 16), rng.uniform(0.5, 1, 16), blur=0.7)
        layers.melanin += moles * np.float32(1.9)
        rng = streams("sun spots")
        count = int(rng.poisson(5.0)) if on["old"] else 0
        place = self._places(rng, everywhere, 24)
        suns = _dots(place[:count], rng.uniform(3, 8, 24), rng.uniform(0.3, 1, 24), blur=1.8)
        layers.melanin += suns * np.float32(0.6)
        rng = streams("pimples")
        count = int(rng.poisson(2.0) if rng.random() > 0.18 else rng.integers(15, 50))
        place = self._places(rng, np.maximum(self.atlas.masks["porous"], 0.15), 60)
        sore = _dots(place[:count], rng.gamma(3.0, 0.8, 60), rng.uniform(0.2, 1, 60), blur=1.5)
        layers.blood += sore * np.float32(1.1)

    def _places(self, rng: np.random.Generator, density: Floats, count: int) -> Floats:
        """(count, 2) texels, spread as the coarse ``density`` says."""
        total = np.cumsum(density.ravel(), dtype=np.float64)
        cell = np.searchsorted(total, rng.uniform(0, total[-1], count))
        at = np.stack([cell % COARSE_PX, cell // COARSE_PX], 1) * (TEXTURE_PX // COARSE_PX)
        return np.asarray(at + rng.uniform(0, 4, (count, 2)), np.float32)

    def _lips(self, rng: np.random.Generator, layers: _Layers, tone: _Tone) -> Floats:
        """Make the lips' skin; returns the vermilion (h, w) over ``LIP_BOX``."""
        x, y, w, h = marks.LIP_BOX
        box = np.s_[y : y + h, x : x + w]
        lips = self.atlas.lips[box]
        red, brown = rng.uniform(1.1, 1.9), rng.uniform(0.5, 1.0)
        thin = rng.uniform(0.35, 0.6)
        # Less melanin than the skin around on light people; hardly less, or more, on dark ones.
        melanin = np.log(0.02) + (tone.melanin - np.log(0.02)) * (
            1 - thin * (1.1 - 0.75 * tone.depth)
        )
        upper = np.float32(0.25 * tone.depth + 0.1) * _ramp(h, y, 338, 362)[:, None]
        layers.melanin[box] += lips * (melanin + upper - layers.melanin[box])
        layers.blood[box] += lips * (
            tone.blood * 0.4 + np.log(0.03) * 0.6 + red - layers.blood[box]
        )
        columns = cv2.resize(
            rng.normal(0, 1, (9, 130)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC
        )
        lines = lips * np.clip(columns - 0.1, 0, 1.2)
        layers.groove[box] += lines * np.float32(rng.uniform(0.06, 0.2))
        edge = np.clip(4 * lips * (1 - lips), 0, 1)
        layers.melanin[box] += edge * np.float32(0.25 * brown * tone.depth)
        layers.blood[box] += lips * (0.10 * columns)
        return lips

    def _colors(self, layers: _Layers, tone: _Tone) -> Floats:
        """The texture (768, 768, 3), encoded, of the maps and the fine grain of skin."""
        atlas, rng = self.atlas, tone.grain
        porous = _enlarged(0.25 + 0.75 * atlas.masks["porous"])
        mottle = _window(atlas.mottle, rng)
        porous *= _window(atlas.pores, rng)
        layers.melanin += mottle * np.float32(rng.uniform(0.02, 0.06))
        layers.melanin -= porous * np.float32(rng.uniform(0.015, 0.05))
        layers.blood += _window(atlas.mottle, rng) * np.float32(rng.uniform(0.05, 0.14))
        layers.blood -= _window(atlas.grain, rng) * np.float32(rng.uniform(0.02, 0.06))
        for logs, (low, high) in ((layers.melanin, MELANIN_RANGE), (layers.blood, BLOOD_RANGE)):
            logs -= np.float32(np.log(low))
            logs *= np.float32((TABLE_STEPS - 1) / np.log(high / low))
        image = look_up(self._table, layers.melanin, layers.blood)
        image *= tone.cast ** np.float32(1 / 2.2)
        return image

    def _shades(
        self, on: Mapping[str, bool], image: Floats, layers: _Layers, tone: _Tone, lips: Floats
    ) -> None:
        """What melanin and blood near the surface do not tell: depth, veins and thin skin."""
        image *= 1.0 - layers.groove[..., None] * np.array([0.17, 0.23, 0.25], np.float32)
        image *= 1.0 - _enlarged(0.85 * self.atlas.masks["nostrils"])[..., None]
        trough = self.atlas.masks["tear_trough"] * (0.45 if on["dark_circles"] else 0.12)
        image *= 1.0 - _enlarged(trough)[..., None] * np.array([0.16, 0.15, 0.10], np.float32)
        x, y = marks.LIP_BOX[:2]
        marks.tint(image, lips * np.float32(1 - 0.6 * tone.depth), (1.0, 0.87, 0.90), x, y)

    # -- what is on the skin ------------------------------------------------------------------

    def _lipstick(
        self, rng: np.random.Generator, on: Mapping[str, bool], image: Floats, lips: Floats
    ) -> None:
        color, cover, _ = marks.lipstick(rng)
        if on["lipstick"]:
            x, y, w, h = marks.LIP_BOX
            part = image[y : y + h, x : x + w]
            grey = part.mean(-1, keepdims=True)
            # The lips' own lines show through, as light and dark.
            lit = np.clip(grey / cv2.blur(grey, (25, 25))[..., None], 0.75, 1.25)
            marks.blend(
                image, np.clip(1.4 * lips - 0.2, 0, 1) * np.float32(cover), color * lit, x, y
            )

    def _beard(
        self, streams: MakeRng, on: Mapping[str, bool], image: Floats, hair: Floats, tone: _Tone
    ) -> None:
        rng = streams("beard roots")
        shade, cover = rng.uniform(0.35, 0.8), rng.uniform(0.55, 1.0)
        shaven = rng.uniform(0.0, 0.12)
        patchy = 1 + 0.25 * _coarse_noise(rng, 9)
        window = _window(self.atlas.roots, rng)
        beard, moustache = self.atlas.masks["beard"], self.atlas.masks["moustache"]
        if on["stubble"] or on["beard"]:
            area = np.maximum(beard, moustache)
        elif on["moustache"]:
            area = moustache
        else:
            area, shade, cover = np.maximum(beard, moustache), shaven, 0.3 * shaven
            if on["feminine"]:
                return
        if on["beard"] or on["moustache"]:
            shade, cover = 0.55 + 0.4 * shade, 1.0
        dark = float(np.clip(1.15 - 1.6 * hair.mean(), 0.25, 1.0))  # fair roots hardly shade
        area = _enlarged(area * np.clip(patchy, 0.5, 1.25))
        marks.paint_roots(
            image, area, window, hair, shade=shade * dark * (1 - 0.3 * tone.depth), cover=cover
        )

    # -- relief and gloss ---------------------------------------------------------------------

    def _relief(
        self, streams: MakeRng, on: Mapping[str, bool], layers: _Layers, lips: Floats
    ) -> Bytes:
        atlas, rng = self.atlas, streams("relief")
        porous = _enlarged((0.35 + 0.65 * atlas.masks["porous"]) * rng.uniform(5, 15))
        height = porous * _window(atlas.pores, rng)
        height += _window(atlas.grain, rng) * np.float32(rng.uniform(1.5, 4.0))
        x, y, w, h = marks.LIP_BOX
        height[y : y + h, x : x + w] *= 1 - 0.8 * lips
        height -= layers.groove * np.float32(75)
        rng = streams("gloss")
        dull, oily, wet = rng.uniform(35, 70), rng.uniform(10, 50), rng.uniform(50, 110)
        shine = rng.uniform(70, 120)
        _, _, lipstick_gloss = marks.lipstick(streams("lipstick"))
        if on["shiny_skin"]:
            dull, oily = dull + 0.35 * shine, oily + shine
        gloss = _enlarged(dull + oily * atlas.masks["oily"])
        gloss *= 1 + 0.10 * _window(atlas.mottle, rng)
        x0, y0, w0, h0 = marks.EYE_BOX
        gloss[y0 : y0 + h0, x0 : x0 + w0] *= 1 - self._lid_edges
        glossy = dull + wet + (110 * lipstick_gloss if on["lipstick"] else 0.0)
        gloss[y : y + h, x : x + w] += lips * (glossy - gloss[y : y + h, x : x + w])
        # Numbers in the place of pictures, which OpenCV's types do not know.
        level: Any = 128.0
        zero: Any = 0.0
        both = [
            cv2.add(height, level, dtype=cv2.CV_8U),
            cv2.add(gloss, zero, dtype=cv2.CV_8U),
        ]
        return np.asarray(cv2.merge(both), np.uint8)


class _Tone:
    """The person's typical melanin and blood (logarithms), and a cast of colour all over."""

    def __init__(self, rng: np.random.Generator, *, dark: bool) -> None:
        low, high = np.log(DARK_MELANIN if dark else LIGHT_MELANIN)
        self.melanin = float(low + (high - low) * rng.random())
        self.blood = float(np.log(0.013) + rng.normal(0, 0.22))
        span = np.log(DARK_MELANIN[1] / LIGHT_MELANIN[0])
        self.depth = float((self.melanin - np.log(LIGHT_MELANIN[0])) / span)
        """0 for the lightest skin, 1 for the darkest."""
        # Carotene and bile pigments are not in the table: they take blue.
        yellow = 0.17 * max(0.0, 1 - 1.6 * self.depth) + rng.normal(0, 0.02)
        bright = rng.normal(1.12, 0.03)
        cast = bright * np.array([1.02 + 0.15 * yellow, 1.0, 1 - yellow])
        self.cast = np.asarray(cast, np.float32)
        self.grain = rng

    def color(self) -> Floats:
        """(3,) linear."""
        # Faces are redder than their base by what cheeks, nose and lids add.
        color = skin_rgb(np.exp(self.melanin + 0.04), np.exp(self.blood + 0.1))
        return np.asarray(np.clip(color.reshape(3) * self.cast, 0, 1), np.float32)


def _matt(relief: Bytes, covers: list[tuple[Floats, int, int]]) -> Bytes:
    """The relief, less glossy where hairs cover the skin."""
    for mask, x, y in covers:
        h, w = mask.shape
        gloss = relief[y : y + h, x : x + w, 1]
        gloss[:] = gloss * (1 - 0.85 * mask)
    return relief


def _coarse_noise(rng: np.random.Generator, cells: int) -> Floats:
    small = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(small, (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_CUBIC))


def _enlarged(coarse: NDArray[np.floating]) -> Floats:
    size = (TEXTURE_PX, TEXTURE_PX)
    large = cv2.resize(np.asarray(coarse, np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


def _window(tile: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """A random, randomly mirrored (768, 768) window of a larger tile."""
    x, y = rng.integers(0, len(tile) - TEXTURE_PX, 2)
    part = tile[y : y + TEXTURE_PX, x : x + TEXTURE_PX]
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


def _dots(
    places: Floats, radii: NDArray[np.floating], values: NDArray[np.floating], *, blur: float
) -> Floats:
    """(768, 768) soft round dots of these values (0 to 1)."""
    layer = np.zeros((TEXTURE_PX, TEXTURE_PX), np.uint8)
    for (x, y), radius, value in zip(places, radii, values, strict=False):
        center = (int(x * 16), int(y * 16))
        cv2.circle(layer, center, int(radius * 16), 255 * float(value), -1, cv2.LINE_AA, 4)
    if not len(places):
        return layer.astype(np.float32)
    return cv2.GaussianBlur(layer, (0, 0), blur).astype(np.float32) * np.float32(1 / 255)


def _ramp(count: int, start: int, low: float, high: float) -> Floats:
    """(count,) from 0 at row ``low`` to 1 at row ``high``, the first row being ``start``."""
    return np.asarray(
        np.clip((np.arange(start, start + count) - low) / (high - low), 0, 1), np.float32
    )
