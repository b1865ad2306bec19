"""Reading layers' precision from what TensorRT's engine inspector says, in all its forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clipgaze_sdk import BackendError
from clipgaze_sdk.tensorrt.precision import check_compute_layers, read_layers

# As in NVIDIA's manual for TensorRT 10.
CASK = {
    "Name": "conv_1 + bn_1 + relu_1",
    "LayerType": "CaskConvolution",
    "Inputs": [
        {
            "Name": "x",
            "Dimensions": [16, 512, 28, 28],
            "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format.",
        }
    ],
    "Outputs": [{"Name": "y", "Format/Datatype": "Row major linear FP32"}],
    "ParameterType": "Convolution",
    "Weights": {"Type": "Int8", "Count": 131072},
    "Bias": {"Type": "Float", "Count": 256},
    "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32_nchw_vect_c_32kcrs",
    "Metadata": "",
}
# As reported of TensorRT 10's graph compiler.
MYELIN = {
    "Name": "__myl_Fc_myl0_69",
    "LayerType": "fusion",
    "Inputs": [{"Name": "a", "Dimensions": [1, 40, 256], "Format/Datatype": "Half"}],
    "Outputs": [{"Name": "b", "Dimensions": [1, 40, 1024], "Format/Datatype": "Half"}],
    "TacticName": "sm80_xmma_gemm_f16f16_f16f16_f16_nn_n_tilesize32x32x64_by_fusion_tactic",
    "Metadata": "[ONNX Layer: /dense/MatMul][ONNX Layer: /Mul][ONNX Layer: /dense/Add]",
}
# As TensorRT 11 parts type and format.
ELEVEN = {
    "Name": "gemm_0",
    "LayerType": "MatrixMultiply",
    "Inputs": [{"Name": "tokens", "Format": "LINEAR", "DataType": "FP16"}],
    "Outputs": [{"Name": "out", "Format": "LINEAR", "Datatype": "Float"}],
    "Metadata": "[ONNX Layer: /head/Gemm]",
}


def count(layers: list[dict[str, Any]], name: str, precision: str) -> dict[str, int]:
    return check_compute_layers(layers, [name], precision=precision, excluded=())


def found(layers: list[dict[str, Any]], name: str, precision: str) -> str:
    with pytest.raises(BackendError, match=f"the engine is not {precision}") as caught:
        count(layers, name, precision)
    return str(caught.value).split(f"{name} (")[1].split(")")[0]


def test_known_forms() -> None:
    assert count([CASK], "conv_1", "int8") == {"int8": 1}
    assert count([MYELIN], "/dense/MatMul", "fp16") == {"fp16": 1}
    assert count([ELEVEN], "/head/Gemm", "fp16") == {"fp16": 1}
    assert found([CASK], "conv_1", "fp16") == "int8"
    assert found([MYELIN], "/dense/MatMul", "fp32") == "fp16"
    assert found([ELEVEN], "/head/Gemm", "int8") == "fp16"


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("Row major linear FP32", "fp32"),
        ("Float", "fp32"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Half", "fp16"),
        ("Row major Int8 format", "int8"),
        ("Int8", "int8"),
        ("BFloat16", "bf16"),
        ("N/A due to dynamic shapes", "of unknown precision"),
        ("", "of unknown precision"),
    ],
)
def test_words_for_types(text: str, precision: str) -> None:
    layer = {
        "Name": "c",
        "LayerType": "Convolution",
        "Inputs": [{"Name": "x", "Format/Datatype": text}],
    }
    for asked in ("fp32", "fp16", "int8"):
        if precision == asked:
            assert count([layer], "c", asked) == {asked: 1}
        else:
            assert found([layer], "c", asked) == precision


def test_weights_go_before_the_kernel_and_that_before_tensors() -> None:
    half = [{"Name": "x", "Format/Datatype": "Half"}]
    layer: dict[str, Any] = {"Name": "c", "LayerType": "conv", "Inputs": half, "Outputs": half}
    assert count([layer], "c", "fp16") == {"fp16": 1}
    layer["TacticName"] = "ampere_sgemm_f32f32_f32f32_f32_nn"
    assert found([layer], "c", "fp16") == "fp32"
    layer["Weights"] = {"Type": "Half", "Count": 1}
    assert count([layer], "c", "fp16") == {"fp16": 1}


def test_a_fused_cast_is_fp16_but_a_fused_quantiser_is_no_int8() -> None:
    single = [{"Name": "x", "Format/Datatype": "Float"}]
    for word, precision in (("Half", "fp16"), ("Int8", "int8")):
        layer = {
            "Name": "c",
            "LayerType": "conv",
            "Inputs": single,
            "Outputs": [{"Name": "y", "Format/Datatype": word}],
        }
        if precision == "fp16":
            assert count([layer], "c", precision) == {"fp16": 1}
        else:
            assert found([layer], "c", precision) == "fp32"


def test_what_only_surrounds_a_product_does_not_count() -> None:
    name = "[ONNX Layer: c]"
    float_ = [{"Name": "x", "Format/Datatype": "Float"}]
    besides = [
        {"Name": "Reformatting CopyNode for Input Tensor 0 to c", "LayerType": "Reformat"},
        {"Name": "w", "LayerType": "Constant", "Metadata": name, "Outputs": float_},
        {"Name": "s", "LayerType": "Shuffle", "Metadata": name, "Inputs": float_},
        {"Name": "k", "LayerType": "kgen", "Metadata": name, "Inputs": float_},
    ]
    own = {**MYELIN, "Metadata": name}
    assert count([*besides, own], "c", "fp16") == {"fp16": 1}
    assert found(besides[:3], "c", "fp16") == "not in the engine"


def test_names_are_whole_names() -> None:
    layer = {**CASK, "Name": "/body/10/Conv + /body/10/Relu"}
    assert found([layer], "/body/1/Conv", "int8") == "not in the engine"
    assert found([layer], "body/10/Conv", "int8") == "not in the engine"
    assert count([layer], "/body/10/Conv", "int8") == {"int8": 1}


def test_kept_nodes_may_have_any_precision() -> None:
    layers = [CASK, MYELIN]
    counts = check_compute_layers(
        layers, ["conv_1", "/dense/MatMul"], precision="int8", excluded=("/dense/MatMul",)
    )
    assert counts == {"int8": 1, "fp16": 1}


def test_one_of_many_is_enough_to_fail() -> None:
    layers = [{**MYELIN, "Metadata": f"[ONNX Layer: c{n}]"} for n in range(8)]
    layers.append({**CASK, "Metadata": "[ONNX Layer: c8]"})
    with pytest.raises(BackendError, match=r"1 of 9 convolutions.*: c8 \(int8\)"):
        check_compute_layers(layers, [f"c{n}" for n in range(9)], precision="fp16", excluded=())


def test_control_characters_are_read_and_nonsense_is_not() -> None:
    text = json.dumps({"Layers": [MYELIN]}).replace("][", "]\x1e[")
    assert count(read_layers(text), "/dense/MatMul", "fp16") == {"fp16": 1}
    for wrong in ("", "[]", "{}", "null", '{"Layers": 3}', '{"Layers": ["conv_1"]}'):
        with pytest.raises(BackendError, match="engine inspector"):
            read_layers(wrong)
