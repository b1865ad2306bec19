"""INT8 as a graph: QuantizeLinear and DequantizeLinear around convolutions and matrix products.

Two placements of the same ranges, because the two runtimes want opposite things:

- :func:`quantized` for TensorRT: symmetric int8 with zero points of 0, at the inputs of weighted
  nodes and at one input of a residual sum.  TensorRT fuses convolution, bias, sum, ReLU and the
  next QuantizeLinear into one kernel.
- :func:`quantized_for_cpu` for ONNX Runtime's CPU kernels: uint8 with zero points, at outputs too.
  ONNX Runtime has no integer kernel for a convolution whose ReLU stands before the QuantizeLinear,
  and only a zero point at the lowest number lets it drop that ReLU.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from export.graphs import (
    WEIGHTED,
    beginning,
    downstream,
    drop_unused,
    folded,
    named,
    tail,
    topologically_sorted,
)
from export.ranges import activation_ranges

_SUM_OPS = ("Add",)


def calibrated_ranges(
    model: ModelProto, images: Sequence[NDArray[np.float32]], method: str
) -> TensorsData:
    """The range of every activation over the images, by ``entropy`` or ``minmax``."""
    return activation_ranges(prepared(model), images, method)


def prepared(model: ModelProto) -> ModelProto:
    """The graph that ranges are measured on and that is quantised: named nodes, plain weights."""
    return named(folded(model))


def quantized(model: ModelProto, ranges: TensorsData) -> tuple[ModelProto, list[str]]:
    """A graph in INT8 for TensorRT; and which weighted nodes are not.

    Weights are int8 per output channel, activations int8 per tensor, all symmetric.  Biases and
    everything outside of weighted nodes stay FP32: TensorRT fuses nearly all of it into them, and
    refuses int32 biases.  The first convolution stays FP32, and what is done to the picture before:
    eight bits more per pixel are worth keeping, and three channels leave integer kernels idle.
    """
    model = prepared(model)
    answers = tail(model.graph)
    before, first = beginning(model.graph)
    kept = [*(name for name in first if name not in answers), *answers]
    done = _quantized(
        model,
        ranges,
        activations=QuantType.QInt8,
        apart=[*downstream(model.graph, answers), *before, *first],
        operators=[*WEIGHTED, *_SUM_OPS],
        options={
            "ActivationSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": [*WEIGHTED, *_SUM_OPS],
        },
    )
    _free_one_input_of_sums(done)
    drop_unused(done.graph)
    return done, kept


def quantized_for_cpu(model: ModelProto, ranges: TensorsData) -> tuple[ModelProto, list[str]]:
    """A graph in INT8 for ONNX Runtime on CPUs; and which weighted nodes are not.

    The first convolution, of three channels, stays FP32: im2col of so few channels is slower in
    INT8 than ONNX Runtime's blocked FP32 kernel.
    """
    model = prepared(model)
    answers = tail(model.graph)
    before, first = beginning(model.graph)
    done = _quantized(
        model,
        ranges,
        activations=QuantType.QUInt8,
        apart=[*downstream(model.graph, answers), *before, *first],
        operators=[],
        options={},
    )
    return done, [*(name for name in first if name not in answers), *answers]


def _quantized(
    model: ModelProto,
    ranges: TensorsData,
    *,
    activations: QuantType,
    apart: Sequence[str],
    operators: Sequence[str],
    options: dict[str, object],
) -> ModelProto:
    every = sorted({*QDQRegistry, *QLinearOpsRegistry})
    with _quiet():
        quantizer = QDQQuantizer(
            onnx.shape_inference.infer_shapes(model),
            True,  # per channel
            False,  # reduced range
            QuantType.QInt8,
            activations,
            ranges,
            [],  # nodes to quantise: all
            list(apart),
            list(operators) or every,
            options,
        )
        quantizer.quantize_model()
    done: ModelProto = quantizer.model.model
    topologically_sorted(done.graph)
    del done.graph.value_info[:]
    # The quantiser declares its own domain, whose operators are not used.
    for i in reversed(range(len(done.opset_import))):
        if done.opset_import[i].domain not in {node.domain for node in done.graph.node}:
            del done.opset_import[i]
    return done


def _free_one_input_of_sums(model: ModelProto) -> None:
    """Let one input of each residual sum come from its convolution in full precision.

    That convolution and the sum then are one kernel in TensorRT, which adds before it rounds.
    """
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    uses: dict[str, int] = {value.name: 1 for value in graph.output}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    for node in graph.node:
        if node.op_type not in _SUM_OPS:
            continue
        for i, name in enumerate(node.input):
            source = _unquantized(name, maker)
            if source is None:
                continue
            made_by = maker.get(source)
            if made_by is not None and made_by.op_type in WEIGHTED and uses[source] == 1:
                node.input[i] = source
                break


def _unquantized(name: str, maker: dict[str, NodeProto]) -> str | None:
    """The tensor that a Q/DQ pair rounds to give ``name``; None if there is no such pair."""
    dequantize = maker.get(name)
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return None
    quantize = maker.get(dequantize.input[0])
    if quantize is None or quantize.op_type != "QuantizeLinear":
        return None
    return str(quantize.input[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice, which is about files that it did not prepare, and prints."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
