"""Running an FP16 graph in true half precision, and looking at every activation.

ONNX Runtime's CPU computes FP16 graphs in FP32, where an overflow stays unseen.  Here convolutions
and matrix products run in PyTorch's half precision (products summed in FP32 and rounded to half,
as a GPU's tensor cores do), and everything else in numpy's, through ONNX's reference evaluator.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch.nn import functional as F

MOST_ACTIVATION = 30_000.0
"""An activation beyond is too near to 65,504, where half precision ends, for other inputs."""

Array = NDArray[Any]


class Conv(OpRun):
    """2D convolution in the precision of its input."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str | None = None,
        dilations: Sequence[int] | None = None,
        group: int | None = None,
        kernel_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
    ) -> tuple[Array]:
        if auto_pad not in (None, "NOTSET"):
            raise NotImplementedError(f"convolution with auto_pad {auto_pad!r}")
        top, left, bottom, right = pads or (0, 0, 0, 0)
        y = F.conv2d(
            F.pad(torch.from_numpy(x), (left, right, top, bottom)),
            torch.from_numpy(w.copy()),
            None if b is None else torch.from_numpy(b.copy()),
            stride=tuple(strides or (1, 1)),
            dilation=tuple(dilations or (1, 1)),
            groups=group or 1,
        )
        return (y.numpy(),)


class Gemm(OpRun):
    """Matrix product with bias in the precision of its input."""

    op_domain = ""

    def _run(
        self,
        a: Array,
        b: Array,
        c: Array | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        transA: int | None = None,
        transB: int | None = None,
    ) -> tuple[Array]:
        left = torch.from_numpy(a.T.copy() if transA else a.copy())
        right = torch.from_numpy(b.T.copy() if transB else b.copy())
        y = left @ right
        if alpha not in (None, 1.0):
            y = y * alpha
        if c is not None:
            y = y + torch.from_numpy(c.copy()) * (1.0 if beta is None else beta)
        return (y.numpy(),)


class MatMul(OpRun):
    """Matrix product in the precision of its input."""

    op_domain = ""

    def _run(self, a: Array, b: Array) -> tuple[Array]:
        return (torch.matmul(torch.from_numpy(a.copy()), torch.from_numpy(b.copy())).numpy(),)


class HalfRunner:
    """Runs an FP16 graph in half precision, and remembers each layer's largest activation."""

    def __init__(self, model: ModelProto) -> None:
        model = copy.deepcopy(model)
        self.outputs = [value.name for value in model.graph.output]
        self._layers = _halves(model)
        model.graph.output.extend(
            helper.make_empty_tensor_value_info(name) for name in self._layers
        )
        self._evaluator = ReferenceEvaluator(model, new_ops=[Conv, Gemm, MatMul])
        self.largest: dict[str, float] = dict.fromkeys(self._layers.values(), 0.0)
        """By node, over all runs; infinite where half precision overflowed."""

    def run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Every output by name for an input (N, 3, H, W)."""
        with np.errstate(over="ignore", invalid="ignore"), torch.inference_mode():
            values: list[NDArray[Any]] = self._evaluator.run(None, {"image": image})  # type: ignore[assignment]
        for tensor, value in zip(self._layers, values[len(self.outputs) :], strict=True):
            node = self._layers[tensor]
            most = float(np.abs(value.astype(np.float32)).max(initial=0.0))
            self.largest[node] = max(self.largest[node], most if most == most else np.inf)
        return dict(zip(self.outputs, values[: len(self.outputs)], strict=True))


def _halves(model: ModelProto) -> dict[str, str]:
    """Node names by each tensor that the graph computes in half precision."""
    inferred = onnx.shape_inference.infer_shapes(model)
    types = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    return {
        name: node.name
        for node in model.graph.node
        for name in node.output
        if types.get(name) == TensorProto.FLOAT16
    }
