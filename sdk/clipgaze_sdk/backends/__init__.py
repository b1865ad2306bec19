"""Runtimes that execute networks, behind one small protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..models.cards import ModelCard
from ..tensorrt.info import ENGINE_SUFFIX

if TYPE_CHECKING:  # so that `clipgaze doctor` can say that numpy is missing
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Backend", "load_backend"]


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


def load_backend(path: Path, card: ModelCard, *, threads: int) -> Backend:
    """Load a model file with the backend of its kind.

    Args:
        path: the model file, checked against its card by SHA-256 already.
        card: its card; the loaded tensors are checked against it.
        threads: CPU threads for this network; of no use to an engine.

    Raises:
        ModelError: the file is no such model, or its tensors are not those of the card.
        BackendError: the runtime is not installed, or an engine was built for another machine.
    """
    if path.suffix == ENGINE_SUFFIX:
        from .tensorrt import TensorRTBackend

        return TensorRTBackend(path, card)
    from .onnx_runtime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(path, card, threads=threads)
