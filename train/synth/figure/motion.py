"""How heads, eyes and lids move, as curves over time.

Saccades follow the main sequence, an almost linear growth of their duration with their size
(Bahill, Clark and Stark, Mathematical Biosciences 1975; 2.2 ms per degree on 21 ms, Carpenter
1988); heads and hands move with minimum jerk (Flash and Hogan, Journal of Neuroscience 1985);
lids close about twice as fast as they open (Evinger et al., IOVS 1991).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.geometry import angle_between

Floats = NDArray[np.float64]
Curve = Callable[[float], Floats]

SACCADE_S, SACCADE_S_PER_DEG = 0.021, 0.0022
FIXATION_S = (0.2, 1.0)
BLINK_S = (0.1, 0.4)
CLOSING = 0.35
"""Share of a blink in which the lids close."""
BLINKS_PER_S = 0.28
VERGENCE_S = 0.25
"""Eyes turn to another distance more slowly than to another direction."""
HEAD_DEG_PER_S = 60.0
"""Mean speed of large head movements."""
PURSUIT_SHARE = 0.2
PURSUIT_DEG_PER_S = (5.0, 28.0)


def saccade_s(degrees: float) -> float:
    """Duration of a saccade of this size."""
    return SACCADE_S + SACCADE_S_PER_DEG * degrees


def minimum_jerk(t: float) -> float:
    """0 to 1 while t goes from 0 to 1, at rest at both ends."""
    t = min(max(t, 0.0), 1.0)
    return t**3 * (10 - 15 * t + 6 * t * t)


def turned(direction: Floats, to: Floats, share: float) -> Floats:
    """A unit vector a share of the way along the arc between two."""
    angle = float(angle_between(direction, to))
    if angle < 1e-6:
        return direction
    a, b = np.sin((1 - share) * angle), np.sin(share * angle)
    mixed = a * direction + b * to
    return np.asarray(mixed / np.linalg.norm(mixed))


def rotated(rotation: Floats, to: Floats, share: float) -> Floats:
    """A rotation (3, 3) a share of the way from one to another."""
    vector = cv2.Rodrigues(to @ rotation.T)[0]
    return np.asarray(cv2.Rodrigues(vector * share)[0] @ rotation)


def wander(rng: np.random.Generator, size: float, *, period_s: float = 3.0) -> Curve:
    """A smooth random curve (3,) about zero with this standard deviation: breath and sway."""
    frequency = rng.uniform(0.4, 1.6, (5, 3)) / period_s
    phase = rng.uniform(0, 2 * np.pi, (5, 3))
    weight = rng.normal(0, 1, (5, 3)) * size / np.sqrt(2.5)
    return lambda t: (weight * np.sin(2 * np.pi * frequency * t + phase)).sum(0)


@dataclass(frozen=True, slots=True)
class Segment:
    """What the eyes do from ``start`` until the next segment; directions in the camera frame."""

    start: float
    direction: Floats
    """(3,) unit, at the start."""
    distance_mm: float
    drift: Floats
    """(3,) where a pursuit leads in one second, the same as ``direction`` in a fixation."""


class Eyes:
    """Where a person looks over time: saccades between fixations and pursuits."""

    def __init__(
        self,
        rng: np.random.Generator,
        goals: list[tuple[float, Floats, float]],
        duration_s: float,
    ) -> None:
        """``goals`` are (time, direction, distance) of what a person is busy with, in order."""
        self.segments: list[Segment] = []
        t = 0.0
        while t < duration_s or not self.segments:
            goal = max((g for g in goals if g[0] <= t), key=lambda g: g[0], default=goals[0])
            new = not any(s.start >= goal[0] for s in self.segments)
            spread = np.radians(0.0 if new else rng.uniform(2, 14))
            aim = _beside(rng, goal[1], spread)
            depth = goal[2] * float(np.exp(rng.normal(0, 0.0 if new else 0.15)))
            pursues, speed = rng.random() < PURSUIT_SHARE, rng.uniform(*PURSUIT_DEG_PER_S)
            drift = _beside(rng, aim, np.radians(speed) if pursues else 0.0)
            hold = float(rng.uniform(*FIXATION_S)) * (1.6 if pursues else 1.0)
            self.segments.append(Segment(t, aim, depth, drift))
            after = [g[0] for g in goals if g[0] > t]
            t = min([t + hold, *after])

    def at(self, t: float) -> tuple[Floats, float]:
        """(direction, distance) of what the eyes look at."""
        k = max(i for i, s in enumerate(self.segments) if s.start <= t or i == 0)
        now = self.segments[k]
        here = turned(now.direction, now.drift, t - now.start)
        if k == 0:
            return here, now.distance_mm
        left = self.segments[k - 1]
        from_ = turned(left.direction, left.drift, now.start - left.start)
        size = float(np.degrees(angle_between(from_, now.direction)))
        share = minimum_jerk((t - now.start) / saccade_s(size))
        depth = minimum_jerk((t - now.start) / VERGENCE_S)
        # Vergence goes with the inverse of the distance.
        inverse = (1 - depth) / left.distance_mm + depth / now.distance_mm
        return turned(from_, here, share), 1 / inverse


def _beside(rng: np.random.Generator, direction: Floats, angle: float) -> Floats:
    """A unit vector at an angle from another, to a random side."""
    side = np.cross(direction, rng.normal(size=3))
    return np.asarray(np.cos(angle) * direction + np.sin(angle) * side / np.linalg.norm(side))


class Blinks:
    """When lids close, apart from following the gaze."""

    def __init__(self, rng: np.random.Generator, duration_s: float) -> None:
        self.times: list[tuple[float, float]] = []
        """(start, duration) of each blink, in order and apart."""
        t = float(rng.exponential(1 / BLINKS_PER_S)) - BLINK_S[1]
        while t < duration_s:
            length = float(np.clip(rng.gamma(9, 0.022), *BLINK_S))
            self.times.append((t, length))
            t += length + 0.3 + float(rng.exponential(1 / BLINKS_PER_S))

    def at(self, t: float) -> float:
        """0 open to 1 closed."""
        for start, length in self.times:
            share = (t - start) / length
            if 0 <= share <= 1:
                down = share / CLOSING
                return minimum_jerk(down if down < 1 else (1 - share) / (1 - CLOSING))
        return 0.0
