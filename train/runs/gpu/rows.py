"""Pictures and labels on the device that trains, more of them while it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.gaze.trainer import KEYS, LANDMARK_KEYS
from train.loop.training_loop import Batch
from train.synth.outputs.pool import ARRAYS, CropPool

BLOCK = 1024
"""Rows that are copied at once at most, or training would wait for longer than a few steps."""
DEVICE_SHARE = 0.5
"""Of a device's free memory, for rows."""
POOL_NAMES = tuple(k for k in (*KEYS, *LANDMARK_KEYS) if k in ARRAYS)

Shapes = Mapping[str, tuple[tuple[int, ...], torch.dtype]]


class Store:
    """Tensors with room for ``capacity`` rows, the first ``count`` of which are there."""

    def __init__(self, shapes: Shapes, capacity: int, device: torch.device) -> None:
        self.capacity, self.count, self.device = capacity, 0, device
        self.tensors = {
            name: torch.empty((capacity, *shape), dtype=kind, device=device)
            for name, (shape, kind) in shapes.items()
        }

    def append(self, values: Mapping[str, NDArray[Any]]) -> int:
        """Copy rows behind those that are there, as many as there is room for; how many."""
        more = min(len(values[next(iter(self.tensors))]), self.capacity - self.count)
        if more:
            for name, tensor in self.tensors.items():
                part = torch.from_numpy(np.ascontiguousarray(values[name][:more]))
                tensor[self.count : self.count + more].copy_(part, non_blocking=True)
            self.count += more
        return more

    def __getitem__(self, name: str) -> Tensor:
        """The rows that are there."""
        return self.tensors[name][: self.count]


class PoolRows:
    """The rows of a pool that are whole, on the device."""

    def __init__(self, pool: CropPool, capacity: int, device: torch.device) -> None:
        self.pool = pool
        shapes = {
            name: (shape, torch_type(kind))
            for name, (shape, kind) in ARRAYS.items()
            if name in POOL_NAMES
        }
        self.store = Store(shapes, min(capacity, pool.settings.size), device)
        self.where = np.zeros(0, np.int64)
        """(count,) which row of the pool each is."""
        self._taken = np.zeros(pool.settings.size, bool)

    def __len__(self) -> int:
        return self.store.count

    def grow(self, most: int = BLOCK) -> NDArray[np.int64]:
        """Copy rows that were made since; which rows of the pool they are."""
        whole = self.pool.rows()
        new = whole[~self._taken[whole]][:most]
        if len(new):
            new = new[: self.store.append({k: self.pool.arrays[k][new] for k in POOL_NAMES})]
            self._taken[new] = True
            self.where = np.concatenate([self.where, new])
        return new

    def drawn(self, size: int, generator: torch.Generator) -> Batch:
        """A batch of any rows that are there, on the device, with their places as ``index``."""
        pick = torch.randint(len(self), (size,), generator=generator)
        pick = pick.to(self.store.device, non_blocking=True)
        return {name: self.store[name][pick] for name in POOL_NAMES} | {"index": pick}


def torch_type(kind: str) -> torch.dtype:
    """Of numpy's name of a type, such as ``u1``."""
    return torch.from_numpy(np.zeros(0, kind)).dtype


def room_for(row_bytes: int, device: torch.device, folder: Path) -> int:
    """How many rows fit both a folder's disk and the device, with room left on either."""
    import shutil

    room = 0.6 * shutil.disk_usage(folder).free
    if device.type == "cuda":
        room = min(room, DEVICE_SHARE * torch.cuda.mem_get_info(device)[0])
    else:
        room = min(room, 0.25 * _free_memory())
    return int(room / row_bytes)


def _free_memory() -> float:
    """Bytes that the system can give, 4 GB where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable"))
        return float(found.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return 4e9
