"""Runtimes that execute networks, behind one small protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from ..models.files import ModelFile
from ..tensorrt.info import ENGINE_SUFFIX

if TYPE_CHECKING:  # so that `clipgaze doctor` can say that numpy is missing
    import numpy as np
    from numpy.typing import NDArray


class Backend(Protocol):
    """One loaded network; the caller serialises its calls."""

    def run(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Return every output by name.

        Args:
            images: (N, 3, H, W) float32, N at least 1.

        Raises:
            BackendError: the runtime failed, or the backend is closed.
        """

    def close(self) -> None:
        """Release the network; a second call does nothing."""


def load_backend(model: ModelFile, *, threads: int) -> Backend:
    """Load a model with the backend of its kind.

    Args:
        model: checked by SHA-256 already; the loaded tensors are checked against its card.
        threads: CPU threads for this network; of no use to an engine.

    Raises:
        ModelError: the file is no such model, or its tensors are not those of the card.
        BackendError: the runtime is not installed, or an engine was built for another machine.
    """
    if model.path.suffix == ENGINE_SUFFIX:
        from .tensorrt import load_engine

        return load_engine(model)
    from .onnx_runtime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model, threads=threads)
