"""The double of ``pycuda.driver``: copies and runs wait until their stream is synchronised."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from .world import World

_addresses = itertools.count(0x7F00_0000_0000, 1 << 32)
_handles = itertools.count(1)


def make_cuda(world: World) -> types.ModuleType:
    """Make the module for one machine."""
    module = types.ModuleType("pycuda.driver")

    class Error(Exception):
        pass

    class LogicError(Error):
        pass

    class MemoryError(Error):
        pass

    def check_current(what: str) -> None:
        if not world.stack:
            raise LogicError(f"{what} failed: invalid device context")

    class Device:
        def __init__(self, number: int) -> None:
            if number >= world.gpus:
                raise LogicError("cuDeviceGet failed: invalid device ordinal")

        @staticmethod
        def count() -> int:
            return world.gpus

        def name(self) -> str:
            return world.gpu_name

        def compute_capability(self) -> tuple[int, int]:
            return world.compute_capability

        def retain_primary_context(self) -> Context:
            world.primary_retained += 1
            return Context()

    class Context:
        def push(self) -> None:
            world.stack.append(self)

        @staticmethod
        def pop() -> None:
            check_current("cuCtxPopCurrent")
            world.stack.pop()

    class Stream:
        def __init__(self) -> None:
            check_current("cuStreamCreate")
            self._handle = next(_handles)
            self._waiting: list[Callable[[], None]] = []
            world.streams[self._handle] = self._waiting
            world.live["stream"] += 1

        @property
        def handle(self) -> int:
            return self._handle

        def synchronize(self) -> None:
            check_current("cuStreamSynchronize")
            waiting, self._waiting[:] = list(self._waiting), []
            for work in waiting:
                work()

        def __del__(self) -> None:
            if not world.stack:
                world.mistakes.append("a stream was destroyed without its context")
            world.streams.pop(self._handle, None)
            world.live["stream"] -= 1

    class DeviceAllocation:
        def __init__(self, nbytes: int) -> None:
            self._address = next(_addresses)
            world.memory[self._address] = np.full(nbytes, 0xCD, np.uint8)

        def __int__(self) -> int:
            return self._address

        def free(self) -> None:
            check_current("cuMemFree")
            del world.memory[self._address]

    class PagelockedHostAllocation:
        def __init__(self, shape: Any, dtype: Any) -> None:
            self._array = np.empty(shape, dtype)
            self._array.reshape(-1).view(np.uint8)[:] = 0xCD
            world.live["pinned"] += 1

        @property
        def __array_interface__(self) -> dict[str, Any]:
            return self._array.__array_interface__

        def free(self) -> None:
            check_current("cuMemFreeHost")
            world.live["pinned"] -= 1

    def init(flags: int = 0) -> None:
        if world.gpus < 0:
            raise LogicError("cuInit failed: no CUDA-capable device is detected")

    def mem_alloc(bytes: int) -> DeviceAllocation:
        check_current("cuMemAlloc")
        if world.used_bytes + bytes > world.memory_bytes:
            raise MemoryError("cuMemAlloc failed: out of memory")
        return DeviceAllocation(bytes)

    def pagelocked_empty(
        shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0
    ) -> np.ndarray:
        check_current("cuMemHostAlloc")
        return np.asarray(PagelockedHostAllocation(shape, dtype))  # its base, as pycuda's

    def memcpy_htod_async(dest: Any, src: np.ndarray, stream: Any = None) -> None:
        check_current("cuMemcpyHtoDAsync")
        if not src.flags.c_contiguous:
            raise LogicError("the source is not contiguous")

        def copy() -> None:
            data = src.reshape(-1).view(np.uint8)
            world.memory[int(dest)][: data.nbytes] = data

        world.streams[stream.handle].append(copy)

    def memcpy_dtoh_async(dest: np.ndarray, src: Any, stream: Any = None) -> None:
        check_current("cuMemcpyDtoHAsync")
        if not dest.flags.c_contiguous:
            raise LogicError("the destination is not contiguous")

        def copy() -> None:
            data = dest.reshape(-1).view(np.uint8)
            data[:] = world.memory[int(src)][: data.nbytes]

        world.streams[stream.handle].append(copy)

    for name, value in list(locals().items()):
        if name not in ("module", "world", "check_current"):
            setattr(module, name, value)
    return module
