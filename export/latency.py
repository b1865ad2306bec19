"""How long networks take on ONNX Runtime, side by side in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clipgaze_sdk.backends import load_backend
from clipgaze_sdk.models.files import ModelFile

WARM_UP = 5


def medians_ms(
    files: Mapping[str, ModelFile], shape: Sequence[int], *, threads: int, rounds: int
) -> dict[str, float]:
    """Median milliseconds of one call of each network, as the SDK runs it.

    The networks take turns, so that whatever else the machine does meets all of them alike, and
    only their ratios should be compared.
    """
    image: NDArray[np.float32] = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    backends = {name: load_backend(f, threads=threads) for name, f in files.items()}
    try:
        times: dict[str, list[float]] = {name: [] for name in backends}
        for turn in range(WARM_UP + rounds):
            for name, backend in backends.items():
                begin = time.perf_counter()
                backend.run(image)
                if turn >= WARM_UP:
                    times[name].append(1e3 * (time.perf_counter() - begin))
        return {name: float(np.median(values)) for name, values in times.items()}
    finally:
        for backend in backends.values():
            backend.close()
