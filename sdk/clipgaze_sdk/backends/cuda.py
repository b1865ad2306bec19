"""TensorRT and pycuda, imported only when an engine is built or run."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from .._errors import BackendError
from ..tensorrt.info import Machine

PYCUDA_ADVICE = (
    "Install it: export PATH=/usr/local/cuda/bin:$PATH; python -m pip install pycuda (it is "
    "compiled, with nvcc)."
)
_lock = threading.Lock()
_STARTED_IN: dict[str, int] = {}


class MissingRuntimeError(BackendError):
    """TensorRT, pycuda or a GPU is not there; the message says how to get it."""


def is_jetson() -> bool:
    """Say whether this is a Jetson board."""
    return Path("/etc/nv_tegra_release").exists()


def tensorrt_advice() -> str:
    """Say how to get TensorRT on this system."""
    if not is_jetson():
        return (
            'Install it: python -m pip install "clipgaze-sdk[tensorrt]" (it needs an NVIDIA GPU, '
            "its driver, and nvcc on the PATH)."
        )
    jetpack = "On a Jetson it comes with JetPack: sudo apt-get install tensorrt python3-libnvinfer."
    if sys.prefix == sys.base_prefix:
        return jetpack
    return (
        f"{jetpack} A virtual environment sees it only when made by python3 -m venv "
        "--system-site-packages."
    )


def import_tensorrt() -> Any:
    """Return the module ``tensorrt``.

    Raises:
        MissingRuntimeError: it cannot be imported.
    """
    return _imported("tensorrt", "TensorRT", tensorrt_advice())


def import_cuda() -> Any:
    """Return the module ``pycuda.driver``, initialised, with at least one GPU.

    Raises:
        MissingRuntimeError: it cannot be imported, or there is no GPU.
        BackendError: the process that started CUDA was forked, and this is the child.
    """
    cuda = _imported("pycuda.driver", "pycuda", PYCUDA_ADVICE)
    if _STARTED_IN.get("pid", os.getpid()) != os.getpid():
        raise BackendError(
            "CUDA was started before this process was forked, and cannot start again here. Start "
            "processes by 'spawn', or make the first estimator in the child."
        )
    try:
        cuda.init()
        _STARTED_IN["pid"] = os.getpid()
        count = int(cuda.Device.count())
    except cuda.Error as error:
        raise MissingRuntimeError(
            f"CUDA does not start ({error}). Check the driver: nvidia-smi, or tegrastats on a "
            "Jetson."
        ) from error
    if count == 0:
        raise MissingRuntimeError(
            "there is no NVIDIA GPU here, or CUDA_VISIBLE_DEVICES hides it; engines need one. Use "
            "the .onnx models."
        )
    return cuda


def _imported(module: str, name: str, advice: str) -> Any:
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise MissingRuntimeError(f"{name} cannot be imported ({error}). {advice}") from error


def this_machine(trt: Any, cuda: Any) -> Machine:
    """Return what engines that are built here are bound to."""
    device = cuda.Device(0)
    major, minor = device.compute_capability()
    return Machine(
        tensorrt_version=str(trt.__version__),
        gpu_name=str(device.name()).strip(),
        compute_capability=f"{major}.{minor}",
        platform=f"{platform.system()} {platform.machine()}",
    )


@contextmanager
def gpu_context(cuda: Any) -> Iterator[None]:
    """Make the GPU's primary context current in this thread while something runs.

    It is the context of CUDA's runtime, so that torch and TensorRT work in the same one.  It is
    retained once in a process and never given back: other libraries in the process hold it too,
    and pycuda's ``detach`` would leave it on the thread's stack, or do nothing in another thread.

    Raises:
        BackendError: CUDA failed.
    """
    try:
        with _lock:
            gpu = _primary_context(cuda)
        gpu.push()
        try:
            yield
        finally:
            cuda.Context.pop()
    except cuda.MemoryError as error:
        raise BackendError(
            f"the GPU has no memory left ({error}). Close what else uses it, or build the engine "
            "for smaller batches (--batch)."
        ) from error
    except cuda.Error as error:
        raise BackendError(f"CUDA failed: {error}.") from error


@cache
def _primary_context(cuda: Any) -> Any:
    device = cuda.Device(0)
    return device.retain_primary_context()


def tensorrt_log(trt: Any) -> Any:
    """Return the one logger of this process, which keeps TensorRT's last errors for messages.

    TensorRT sends everything to the logger that it was first given, whichever comes later.
    """
    with _lock:
        return _make_log(trt)


@cache
def _make_log(trt: Any) -> Any:
    class ErrorLog(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=8)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(" ".join(str(msg).split()))

        def take(self) -> str:
            """Return the errors since the last call in one line."""
            text = "; ".join(self.errors) or "it gave no reason"
            self.errors.clear()
            return text

    return ErrorLog()
