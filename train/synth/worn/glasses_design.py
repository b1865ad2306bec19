"""How a pair of glasses looks before it is fitted: style, sizes, colours and outline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.synth.worn.fitting import Floats, Numbers, rgb

POINTS = 40
"""Points of a lens's outline."""

STYLES = (
    "rectangle",
    "round",
    "panto",
    "aviator",
    "cat-eye",
    "wayfarer",
    "browline",
    "half rim",
    "rimless",
)
# Shares as seen among wearers; sunglasses are never half rimmed in this drawing.
_SHARES = np.array([5, 2.5, 3, 2, 1.5, 3.5, 1, 2, 1.2])
_METAL = {"round": 0.6, "panto": 0.4, "aviator": 0.95, "rectangle": 0.4, "cat-eye": 0.15}

ACETATES = (
    (0.008, 0.008, 0.009),
    (0.012, 0.011, 0.010),
    (0.055, 0.022, 0.008),
    (0.030, 0.014, 0.008),
    (0.010, 0.018, 0.050),
    (0.14, 0.012, 0.015),
    (0.10, 0.08, 0.06),
    (0.35, 0.20, 0.17),
    (0.45, 0.44, 0.42),
    (0.02, 0.07, 0.05),
)
METALS = (
    (0.62, 0.60, 0.57),
    (0.70, 0.48, 0.20),
    (0.66, 0.40, 0.30),
    (0.10, 0.10, 0.105),
    (0.014, 0.014, 0.015),
    (0.10, 0.055, 0.03),
)


@dataclass(frozen=True, slots=True)
class Design:
    """One pair, before it is fitted: millimetres and radians."""

    style: str
    metal: bool
    lens: tuple[float, float]
    """Boxed width and height."""
    bridge: float
    rim: tuple[float, float]
    """Width of the rim as seen from the front, and its depth."""
    power: float
    """How square the outline is (2 an ellipse)."""
    wrap: float
    """Radius that the front is bent to."""
    base: float
    """Radius of a lens's front."""
    tilt: float
    roll: float
    vertex: float
    drop: float
    """From the pupils down to the middle of the lenses, slid down the nose or not."""
    hinge: float
    """Height of the temples on the rim, as a share of half a lens."""
    color: Floats
    tip_color: Floats


def draw_design(rng: np.random.Generator, *, thick: bool, sun: bool) -> Design:
    """Draw a pair.  Everything is drawn whatever is used, so that no flag shifts other draws."""
    style = str(rng.choice(STYLES, p=_SHARES / _SHARES.sum()))
    metal_draw, dark_draw = rng.random(2)
    width, height = rng.uniform(47, 55), rng.uniform(0, 1)
    bridge, heavy, thick_rim = rng.uniform(15.5, 21), rng.uniform(0, 1), rng.uniform(5.0, 8.5)
    acetate, metal_color = int(rng.integers(len(ACETATES))), int(rng.integers(len(METALS)))
    shade, squareness = rng.uniform(0.7, 1.4), rng.uniform(0, 1)
    wrap, base = rng.uniform(250, 480), rng.uniform(95, 230)
    tilt, roll = np.radians(rng.uniform(5, 12)), np.radians(rng.normal(0, 0.7))
    vertex, drop, hinge = rng.uniform(12, 16), rng.uniform(1.5, 5.5), rng.uniform(0.3, 0.75)
    slid = float(rng.random() < 0.2) * float(rng.uniform(3, 13))
    low, high, power = {
        "rectangle": (30, 38, 3.2 + 2.5 * squareness),
        "round": (43, 49, 2.0 + 0.2 * squareness),
        "panto": (39, 46, 2.2 + 0.4 * squareness),
        "aviator": (46, 53, 2.5 + 0.4 * squareness),
        "cat-eye": (36, 45, 2.5 + 0.7 * squareness),
        "wayfarer": (38, 46, 3.0 + 1.2 * squareness),
        "browline": (38, 45, 2.6 + 0.6 * squareness),
        "half rim": (29, 37, 3.0 + 2.0 * squareness),
        "rimless": (29, 40, 2.5 + 2.0 * squareness),
    }[style]
    size = low + (high - low) * height
    if style == "round":
        width = np.clip(width - 4, 44, 50)
        size = width - 1.0 * height
    if sun:  # larger, and higher before the eyes
        width, size, slid = width + 2.0, max(1.12 * size, 39.0), 0.4 * slid
    metal = metal_draw < _METAL.get(style, 1.0 if style in ("half rim", "rimless") else 0.0)
    metal = bool(metal) and not thick
    if thick and style in ("half rim", "rimless"):
        style = "rectangle"  # there is no thick frame without rims
    rim = (0.9 + 1.0 * heavy, 1.6 + 1.0 * heavy) if metal else (2.0 + 2.6 * heavy, 3.0 + heavy)
    if thick:
        rim = (float(thick_rim), 4.0 + 1.5 * heavy)
    dark = dark_draw < (0.85 if thick else 0.55)
    plastic = rgb(*ACETATES[acetate % 4 if dark else acetate]) * np.float32(shade)
    color = rgb(*METALS[metal_color]) * np.float32(min(shade, 1.1)) if metal else plastic
    return Design(
        style=style,
        metal=metal,
        lens=(float(width), float(size)),
        bridge=float(bridge),
        rim=rim,
        power=float(power),
        wrap=float(wrap),
        base=float(base),
        tilt=float(tilt),
        roll=float(roll),
        vertex=float(vertex),
        drop=float(drop + 0.1 * max(size - 40, 0)) + slid,
        hinge=float(hinge),
        color=color,
        tip_color=rgb(*ACETATES[acetate % 4]),
    )


def lens_outline(design: Design) -> Numbers:
    """(POINTS, 2) of one lens in its box: x outwards (to the temple), y down, each in ±1."""
    angle = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    scale = (np.abs(c) ** design.power + np.abs(s) ** design.power) ** (-1 / design.power)
    x, y = scale * c, scale * s
    # (narrower below, nasal corner cut below, outer corner swept up, flat top, outer low drop)
    taper, cut, flare, flat, droop = {
        "rectangle": (0.03, 0.05, 0.02, 0.0, 0.0),
        "panto": (0.06, 0.10, 0.0, 0.12, 0.0),
        "aviator": (0.06, 0.34, 0.0, 0.16, 0.10),
        "cat-eye": (0.10, 0.16, 0.26, 0.05, 0.0),
        "wayfarer": (0.10, 0.14, 0.10, 0.05, 0.0),
        "browline": (0.08, 0.12, 0.05, 0.08, 0.0),
        "half rim": (0.05, 0.10, 0.02, 0.0, 0.0),
        "rimless": (0.04, 0.08, 0.02, 0.03, 0.0),
    }.get(design.style, (0.0, 0.0, 0.0, 0.0, 0.0))
    below, above = np.maximum(y, 0), np.maximum(-y, 0)
    x = x * (1 - taper * y)
    x = x + cut * np.maximum(-x, 0) * below**1.3
    y = y - flare * np.maximum(x, 0) ** 2 * above
    y = y + flat * above**2 * (1 - 0.4 * np.maximum(x, 0))
    y = y + droop * np.maximum(x, 0) * below
    x = 2 * (x - x.min()) / (x.max() - x.min()) - 1
    y = 2 * (y - y.min()) / (y.max() - y.min()) - 1
    return np.stack([x, y], 1)
