"""What the double's two modules share: a GPU, its memory, and what is to go wrong."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Faults:
    """Failures to play; none at first."""

    ignore_precision: bool = False
    """Build FP32 whatever is asked for, and say nothing of it."""
    build: str = ""
    """TensorRT's reason why no engine can be built."""
    execute: bool = False
    no_context: bool = False
    names_only: bool = False
    """The inspector tells no types."""
    add_to_outputs: float = 0.0
    """The engine computes something else."""


@dataclass
class World:
    """One machine."""

    gpu_name: str = "Orin"
    compute_capability: tuple[int, int] = (8, 7)
    gpus: int = 1
    dla_cores: int = 0
    memory_bytes: int = 1 << 30
    faults: Faults = field(default_factory=Faults)
    live: Counter[str] = field(default_factory=Counter)
    """Objects that hold something, by kind."""
    primary_retained: int = 0
    mistakes: list[str] = field(default_factory=list)
    """What real CUDA would have punished."""
    memory: dict[int, np.ndarray] = field(default_factory=dict)
    """Device memory by address."""
    streams: dict[int, Any] = field(default_factory=dict)
    building: int = 0
    """Builds so far."""
    _threads: threading.local = field(default_factory=threading.local)

    @property
    def stack(self) -> list[Any]:
        """CUDA contexts that this thread pushed."""
        if not hasattr(self._threads, "stack"):
            self._threads.stack = []
        return self._threads.stack

    @property
    def used_bytes(self) -> int:
        """Of device memory."""
        return sum(array.nbytes for array in self.memory.values())

    def nothing_is_left(self) -> bool:
        """Say whether all was released, in good order."""
        return not +self.live and not self.memory and not self.streams and not self.mistakes
