"""How hair is worn: styles, the hairline, and natural colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from train.synth.streams import Streams

Floats = NDArray[np.float32]

EUMELANIN = np.array([0.419, 0.697, 1.37])
PHEOMELANIN = np.array([0.187, 0.4, 1.05])
"""Absorption (R, G, B) for one unit of each pigment (d'Eon et al., 2011, "An energy-conserving
hair reflectance model")."""

HAIRLINE_DEG = np.array(
    [
        [0, 42], [15, 42.5], [27, 41.5], [35, 39], [41, 34], [48, 25], [56, 16], [64, 9], [70, 3],
        [74, -5], [77, -19], [79, -24], [86, -27], [89, -18], [92, -9], [96, -5],
        [103, -6], [108, -14], [111, -26], [115, -36], [126, -47], [150, -53], [180, -55],
    ]
)  # fmt: skip
"""Azimuth from the front and elevation of the hairline about the centre of the skull, degrees:
forehead, temples, sideburns, around the ears, nape."""

GRID_DEG = 0.5
MM_PER_DEG = 1.6  # on a skull of 92 mm


@dataclass(frozen=True, slots=True)
class Style:
    """A way to wear hair.  Lengths in millimetres, shares in 0..1."""

    name: str
    top: float
    sides: float
    back: float
    flow: str  # crown, back, part, out, tie
    segments: int
    broad: int  # wide cards underneath
    fine: int  # narrow cards above
    width: float
    lift: float = 0.4  # how steeply hair leaves the scalp
    volume: float = 6.0  # clearance of the outermost layer
    gravity: float = 0.3
    jitter: float = 0.25  # spread of directions, radians
    wave: float = 0.0
    wavelength: float = 60.0
    covers_ears: bool = False
    cut: float | None = None  # height (head frame, y) at which all is cut
    part: float = 0.0  # x of the parting
    recede: float = 0.0  # degrees by which the temples have gone back
    thin: float = 0.0
    rim: bool = False  # hair at the sides and back only
    fringe: bool = False
    tie: tuple[float, float] = (0.0, 0.0)  # elevation of the knot, degrees; its tail's length


STYLES: dict[str, Style] = {
    style.name: style
    for style in (
        Style("buzz", 7, 5, 5, "crown", 2, 420, 950, 8, lift=0.8, volume=2, jitter=0.5),
        Style("crop", 26, 13, 14, "crown", 3, 300, 620, 10, lift=0.6, volume=7, jitter=0.4),
        Style("short sides", 42, 6, 7, "crown", 3, 300, 620, 10, lift=0.7, volume=12, jitter=0.35),
        Style("side parting", 85, 24, 26, "part", 5, 200, 340, 12, lift=0.5, volume=10, part=28),
        Style("slicked back", 105, 48, 50, "back", 5, 180, 340, 12, lift=0.35, volume=9,
              gravity=0.1, jitter=0.12),
        Style("spiky", 40, 14, 15, "out", 3, 300, 620, 9, lift=0.9, volume=18, gravity=0.05,
              jitter=0.4),
        Style("curls", 75, 42, 48, "out", 6, 190, 320, 13, lift=0.8, volume=20, gravity=0.35,
              jitter=0.9, wave=5.5, wavelength=36),
        Style("afro", 90, 75, 75, "out", 5, 200, 330, 17, lift=1.0, volume=34, gravity=0.04,
              jitter=1.1, wave=3.5, wavelength=30),
        Style("bob", 270, 230, 210, "part", 8, 100, 180, 14, lift=0.3, volume=14, gravity=0.9,
              jitter=0.12, covers_ears=True, cut=62),
        Style("long straight", 400, 370, 330, "part", 9, 100, 170, 13, lift=0.25, volume=12,
              gravity=0.9, jitter=0.1, covers_ears=True, cut=215),
        Style("long wavy", 420, 380, 340, "part", 15, 80, 130, 16, lift=0.3, volume=18,
              gravity=0.9, jitter=0.15, wave=6, wavelength=95, covers_ears=True, cut=200),
        Style("long curly", 400, 360, 320, "part", 15, 80, 130, 18, lift=0.5, volume=30,
              gravity=0.8, jitter=0.3, wave=10, wavelength=80, covers_ears=True, cut=170),
        Style("tied", 150, 120, 110, "tie", 7, 150, 260, 14, lift=0.15, volume=5, gravity=0.0,
              jitter=0.05),
    )
}  # fmt: skip


def choose_style(streams: Streams, on: Mapping[str, bool]) -> Style | None:
    """The style that the factors allow; None for a head without any hair."""
    rng = streams("hair style")
    size, pick, side, bare = rng.uniform(0.8, 1.25), rng.random(), rng.random(), rng.random()
    recede, rise, middle, tie = rng.random(), rng.random(), rng.random(), rng.random()
    if on.get("bald", False):
        if bare < 0.4:
            return None
        return replace(STYLES["buzz"], rim=True, top=9 * size, sides=9 * size, back=11 * size)
    curly = on.get("curly_hair", False)
    if on.get("long_hair", False):
        names = ["long curly"] if curly else ["long straight", "long wavy"]
    elif on.get("feminine", False):
        names = (
            ["curls", "afro"] if curly else ["bob", "bob", "tied", "tied", "crop", "side parting"]
        )
    else:
        names = (
            ["curls", "curls", "afro"]
            if curly
            else ["buzz", "crop", "crop", "short sides", "short sides", "side parting",
                  "side parting", "slicked back", "spiky"]
        )  # fmt: skip
    style = STYLES[names[int(pick * len(names))]]
    old = on.get("old", False) and not on.get("feminine", False)
    parting = 0.0 if middle < 0.4 else (-1 if side < 0.5 else 1) * (18 + 20 * middle)
    cut = None if style.cut is None else style.cut + 45 * (size - 1)
    return replace(
        style,
        top=style.top * size,
        sides=style.sides * (0.5 + 0.5 * size),
        back=style.back * size,
        volume=style.volume * (0.6 + 0.5 * rise),
        part=(-1 if side < 0.5 else 1) * style.part if style.part else parting,
        cut=cut,
        recede=14 * recede if old else (5 * recede if not on.get("feminine", False) else 0.0),
        thin=0.55 * rise if old else 0.0,
        fringe=on.get("fringe", False),
        tie=(12 + 70 * tie, 0.0 if rise < 0.5 else 190 * size) if style.flow == "tie" else (0, 0),
    )


def hairline_distance(streams: Streams, style: Style) -> Floats:
    """Signed distance to the hairline, mm, positive where hair grows.

    An image over directions from the centre of the skull: (360, 720), column 0 is azimuth
    -180 degrees, row 0 is elevation 90.
    """
    rng = streams("hairline")
    azimuth = np.arange(-180, 180, GRID_DEG)
    line = np.interp(np.abs(azimuth), *HAIRLINE_DEG.T)
    phase = rng.uniform(0, 2 * np.pi, 5)
    beat = np.array([3, 7, 17, 41, 83])
    size = np.array([0.6, 0.6, 0.5, 0.6, 0.6])
    line += (size * np.sin(np.radians(azimuth[:, None]) * beat + phase)).sum(1)
    front = np.exp(-((azimuth / 55) ** 4))
    line += front * (rng.normal(0, 1.8) + 0.25 * style.recede)
    temple = np.exp(-(((np.abs(azimuth) - 34) / 13) ** 2))
    line += temple * style.recede + rng.uniform(-2, 2) * temple
    line -= rng.uniform(0, 1.2) * np.exp(-((azimuth / 6) ** 2))  # a hint of a widow's peak
    sideburn = np.exp(-(((np.abs(azimuth) - 80) / 6) ** 2))
    line += sideburn * rng.uniform(-6, 13)
    elevation = np.arange(90, -90, -GRID_DEG)[:, None]
    grows = elevation > line
    if style.rim:
        grows &= elevation < np.interp(
            np.abs(azimuth), [0, 66, 76, 95, 135, 180], [-90, -90, 0, 18, 22, 10]
        )
    ear = ((np.abs(azimuth) - 99) / 10) ** 2 + ((elevation + 27) / 20) ** 2 < 1
    grows = (grows & ~ear).astype(np.uint8)
    scale = GRID_DEG * MM_PER_DEG
    inside = cv2.distanceTransform(grows, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(1 - grows, cv2.DIST_L2, 3)
    return np.asarray((inside - outside) * np.float32(scale), np.float32)


def pigment_color(eumelanin: float, pheomelanin: float) -> Floats:
    """Linear RGB of a mass of hair with these amounts of pigment, lit from the front.

    Light that met many fibres darkens slower than by its absorption (Chiang et al., 2016, "A
    practical and controllable hair and fur model", have the square root); the exponent here was
    chosen by the hues of brown and auburn hair.  The floor never entered a fibre.
    """
    absorbed = eumelanin * EUMELANIN + pheomelanin * PHEOMELANIN
    return np.asarray(0.005 + 0.82 * np.exp(-8.0 * absorbed**0.7), np.float32)


def hair_color(streams: Streams, on: Mapping[str, bool]) -> Floats:
    """Linear RGB (3,) of hair: black, blond, red or grey where flagged, brown otherwise."""
    rng = streams("hair color")
    a, b, c, d = rng.random(4)
    if on.get("black_hair", False):
        color = pigment_color(0.9 + 2.0 * a, 0.05 * b)
    elif on.get("blond_hair", False):
        color = pigment_color(0.012 + 0.045 * a, 0.035 + 0.07 * b)
    elif on.get("red_hair", False):
        color = pigment_color(0.01 + 0.08 * a, 0.24 + 0.4 * b)
    else:
        color = pigment_color(0.13 + 0.45 * a**1.4, 0.02 + 0.08 * b)
        color = 0.88 * color + 0.12 * color.mean()
    if on.get("grey_hair", False):
        white = np.array([0.50, 0.49, 0.47]) * (0.75 + 0.4 * d)
        color = color + (white - color) * (0.45 + 0.5 * c)
    return color.astype(np.float32)
