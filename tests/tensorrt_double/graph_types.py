"""What an ONNX graph says of the precision of its convolutions and matrix products."""

from __future__ import annotations

import onnx

LAYER_TYPES = {
    "Conv": "CONVOLUTION",
    "ConvTranspose": "DECONVOLUTION",
    "Gemm": "MATRIX_MULTIPLY",
    "MatMul": "MATRIX_MULTIPLY",
}


def node_precision(model: onnx.ModelProto, node: onnx.NodeProto) -> str:
    """Say in what a node computes, by its first two inputs."""
    makers = {name: n for n in model.graph.node for name in n.output}
    inputs = [makers.get(name) for name in node.input[:2]]
    if all(n is not None and n.op_type == "DequantizeLinear" for n in inputs):
        return "int8"
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    is_half = (
        weights[node.input[1]] == onnx.TensorProto.FLOAT16
        if node.input[1] in weights
        else node.input[1] in half_tensors(model)
    )
    return "fp16" if is_half else "fp32"


def half_tensors(model: onnx.ModelProto) -> set[str]:
    """Return the names of what is in half precision between the nodes."""
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {
        value.name
        for value in inferred
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    }
