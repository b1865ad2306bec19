"""One engine in memory on the GPU: buffers, stream, and runs of any batch."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import BackendError
from ..models.cards import TensorSpec
from ..tensorrt.info import Profile
from .cuda import gpu_context, import_cuda, import_tensorrt, tensorrt_log

_FREE = -1


class EngineRunner:
    """Runs a serialised engine on a stream of its own; several threads may share it.

    Args:
        data: the engine.
        name: of the engine, for messages.

    Raises:
        MissingRuntimeError: TensorRT, pycuda or a GPU is missing.
        BackendError: the engine cannot be loaded; nothing stays allocated.
    """

    def __init__(self, data: bytes, *, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._trt: Any = import_tensorrt()
        self._cuda: Any = import_cuda()
        self._log: Any = tensorrt_log(self._trt)
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._stream: Any = None
        self._hosts: dict[str, Any] = {}
        """Pinned memory of each tensor at its largest; on the device, too."""
        self._devices: dict[str, Any] = {}
        self._closed = False
        try:
            with gpu_context(self._cuda):
                self._load(data)
                self.inputs, self.outputs, self.profile = self._described()
                self._allocate()
        except BaseException:
            self.close()
            raise

    def run(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Return every output by name; batches beyond the profile are run in parts.

        Args:
            images: (N, 3, H, W) float32, N at least 1.

        Raises:
            BackendError: the shape is outside of the profile, the runtime failed, or it is closed.
        """
        with self._lock:
            if self._closed:
                raise BackendError(f"the network {self._name!r} is closed; make a new estimator.")
            high = self.profile.max[0]
            if len(images) == 0 or not self.profile.holds((high, *images.shape[1:])):
                raise BackendError(
                    f"engine {self._name!r} got an input of shape {images.shape}; it was built for "
                    f"{self.profile.min} to {self.profile.max}. Build it for this shape."
                )
            with gpu_context(self._cuda):
                starts = range(0, len(images), high)
                parts = [self._run_part(images[start : start + high]) for start in starts]
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def layers(self) -> str:
        """Return TensorRT's description of the engine's layers, as JSON.

        Raises:
            BackendError: the runtime failed.
        """
        with self._lock, gpu_context(self._cuda):
            inspector = self._engine.create_engine_inspector()
            # Without a context whose shapes are set, dynamic layers tell no type.
            inspector.execution_context = self._context
            return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def close(self) -> None:
        """Release everything on the GPU; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with gpu_context(self._cuda):
                self._context = self._engine = self._runtime = None
                pinned = [array.base for array in self._hosts.values()]
                for memory in (*self._devices.values(), *pinned):
                    memory.free()
                self._hosts, self._devices, self._stream = {}, {}, None

    def _load(self, data: bytes) -> None:
        self._log.errors.clear()
        self._runtime = self._trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise self._failed(f"TensorRT {self._trt.__version__} cannot load it")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            full = "usually the GPU has no memory left: close what else uses it"
            raise self._failed(f"TensorRT has no context for it ({full})")
        self._stream = self._cuda.Stream()

    def _described(self) -> tuple[list[TensorSpec], list[TensorSpec], Profile]:
        engine = self._engine
        inputs: list[TensorSpec] = []
        outputs: list[TensorSpec] = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            shape = tuple("any" if n == _FREE else int(n) for n in engine.get_tensor_shape(name))
            dtype = np.dtype(self._trt.nptype(engine.get_tensor_dtype(name))).name
            is_input = engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
            (inputs if is_input else outputs).append(TensorSpec(name, dtype, shape))
        if len(inputs) != 1:
            raise BackendError(
                f"engine {self._name!r} has {len(inputs)} inputs; expected one, 'image'. Build it "
                "from one of this project's models."
            )
        shapes = engine.get_tensor_profile_shape(inputs[0].name, 0)
        return inputs, outputs, Profile(*(tuple(map(int, shape)) for shape in shapes))

    def _allocate(self) -> None:
        self._set_shape(self.profile.max)
        for spec in (*self.inputs, *self.outputs):
            count = int(np.prod(self._shape_of(spec.name)))
            host = self._cuda.pagelocked_empty(count, np.dtype(spec.dtype))
            self._hosts[spec.name] = host
            self._devices[spec.name] = memory = self._cuda.mem_alloc(host.nbytes)
            if not self._context.set_tensor_address(spec.name, int(memory)):
                raise self._failed(f"TensorRT refused the memory of {spec.name!r}")

    def _run_part(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        count = len(images)
        shape = (max(count, self.profile.min[0]), *images.shape[1:])
        name = self.inputs[0].name
        self._set_shape(shape)
        staged = self._hosts[name][: int(np.prod(shape))]
        staged[: images.size] = images.reshape(-1)
        staged[images.size :] = 0
        self._cuda.memcpy_htod_async(self._devices[name], staged, self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise self._failed(f"TensorRT failed on an input of shape {images.shape}")
        results = {}
        for spec in self.outputs:
            shape, host = self._shape_of(spec.name), self._hosts[spec.name]
            results[spec.name] = host[: int(np.prod(shape))].reshape(shape)
            self._cuda.memcpy_dtoh_async(results[spec.name], self._devices[spec.name], self._stream)
        self._stream.synchronize()
        return {key: value[:count].copy() for key, value in results.items()}

    def _set_shape(self, shape: tuple[int, ...]) -> None:
        if not self._context.set_input_shape(self.inputs[0].name, shape):
            raise self._failed(f"TensorRT refused an input of shape {shape}")

    def _shape_of(self, name: str) -> tuple[int, ...]:
        shape = tuple(int(n) for n in self._context.get_tensor_shape(name))
        if _FREE in shape:
            raise self._failed(f"the shape of {name!r} is not known before a run: {shape}")
        return shape

    def _failed(self, what: str) -> BackendError:
        return BackendError(f"engine {self._name!r}: {what}: {self._log.take()}.")
