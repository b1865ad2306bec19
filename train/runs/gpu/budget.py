"""How the minutes of a run are spent, and batches for as long as they last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from train.loop.training_loop import Batch, TrainingLoop

RESERVE_SHARE, MOST_RESERVE_S = 0.3, 45.0
"""What is kept of a budget for evaluation, export and writing."""
Now = Callable[[], float]


@dataclass(slots=True)
class Budget:
    """Seconds of a whole run, counted from ``began`` by the clock, else from when it is made."""

    total_s: float
    now: Now = time.monotonic
    began: float = math.nan

    def __post_init__(self) -> None:
        if not 0 < self.total_s < math.inf:
            raise ValueError(f"{self.total_s / 60:g} minutes; expected more than 0")
        if math.isnan(self.began):
            self.began = self.now()

    def spent_s(self) -> float:
        """Since the beginning."""
        return self.now() - self.began

    def left_s(self) -> float:
        """To the end; never below 0."""
        return max(self.total_s - self.spent_s(), 0.0)

    def for_training_s(self) -> float:
        """What is left before the reserve begins; never below 0."""
        reserve = min(RESERVE_SHARE * self.total_s, MOST_RESERVE_S)
        return max(self.left_s() - reserve, 0.0)


@dataclass(slots=True)
class Stretch:
    """A time in which something is done, and how much of it is over."""

    seconds: float
    now: Now = time.monotonic
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.now()

    def share(self) -> float:
        """0 at its beginning, 1 at its end, and more afterwards."""
        if self.seconds <= 0:
            return 1.0
        return (self.now() - self.began) / self.seconds


def steps_at(step: int, share: float) -> int:
    """How many steps a run has in all, if it has done ``step`` in this share of its time.

    Where the time is over, or would be before another step is done, the one that follows is the
    last.
    """
    if share >= 1 or (step and share * (step + 1) / step >= 1):
        return step + 1
    return max(step + 2, math.ceil((step + 0.5) / max(share, 1e-4)))


def timed(loop: TrainingLoop, stretch: Stretch, draw: Callable[[], Batch]) -> Iterator[Batch]:
    """Batches until the time is over, one at least.

    The loop's count of steps is a forecast, made anew at every step, so that its schedule of the
    learning rate follows the time and ends with it, however fast the device is.
    """
    while True:
        share = stretch.share()
        loop.steps = steps_at(loop.step, share)
        yield draw()
        if loop.step >= loop.steps:
            return
