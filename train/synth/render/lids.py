"""Where lids and brows are in one picture: solved for in millimetres, as weights of shapes.

Lids follow eyes by each person's own rule and blink from wherever they are, so that their height
says little of the gaze and a closed eye is closed on everybody.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from train.synth.figure.facekit import FaceKit
from train.synth.figure.people import Person

Floats = NDArray[np.float64]

UPPER = ((37, 38), (43, 44))
"""Landmarks of the upper lids, the person's right first."""
LOWER = ((40, 41), (46, 47))
SIDES = "RL"
CLOSED_MM = 0.2
"""Between the landmarks of upper and lower lid of a closed eye."""
NARROW_MM, SLIT_MM = 4.6, 2.0
"""Below the first gaps shrink less and less, towards the second: nobody looks through less."""
RAISED_SHARE = 0.75
"""Of the way of a lid that looks down, a lid goes so much when it looks up."""
LOWER_SHARE = 0.65
"""Of an upper lid's way down, the lower lid's: it is drawn down with the eye."""
LOWEST = -1.3
"""Weight of a squint that lowers a lower lid, beyond which it would leave the eye."""
LOWEST_MM, HIGHEST_MM = -0.5, 5.8
"""Bounds of a resting upper lid over the middle of its eye."""
WIDEST = 1.4
"""Weight of widened eyes beyond which lids look torn open."""
_BROW = 0.3
"""Strongest weight of a brow at rest, which nobody would call raised or frowning."""


class LidShapes:
    """How far each of FaceKit's expressions moves both lids of each eye."""

    def __init__(self, kit: FaceKit) -> None:
        self._names = kit.expression_names
        heights = 10.0 * kit.expression[:, kit.landmarks, 1].astype(np.float64)  # cm, y up
        self._upper = np.stack([heights[:, list(pair)].mean(1) for pair in UPPER])
        self._lower = np.stack([heights[:, list(pair)].mean(1) for pair in LOWER])
        self._marks = kit.landmarks

    def weights(
        self,
        person: Person,
        expression: Mapping[str, float],
        irises_mm: Floats,
        shift_mm: Floats,
        blink: float,
    ) -> dict[str, float]:
        """Weights of the shapes of lids, to be added to an expression's.

        ``irises_mm`` (2,) is how far the irises are above the middles of their eyes, ``shift_mm``
        (2,) how much higher the upper lids are in this picture than usual, ``blink`` how far the
        eyes are closed from where they are, 0 to 1.
        """
        out: dict[str, float] = {}
        marks = person.calm[self._marks]
        for eye, side in enumerate(SIDES):
            middle = float(person.eye_centers[eye, 1])
            shape_upper = middle - float(marks[list(UPPER[eye]), 1].mean())
            uneven = person.lids.uneven_mm * (0.5 if side == "L" else -0.5)
            rest = shape_upper + person.lids.rest_mm + uneven + float(shift_mm[eye])
            rest = float(np.clip(rest, LOWEST_MM, HIGHEST_MM))
            way = person.lids.follow * float(irises_mm[eye])
            # A lid that closes goes to where all closed lids are, whatever else it did.
            opened = 1.0 - blink
            now = self._follow(eye, side, way * opened, opened)
            self._add(now, self._lift(eye, side, (rest - shape_upper) * opened))
            self._add(now, {f"eyeSquint_{side}": person.lids.lower})
            now[f"eyeWide_{side}"] = min(now.get(f"eyeWide_{side}", 0.0), WIDEST)
            upper = shape_upper + self._way(self._upper[eye], expression, now)
            lower = middle - float(marks[list(LOWER[eye]), 1].mean())
            lower += self._way(self._lower[eye], expression, now)
            gap = upper - lower - CLOSED_MM
            apart = kept_open(gap)
            # Blinking by a negative weight lifts the lid that would else meet the other one.
            close = gap - apart * (1.0 - blink)
            self._add(now, {f"eyeBlink_{side}": close / self._per_blink(eye, side)})
            out |= now
        return out

    def _follow(self, eye: int, side: str, way: float, lower: float) -> dict[str, float]:
        """Weights that carry the upper lid ``way`` mm along with its eye, lower lids by less.

        ``lower`` is how much of what FaceKit's lower lids lack is made up for.
        """
        squint = f"eyeSquint_{side}"
        if way < 0:
            look = f"eyeLookDown_{side}"
            down = way / self._of(self._upper, eye, look)
            # FaceKit's lower lids stay, so that irises sink behind them; a squint undone lowers.
            left = LOWER_SHARE * way - down * self._of(self._lower, eye, look)
            undone = lower * left / self._of(self._lower, eye, squint)
            return {look: down, squint: max(LOWEST, undone)}
        # FaceKit's lids open little when eyes look up; what is missing is that of widened eyes.
        way *= RAISED_SHARE
        most = self._of(self._upper, eye, f"eyeLookUp_{side}")
        up = min(1.0, way / most)
        wide = (way - up * most) / self._of(self._upper, eye, f"eyeWide_{side}")
        return {f"eyeLookUp_{side}": up, f"eyeWide_{side}": wide}

    def _lift(self, eye: int, side: str, mm: float) -> dict[str, float]:
        if mm >= 0:
            return {f"eyeWide_{side}": mm / self._of(self._upper, eye, f"eyeWide_{side}")}
        return {f"eyeBlink_{side}": mm / self._of(self._upper, eye, f"eyeBlink_{side}")}

    def _per_blink(self, eye: int, side: str) -> float:
        """Millimetres by which a whole blink closes the eye."""
        name = f"eyeBlink_{side}"
        return self._of(self._lower, eye, name) - self._of(self._upper, eye, name)

    def _of(self, ways: Floats, eye: int, name: str) -> float:
        return float(ways[eye, self._names.index(name)])

    def _way(self, ways: Floats, *expressions: Mapping[str, float]) -> float:
        """Millimetres upwards that all these weights move a lid."""
        return float(sum(ways[self._names.index(n)] * w for e in expressions for n, w in e.items()))

    @staticmethod
    def _add(to: dict[str, float], more: Mapping[str, float]) -> None:
        for name, weight in more.items():
            to[name] = to.get(name, 0.0) + weight


def kept_open(gap_mm: float) -> float:
    """The gap between lids that do not blink: droop, squint and a low gaze leave some of it."""
    if gap_mm >= NARROW_MM:
        return gap_mm
    room = NARROW_MM - SLIT_MM
    return float(SLIT_MM + room * np.exp((gap_mm - NARROW_MM) / room))


def brow_weights(person: Person, shift: float) -> dict[str, float]:
    """Weights of resting brows: the person's height, and ``shift`` of this picture."""
    out = {}
    for side, sign in (("R", -0.5), ("L", 0.5)):
        height = person.lids.brow + sign * person.lids.brow_uneven + shift
        high = float(np.clip(_BROW * height, 0.0, _BROW))
        out[f"browOuterUp_{side}"] = high
        out[f"browInnerUp_{side}"] = 0.8 * high
        out[f"browDown_{side}"] = float(np.clip(-_BROW * height, 0.0, _BROW))
    return out
