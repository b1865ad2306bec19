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
    kind = weights.get(node.input[1])
    if kind is None:  # the weights pass through something: ask shape inference
        inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
        types = {value.name: value.type.tensor_type.elem_type for value in inferred}
        kind = types.get(node.input[1])
    return "fp16" if kind == onnx.TensorProto.FLOAT16 else "fp32"
