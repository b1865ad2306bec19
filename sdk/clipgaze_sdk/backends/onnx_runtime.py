"""Networks on ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._errors import BackendError, ModelError
from ..models.cards import TensorSpec
from ..models.files import ModelFile

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64"}
_ERRORS_ONLY = 3


class OnnxRuntimeBackend:
    """An ONNX file in an ONNX Runtime session; see :class:`~clipgaze_sdk.backends.Backend`."""

    def __init__(self, model: ModelFile, *, threads: int) -> None:
        self._name = str(model.path)
        self._session: Any = _session(model, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._card = model.card
        self._card.check_tensors(inputs=list(map(_spec, inputs)), outputs=list(map(_spec, outputs)))
        self._output_names = [tensor.name for tensor in outputs]

    def run(self, images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Return every output by name for images (N, 3, H, W) float32.

        Raises:
            BackendError: ONNX Runtime failed, or the backend is closed.
            ModelError: the outputs are not of the shapes that the card says.
        """
        if self._session is None:
            raise BackendError(f"the network {self._name!r} is closed; make a new estimator.")
        try:
            values = self._session.run(None, {"image": images})
        except Exception as error:  # ONNX Runtime's own classes derive from Exception alone
            call = f"{self._name!r} with an input of shape {images.shape}"
            raise BackendError(f"ONNX Runtime failed on {call}: {error}") from error
        outputs = dict(zip(self._output_names, values, strict=True))
        self._card.check_answers(outputs, count=len(images))
        return outputs

    def close(self) -> None:
        """Release the session; a second call does nothing."""
        self._session = None


def _session(model: ModelFile, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"ONNX Runtime cannot be imported ({error}). Install it: python -m pip install "
            "onnxruntime"
        ) from error

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc]
        # Where a model does not load, it would print so on stdout, and try the same once more.
        _enable_fallback = property(lambda _: False, lambda *_: None)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Idle threads would spin, and each of three networks has its own: they take the processor from
    # each other and from the application.  On two busy cores, spinning made two networks in turn
    # 3.6 times slower (21 ms against 6) and used 1.7 times the processor time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = Session(model.data, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes derive from Exception alone
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {str(model.path)!r}: {error}. The "
            "file is damaged or newer than the runtime: copy it again, or update onnxruntime."
        ) from error
    session._model_bytes = b""  # which it holds for that second try alone
    return session


def _spec(tensor: Any) -> TensorSpec:
    shape = tuple(n if isinstance(n, (int, str)) else "any" for n in tensor.shape)
    return TensorSpec(tensor.name, _DTYPES.get(tensor.type, tensor.type), shape)
