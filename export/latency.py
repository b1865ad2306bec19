"""How long networks take on ONNX Runtime, side by side in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.backends import load_backend
from clipgaze_sdk.models.files import ModelFile

WARM_UP = 5
FRAME_PX = (384, 640)
"""Height and width at which a detector is timed."""


def medians_ms(files: Mapping[str, ModelFile], *, threads: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of one call of each network with one input, as the SDK runs it.

    The networks take turns, so that whatever else the machine does meets all of them alike, and
    only their ratios should be compared.
    """
    rng = np.random.default_rng(0)
    images: dict[str, NDArray[np.float32]] = {
        name: rng.normal(0, 1, (1, 3, *_size_px(file))).astype(np.float32)
        for name, file in files.items()
    }
    backends = {name: load_backend(f, threads=threads) for name, f in files.items()}
    try:
        times: dict[str, list[float]] = {name: [] for name in backends}
        for turn in range(WARM_UP + rounds):
            for name, backend in backends.items():
                begin = time.perf_counter()
                backend.run(images[name])
                if turn >= WARM_UP:
                    times[name].append(1e3 * (time.perf_counter() - begin))
        return {name: float(np.median(values)) for name, values in times.items()}
    finally:
        for backend in backends.values():
            backend.close()


def _size_px(file: ModelFile) -> tuple[int, int]:
    """Height and width of the network's input; those of a 16:9 frame where they are free."""
    height, width = file.card.inputs[0].shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else FRAME_PX
