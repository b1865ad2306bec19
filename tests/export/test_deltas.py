from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from clipgaze_sdk.models.derived import delta_path, derived_bytes
from export.deltas import delta


def graph(weights: dict[str, np.ndarray]) -> bytes:
    tensors = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])
    return helper.make_model(
        helper.make_graph([], "g", [image], [image], tensors)
    ).SerializeToString()


def weights(seed: int, count: int = 500) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0, 1e-3, count).astype(np.float32)
    values[::7] *= np.float32(1e-6)
    return values


def test_what_a_delta_makes_is_the_file(tmp_path: Path) -> None:
    small = np.arange(900, dtype=np.int8)
    sources = {"a.onnx": graph({"x": weights(0), "y": weights(1)}), "b.onnx": graph({"q": small})}
    with np.errstate(under="ignore"):
        half = weights(1).astype(np.float16)
    half[(half == 0) & (weights(1) < 0)] = -(2.0**-24)
    half[(half == 0) & (weights(1) > 0)] = 2.0**-24
    target = graph(
        {"y": half, "q": small, "own": weights(5), "short": weights(0, 3), "again": half}
    )
    made = delta(target, sources)
    assert len(made) < 3 * 500 * 4
    path = tmp_path / "a.fp16.onnx"
    delta_path(path).write_bytes(made)
    assert derived_bytes(path, lambda source: sources[source.name]) == target


def test_nothing_in_common_is_stored_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.fp16.onnx"
    target = graph({"x": weights(3)})
    delta_path(path).write_bytes(delta(target, {"a.onnx": graph({"x": weights(4)})}))
    assert derived_bytes(path, lambda _: b"unused") == target


def test_the_wheels_folder_gets_deltas_and_any_other_gets_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export import model_files

    base = tmp_path / "gaze.onnx"
    base.write_bytes(graph({"x": weights(0)}))
    target = graph({"x": weights(0), "y": weights(1)})
    path = tmp_path / "gaze.fp16.onnx"
    assert model_files.write_derived(path, target, {}, [base]) == path
    assert onnx.load(path).graph.initializer[1].name == "y"
    path.unlink()
    monkeypatch.setattr(model_files, "MODELS", tmp_path)
    assert model_files.write_derived(path, target, {}, [base]) == delta_path(path)
    assert not path.exists()
    assert derived_bytes(path, lambda source: source.read_bytes()) == target


def test_a_delta_of_files_that_lie_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would make another file of those beside it, or none."""
    from export import model_files, reduced_files
    from export.calibration import Inputs
    from tests.export.small_networks import random_images, write_gaze_network

    models = tmp_path / "models"
    models.mkdir()
    monkeypatch.setattr(model_files, "MODELS", models)
    network = model_files.load_network(write_gaze_network(tmp_path / "gaze.onnx"))
    inputs = Inputs(random_images(1), "0")
    with pytest.raises(model_files.ExportError, match="lies elsewhere; copy it and its card to"):
        reduced_files.write_fp16(network, models)
    with pytest.raises(model_files.ExportError, match="lies elsewhere"):
        reduced_files.write_int8(network, models, inputs=inputs, method="minmax", command="x")
    assert not list(models.iterdir())


def test_a_delta_that_makes_another_file_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export import model_files

    base = tmp_path / "gaze.onnx"
    base.write_bytes(graph({"x": weights(0)}))
    other = delta(graph({"y": weights(1)}), {base.name: base.read_bytes()})
    monkeypatch.setattr(model_files, "MODELS", tmp_path)
    monkeypatch.setattr(model_files, "delta", lambda *_: other)
    with pytest.raises(model_files.ExportError, match="would make another file"):
        model_files.write_derived(tmp_path / "gaze.fp16.onnx", graph({}), {}, [base])
    assert list(tmp_path.iterdir()) == [base]
