"""FP16 and INT8 graphs: what is where, and that they still compute the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.graphs import downstream, folded, heads, tail
from export.half_graph import HalfRangeError, half_precision
from export.int8_graph import calibrated_ranges, quantized, quantized_for_cpu
from export.model_files import serialized
from export.ranges import BINS, activation_ranges, entropy_bins
from tests.export.small_networks import gaze_model, random_images


def answers(model: ModelProto, image: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        serialized(model), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"image": image})


def initializers(model: ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


@pytest.fixture(scope="module")
def ranges():
    return calibrated_ranges(gaze_model(), random_images(8), "minmax")


def test_shared_weights_and_constants_are_taken_directly():
    model = folded(gaze_model())
    assert not {"Identity", "Constant"} & {node.op_type for node in model.graph.node}
    assert [n.input[1] for n in model.graph.node if n.name == "/inner"] == ["inner.w"]
    image = random_images(1)[0]
    for a, b in zip(answers(gaze_model(), image), answers(model, image), strict=True):
        assert np.array_equal(a, b)


def test_heads_are_the_last_layer_of_each_answer():
    assert heads(gaze_model().graph) == ["/pitch_yaw", "/sigma"]
    assert downstream(folded(gaze_model()).graph, ["/sigma"]) == [
        "/sigma",
        "/squeezed",
        "/log_sigma",
    ]


def test_the_tail_is_every_matrix_product_after_the_last_convolution():
    graph = gaze_model().graph
    last = max(k for k, n in enumerate(graph.node) if n.op_type == "Conv")
    products = [n.name for n in graph.node[last:] if n.op_type in ("Gemm", "MatMul")]
    assert set(heads(graph)) <= set(tail(graph)) == {*products, *heads(graph)}
    # One before a convolution is no part of it; a 1×1 convolution after all others is.
    stem = next(n for n in graph.node if n.name == "/stem")
    early = onnx.helper.make_node("MatMul", ["image", "inner.w"], ["x"], "/early")
    stem.input[0] = "x"
    graph.node.insert(0, early)
    assert "/early" not in tail(graph)
    last = [n for n in graph.node if n.op_type == "Conv"][-1]
    assert last.name not in tail(graph)
    last.attribute.append(onnx.helper.make_attribute("kernel_shape", [1, 1]))
    assert last.name in tail(graph)


def test_half_precision_keeps_ends_and_heads():
    model, kept = half_precision(gaze_model())
    assert kept == ["/pitch_yaw", "/sigma"]
    types = {t.name: t.data_type for t in model.graph.initializer}
    assert types["stem.w"] == types["hidden.w"] == TensorProto.FLOAT16
    assert types["gaze.w"] == types["sigma.b"] == types["shift"] == TensorProto.FLOAT
    ends = [*model.graph.input, *model.graph.output]
    assert {v.type.tensor_type.elem_type for v in ends} == {TensorProto.FLOAT}
    casts = [(n.input[0], n.attribute[0].i) for n in model.graph.node if n.op_type == "Cast"]
    assert casts == [("image", TensorProto.FLOAT16), ("hidden_relu", TensorProto.FLOAT)]
    image = random_images(1)[0]
    for a, b in zip(answers(gaze_model(), image), answers(model, image), strict=True):
        assert a == pytest.approx(b, abs=5e-3)
        assert not np.array_equal(a, b)


def test_weights_beyond_half_precision_are_refused():
    with pytest.raises(HalfRangeError, match=r"weight stem.* reaches .*65504.*weight decay"):
        half_precision(gaze_model(gain=1e6))


def test_int8_for_tensorrt_is_symmetric_and_per_channel(ranges):
    model, kept = quantized(gaze_model(), ranges)
    assert kept == ["/stem", "/hidden", "/pitch_yaw", "/sigma"]
    values = initializers(model)
    pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    zeros = [values[n.input[2]] for n in pairs]
    assert all(z.dtype == np.int8 and not z.any() for z in zeros)
    weights = [n for n in pairs if n.input[0] in values]
    assert {n.op_type for n in weights} == {"DequantizeLinear"}
    assert len(weights) == 2  # inner, outer: stored as int8
    for node in weights:
        stored = values[node.input[0]]
        assert stored.dtype == np.int8
        assert values[node.input[1]].shape == (stored.shape[0],)
        assert np.abs(stored.reshape(len(stored), -1)).max(1).tolist() == [127] * len(stored)
    names = {t.name for t in model.graph.initializer}
    assert {"stem.w", "inner.b", "hidden.w", "gaze.w"} <= names  # ends and biases stay FP32
    assert not {"inner.w", "outer.w"} & names


def test_int8_for_tensorrt_adds_before_it_rounds(ranges):
    """A residual sum takes its convolution as it is, and the shortcut from a DequantizeLinear."""
    model, _ = quantized(gaze_model(), ranges)
    maker = {name: n for n in model.graph.node for name in n.output}
    (total,) = [n for n in model.graph.node if n.name == "/sum"]
    assert sorted(maker[name].op_type for name in total.input) == ["Conv", "DequantizeLinear"]
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":  # never between a convolution and its ReLU
            assert node.input[0] == "image" or maker[node.input[0]].op_type in ("Relu", "Flatten")


def test_int8_for_cpus_has_kernels_for_everything_but_ends(ranges):
    model, kept = quantized_for_cpu(gaze_model(), ranges)
    assert kept == ["/stem", "/hidden", "/pitch_yaw", "/sigma"]
    values = initializers(model)
    zeros = [values[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert {z.dtype for z in zeros} == {np.dtype(np.uint8)}
    relus = [n.name for n in model.graph.node if n.op_type == "Relu"]
    assert relus == ["/stem_relu", "/hidden_relu"]  # the others are the zero point's


@pytest.mark.parametrize("convert", [quantized, quantized_for_cpu])
def test_int8_computes_nearly_the_same(convert, ranges):
    model, _ = convert(gaze_model(), ranges)
    image = random_images(1)[0]
    for a, b in zip(answers(gaze_model(), image), answers(model, image), strict=True):
        assert 0 < np.abs(a - b).max() < 0.05 * (1 + np.abs(a).max())


def test_graphs_are_the_same_each_time(ranges):
    for make in (
        lambda: half_precision(gaze_model())[0],
        lambda: quantized(gaze_model(), ranges)[0],
        lambda: quantized_for_cpu(gaze_model(), ranges)[0],
    ):
        assert serialized(make()) == serialized(make())


def test_minmax_is_what_was_seen():
    images = random_images(3, seed=2)
    found = activation_ranges(folded(gaze_model()), images, "minmax")
    assert found["image"].range_value == (
        pytest.approx(min(i.min() for i in images)),
        pytest.approx(max(i.max() for i in images)),
    )
    relu = found["stem_relu"].range_value
    assert relu[0] == 0
    assert relu[1] > 0


def test_entropy_cuts_a_lonely_outlier_but_no_even_spread():
    bins = np.arange(BINS)
    bell = (1e6 * np.exp(-((bins / 120) ** 2))).astype(np.int64)
    bell[-1] = 1
    assert entropy_bins(bell) < BINS // 2
    assert entropy_bins(np.full(BINS, 1000)) == BINS


def test_entropy_is_not_moved_by_zeros():
    """Most values behind a ReLU are zero, which says nothing about the others."""
    bins = np.arange(BINS)
    counts = (1e5 * np.exp(-bins / 300)).astype(np.int64)
    without = entropy_bins(counts)
    counts[0] = 10**9
    assert entropy_bins(counts) == without


def test_inputs_of_several_sizes_calibrate_one_network():
    x = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, "h", "w"])
    y = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 3, "h", "w"])
    nodes = [helper.make_node("Relu", ["image"], ["r"]), helper.make_node("Neg", ["r"], ["out"])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    images = [np.full((1, 3, n, n), n, np.float32) for n in (4, 6, 4)]
    found = activation_ranges(model, images, "minmax")
    assert found["r"].range_value == (4, 6)


def test_entropy_does_not_cut_at_an_empty_bin():
    """All that is cut would count for nothing there, and nothing would be lost by cutting."""
    bins = np.arange(BINS)
    sparse = np.where(bins % 16 == 0, (1e5 * np.exp(-bins / 600)).astype(np.int64), 0)
    assert entropy_bins(sparse) > BINS // 2
