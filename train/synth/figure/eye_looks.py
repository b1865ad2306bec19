"""What eyes look like, by person: irises, pupils, whites and lashes.

Ranges are set by photographs (median and spread of 182 eyes of people who look into the lens): the
iris has 0.37 of the light of the white where it is light and 0.17 where it is dark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MakeRng = Callable[[str], np.random.Generator]

IRIS_SRGB = {
    "dark brown": ((55, 38, 29), (80, 55, 40)),
    "brown": ((84, 60, 43), (113, 85, 61)),
    "hazel": ((92, 78, 54), (112, 104, 78)),
    "green": ((84, 92, 70), (114, 118, 94)),
    "blue": ((84, 100, 114), (115, 130, 141)),
    "grey": ((92, 99, 103), (121, 127, 129)),
}
"""Two colours that the fibres mix, as far apart as the fibres of one iris are."""
LIGHT_IRISES = ("green", "blue", "grey")
_SCLERA = np.array([0.62, 0.565, 0.535], np.float32)
_REST = np.array([0.60, 0.53, 0.45], np.float32)  # yellowed, as with age

UPPER_LASHES, LOWER_LASHES = 64, 36
"""Strands of an eye's lids: each stands for one or two lashes."""


@dataclass(frozen=True, slots=True)
class Lashes:
    """One lid's lashes, of the person's two eyes alike.  Arrays are of (n,) strands."""

    place: Floats
    """0 at the inner to 1 at the outer corner."""
    length_mm: Floats
    rise_rad: Floats
    """Angle at the root above straight ahead (upper lid; below it on the lower one)."""
    curl_rad: Floats
    """How much the angle has grown at the tip."""
    lean: Floats
    """Sideways turn, outwards positive, as a tangent."""
    width_mm: float
    line: float
    """How dark the roots' line is, 0 to 1."""


@dataclass(frozen=True, slots=True)
class EyeLook:
    """Both eyes of a person, but for the colour and size of the irises."""

    limbus_mm: float
    """Width over which iris becomes white."""
    ring: float
    """Light of the dark ring at the iris's rim, as a share of what is inside of it."""
    ring_mm: float
    collarette: float
    """How much lighter (above 0) or darker the zone around the pupil is."""
    fibres: float
    """Contrast of the iris's fibres, 0 to 1."""
    pattern: tuple[float, float]
    """Where in the noise this person's fibres are."""
    pupil_scale: float
    """Size of the pupil as a share of others' in the same light."""
    redness: float
    """0 to 1: vessels of the white."""
    caruncle: float
    """Width of the pink flesh in the inner corner, mm."""
    wetness: float
    """Strength of mirrored light."""
    upper: Lashes
    lower: Lashes
    lash_color: Floats
    """(3,) linear."""


def iris_colors(rng: np.random.Generator, on: Mapping[str, bool]) -> Floats:
    """(2, 3) linear, of a light or a dark iris."""
    light = str(rng.choice(LIGHT_IRISES, p=[0.25, 0.5, 0.25]))
    dark = str(rng.choice(["dark brown", "brown", "hazel"], p=[0.5, 0.35, 0.15]))
    scale = rng.uniform(0.85, 1.12)
    srgb = np.array(IRIS_SRGB[light if on["light_eyes"] else dark], np.float32) * scale
    return np.asarray((np.clip(srgb, 8, 230) / 255.0) ** 2.2, dtype=np.float32)


def sclera_color(rng: np.random.Generator, tint: np.random.Generator) -> Floats:
    """(3,) linear; ``tint`` draws how far it is yellowed."""
    bright = rng.uniform(0.75, 1.12)
    yellow = tint.beta(1.2, 4.0)
    return np.asarray((_SCLERA + yellow * (_REST - _SCLERA)) * bright, np.float32)


def eye_look(streams: MakeRng, on: Mapping[str, bool], hair: Floats) -> EyeLook:
    """Draw a person's eyes; ``hair`` (3,) is linear."""
    rng = streams("eye look")
    made_up = on["eye_shadow"] or (on["feminine"] and rng.random() < 0.45)
    u = rng.random(10)
    dark = np.minimum(0.22 * hair, 0.05) * (0.25 if made_up else 1.0)
    return EyeLook(
        limbus_mm=0.45 + 0.6 * u[0],
        ring=0.3 + 0.55 * u[1],
        ring_mm=0.5 + 1.0 * u[2],
        collarette=float(rng.normal(0.05, 0.22)),
        fibres=0.2 + 0.8 * u[3],
        pattern=(float(u[4]), float(u[5])),
        pupil_scale=float(np.exp(rng.normal(0.0, 0.13))),
        redness=float(u[6] ** 2),
        caruncle=1.6 + 2.2 * u[7],
        wetness=0.8 + 0.8 * u[8],
        upper=_upper_lashes(streams("upper lashes"), made_up=made_up),
        lower=_lower_lashes(streams("lower lashes"), made_up=made_up),
        lash_color=np.asarray(dark + 0.003, np.float32),
    )


def _upper_lashes(rng: np.random.Generator, *, made_up: bool) -> Lashes:
    place = _places(rng, UPPER_LASHES)
    long = rng.uniform(5.5, 8.5) * (1.2 if made_up else 1.0)
    rise, curl = rng.uniform(-0.5, 0.05), rng.uniform(0.5, 1.25) + (0.25 if made_up else 0.0)
    shape = np.interp(place, [0, 0.2, 0.6, 0.85, 1], [0.45, 0.75, 1.0, 1.0, 0.75])
    width = rng.uniform(0.10, 0.18) * (1.5 if made_up else 1.0)
    line = rng.uniform(0.35, 0.8) + (0.2 if made_up else 0.0)
    return Lashes(
        place,
        _f4(long * shape * rng.uniform(0.6, 1.1, UPPER_LASHES)),
        _f4(rise + rng.normal(0, 0.10, UPPER_LASHES)),
        _f4(curl + rng.normal(0, 0.15, UPPER_LASHES)),
        _f4(1.1 * (place - 0.42) + _clumps(rng, place) + rng.normal(0, 0.07, UPPER_LASHES)),
        float(width),
        float(min(line, 1.0)),
    )


def _lower_lashes(rng: np.random.Generator, *, made_up: bool) -> Lashes:
    place = _places(rng, LOWER_LASHES)
    long = rng.uniform(2.5, 5.0) * (1.15 if made_up else 1.0)
    shape = np.interp(place, [0, 0.25, 0.7, 1], [0.3, 0.7, 1.0, 0.8])
    width = rng.uniform(0.06, 0.12) * (1.5 if made_up else 1.0)
    line = rng.uniform(0.02, 0.35) + (0.25 * rng.random() if made_up else 0.0)
    return Lashes(
        place,
        _f4(long * shape * rng.uniform(0.5, 1.15, LOWER_LASHES)),
        _f4(rng.uniform(-0.2, 0.35) + rng.normal(0, 0.12, LOWER_LASHES)),
        _f4(rng.uniform(0.1, 0.7) + rng.normal(0, 0.15, LOWER_LASHES)),
        _f4(0.9 * (place - 0.4) + _clumps(rng, place) + rng.normal(0, 0.12, LOWER_LASHES)),
        float(width),
        float(line),
    )


def _places(rng: np.random.Generator, count: int) -> Floats:
    """Evenly spread, shaken; none in the inner corner."""
    even = (np.arange(count) + 0.5 + rng.uniform(-0.45, 0.45, count)) / count
    return _f4(0.10 + 0.88 * even)


def _clumps(rng: np.random.Generator, place: Floats) -> Floats:
    """Turns that bring the tips of two to four neighbours together."""
    waves = rng.uniform(9, 16)
    return _f4(-rng.uniform(0.05, 0.2) * np.sin(2 * np.pi * waves * place))


def _f4(values: NDArray[np.floating]) -> Floats:
    return np.asarray(values, np.float32)
