"""How the learning rate goes over a run."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["one_cycle", "one_cycle_momentum", "cosine", "constant"]

MAX_MOMENTUM, MIN_MOMENTUM = 0.95, 0.85
"""AdamW's first beta in ``one_cycle_momentum``: high where the learning rate is low."""


def learning_rate(schedule: Schedule, top: float, warmup: float, step: int, steps: int) -> float:
    """Of a step from 0 on: a rise to ``top`` over a share ``warmup``, then half a cosine.

    ``constant`` has neither.  ``one_cycle_momentum`` is torch's OneCycleLR (Smith and Topin 2018)
    with its defaults.
    """
    if schedule == "one_cycle_momentum":
        rise, place = _cycle(warmup, step, steps)
        return _between(top / 25, top, place) if rise else _between(top, top / 25e4, place)
    warm = max(round(warmup * steps), 1) if schedule != "constant" else 0
    if step < warm:
        share = (step + 1) / warm
        if schedule == "one_cycle":
            share = 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * share))
        return top * share
    if schedule == "constant":
        return top
    done = (step - warm) / max(steps - warm, 1)
    return top * max(0.5 * (1 + math.cos(math.pi * done)), 1e-4)


def momentum(schedule: Schedule, warmup: float, step: int, steps: int) -> float | None:
    """AdamW's first beta at a step; None where the schedule leaves it as it is."""
    if schedule != "one_cycle_momentum":
        return None
    rise, place = _cycle(warmup, step, steps)
    ends = (MAX_MOMENTUM, MIN_MOMENTUM) if rise else (MIN_MOMENTUM, MAX_MOMENTUM)
    return _between(*ends, place)


def _cycle(warmup: float, step: int, steps: int) -> tuple[bool, float]:
    """Whether the rate still rises, and the share of that part which is done."""
    turn = warmup * steps - 1
    if step <= turn:
        return True, step / turn if turn else 1.0
    return False, min((step - turn) / max(steps - 1 - turn, 1e-9), 1.0)


def _between(first: float, last: float, share: float) -> float:
    """Along half a cosine."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * share))
