"""Damaged and hostile models and cards: typed errors, and the bytes that were checked are used."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from clipgaze_sdk import EstimatorOptions, GazeEstimator, ModelCard, ModelError
from clipgaze_sdk.backends import load_backend
from clipgaze_sdk.models.files import BUNDLED_FOLDER, load_model_file
from clipgaze_sdk.models.json_files import read_json
from clipgaze_sdk.tensorrt.info import EngineInfo
from tests.fake_networks import draw_faces, write_card, write_networks

FACE = draw_faces((640, 480), [(300, 240)])


def external(folder: Path) -> Path:
    model = onnx.load(BUNDLED_FOLDER / "face_detector.onnx")
    path = folder / "face_detector.onnx"
    onnx.save_model(
        model, path, save_as_external_data=True, location="weights.bin", size_threshold=1024
    )
    card = json.loads((BUNDLED_FOLDER / "face_detector.json").read_text())
    card["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def test_weights_that_the_hash_does_not_cover_are_refused(tmp_path: Path) -> None:
    path = external(tmp_path)
    with pytest.raises(ModelError, match=r"keeps weights in another file .*save_model"):
        load_model_file(path)
    with pytest.raises(ModelError, match="external data"):
        GazeEstimator(path)


def test_a_word_of_the_format_in_a_models_metadata_is_no_external_data(tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    model = onnx.load(tmp_path / "gaze.onnx")
    entry = model.metadata_props.add()
    entry.key, entry.value = "location", "Berlin"
    onnx.save(model, tmp_path / "gaze.onnx")
    write_card(tmp_path / "gaze.onnx", "gaze")
    assert load_model_file(tmp_path / "gaze.onnx").card.task == "gaze"


def test_the_bytes_that_were_checked_are_those_that_run(tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    model = load_model_file(tmp_path / "gaze.onnx")
    expected = load_backend(model, threads=1).run(np.ones((1, 3, 96, 224), np.float32))
    write_networks(tmp_path, ("gaze",), broken=("gaze",))
    found = load_backend(model, threads=1).run(np.ones((1, 3, 96, 224), np.float32))
    assert found["pitch_yaw"].tolist() == expected["pitch_yaw"].tolist()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "1" * 5000,
        '{"seed": %s}' % ("9" * 5000),
        '{"seed": 1e999}',
        '{"seed": NaN}',
        '{"seed": -Infinity}',
        '{"name": "%s"}' % ("x" * (5 << 20)),
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_json_that_is_no_card(text: str, tmp_path: Path) -> None:
    path = tmp_path / "gaze.json"
    path.write_bytes(text.encode("latin-1"))
    for read in (ModelCard.load, lambda p: read_json(p, what="card")):
        with pytest.raises(ModelError, match=r"card .*gaze\.json' (is|has) "):
            read(path)


ENGINE: dict[str, Any] = {
    "machine": {
        "tensorrt_version": "10.3",
        "gpu_name": "a",
        "compute_capability": "8.7",
        "platform": "Linux",
    },
    "arguments": ["gaze", "--fp16"],
    "profile": {"min": [1, 3, 8, 8], "opt": [1, 3, 8, 8], "max": [8, 3, 8, 8]},
    "strongly_typed": True,
    "compute_layers": {"fp16": 3},
    "parity": {"pitch_yaw": 0.1},
    "source": "gaze",
    "base_sha256": "0" * 64,
    "onnx_sha256": "0" * 64,
    "calibration_sha256": "",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"profile": {"min": [1], "opt": [1], "max": ["x"]}},
        {"profile": {"min": [1], "opt": [1], "max": None}},
        {"profile": None},
        {"machine": []},
        {"arguments": 3},
        {"parity": {"pitch_yaw": "much"}},
        {"parity": {"pitch_yaw": 10**29}, "compute_layers": {"fp16": []}},
    ],
)
def test_side_cars_of_wrong_types(changes: dict[str, Any], tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    card = ModelCard.load(write_card(tmp_path / "gaze.onnx", "gaze", engine=ENGINE))
    assert EngineInfo.from_card(card).profile.max == (8, 3, 8, 8)
    card = ModelCard.load(write_card(tmp_path / "gaze.onnx", "gaze", engine={**ENGINE, **changes}))
    with pytest.raises(ModelError, match=r"side-car .* cannot be used"):
        EngineInfo.from_card(card)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean", [1e7, 0, 0]),
        ("std", [1e7, 1, 1]),
        ("std", [10**25] * 3),
        ("std", [True] * 3),
        ("focal_px", 1e-300),
        ("focal_px", [960.0, 960.0]),
        ("distance_mm", 1e300),
        ("center_px", [1e300, 0]),
    ],
)
def test_numbers_with_which_nothing_can_be_computed(key: str, value: Any, tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    card = json.loads((tmp_path / "gaze.json").read_text())["preprocessing"]
    write_card(tmp_path / "gaze.onnx", "gaze", preprocessing={**card, key: value})
    with pytest.raises(ModelError, match=rf"preprocessing\.{key} = .*expected .*between"):
        GazeEstimator(tmp_path / "gaze.onnx", options=EstimatorOptions(threads=1))


def says(rows: int, sides: tuple[Any, Any]) -> bytes:
    """A network that says the same of so many faces, whatever it sees."""
    zeros = ", ".join(["-1.0"] * rows)
    text = f"""<ir_version: 8, opset_import: ["": 17]>
        g (float[b, 3, {sides[0]}, {sides[1]}] image) => (float[n, 2] pitch_yaw, float[n] log_sigma)
        {{
            pitch_yaw = Constant <value = float[{rows}, 2] {{{zeros}, {zeros}}}> ()
            log_sigma = Constant <value = float[{rows}] {{{zeros}}}> ()
        }}"""
    return bytes(parser.parse_model(text).SerializeToString())


@pytest.mark.parametrize("rows", [2, 3])
def test_a_network_that_answers_for_other_faces_than_it_was_shown(
    rows: int, tmp_path: Path
) -> None:
    write_networks(tmp_path)
    path = tmp_path / "gaze.onnx"
    path.write_bytes(says(rows, (96, 224)))
    write_card(path, "gaze")
    with (
        GazeEstimator(tmp_path, options=EstimatorOptions(threads=1)) as estimator,
        pytest.raises(ModelError, match=rf"pitch_yaw of shape \[{rows}, 2\] for 1 image"),
    ):
        estimator.estimate(FACE)


@pytest.mark.parametrize("side", [40_000, 0, -3, True, 96.0, None])
def test_sides_that_no_crop_has(side: Any, tmp_path: Path) -> None:
    path = tmp_path / "gaze.onnx"
    path.write_bytes(says(1, ("h", "w")))
    image = {"name": "image", "dtype": "float32", "shape": ["batch", 3, side, side]}
    write_card(path, "gaze", inputs=[image])
    with pytest.raises(ModelError, match=r"expected sides between 1 and 4096|lacks 'inputs'"):
        GazeEstimator(path, options=EstimatorOptions(threads=1))


def test_nothing_of_a_library_is_on_stdout_when_a_model_does_not_load(tmp_path: Path) -> None:
    """ONNX Runtime says so there, for some errors, before it tries the same once more."""
    write_networks(tmp_path, ("gaze",))
    path = tmp_path / "gaze.onnx"
    data = path.read_bytes()
    assert b"ReduceMean" in data
    path.write_bytes(data.replace(b"ReduceMean", b"ReduceM\xec\xffn"))  # no UTF-8
    write_card(path, "gaze")
    code = (
        "import sys; from clipgaze_sdk import GazeEstimator, ModelError\n"
        "try: GazeEstimator(sys.argv[1])\n"
        "except ModelError as error: print(str(error).split(':')[0], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "cannot load" in done.stderr


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "", "gaze", "GAZE.onnx"])
def test_names_that_are_no_model(name: str) -> None:
    with pytest.raises(ModelError, match=r"gaze\.int8_cpu\.onnx|model folder|cannot be read"):
        GazeEstimator(name)
