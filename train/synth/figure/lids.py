"""How one person's lids and brows rest and move, apart from where the eyes look.

The upper lid of a resting eye covers the top millimetre or two of the iris; its margin lies 4 mm
above the pupil (sd 1 mm), and follows the eye up and down nearly as far as that turns (Becker and
Fuchs, Journal of Neurophysiology 1988).  People differ in all of it, and their two eyes a little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FOLLOWS = (0.45, 1.2)
"""How far an upper lid goes for each millimetre of the iris, least and most."""
REST_MM, REST_SPREAD_MM = 1.0, 1.2
"""How much higher lids rest than on FaceKit's faces, which look sleepy, and how people differ."""


@dataclass(frozen=True, slots=True)
class Lids:
    """One person's lids and brows."""

    follow: float
    """Upper lids' way over the irises' way when eyes look down; lower lids go a third of it."""
    rest_mm: float
    """Height of both upper lids over that of the face's shape, eyes straight ahead."""
    uneven_mm: float
    """How much higher the left upper lid is than the right one."""
    lower: float
    """0 to 1, how far the lower lids are raised at rest."""
    brow: float
    """-1 low to 1 high."""
    brow_uneven: float
    """How much higher the left brow is than the right one."""


def sample_lids(rng: np.random.Generator) -> Lids:
    """Lids of a person."""
    low, high = FOLLOWS
    return Lids(
        follow=float(low + (high - low) * rng.beta(1.6, 1.35)),
        rest_mm=float(rng.normal(REST_MM, REST_SPREAD_MM)),
        uneven_mm=float(rng.normal(0.0, 0.45)),
        lower=float(np.clip(rng.normal(0.08, 0.14), 0.0, 0.5)),
        brow=float(np.clip(rng.normal(0.0, 0.5), -1.0, 1.0)),
        brow_uneven=float(rng.normal(0.0, 0.2)),
    )
