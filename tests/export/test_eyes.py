"""A network that looks at sheets of the eyes, in every form: it answers alike in all of them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from clipgaze_sdk import EstimatorOptions, GazeEstimator, ModelCard
from clipgaze_sdk.cli import main as cli
from clipgaze_sdk.faces.crop_network import CropRequest
from clipgaze_sdk.faces.gaze_network import GazeNetwork
from clipgaze_sdk.faces.hysteresis import Crop
from clipgaze_sdk.models.files import load_model_file
from clipgaze_sdk.tensorrt.info import EngineInfo
from export import export_onnx, precisions, verify
from export.calibration import gaze_input, gaze_network
from export.gate import Limits, failures
from export.graphs import WEIGHTED, beginning, folded, heads
from export.half_graph import half_precision
from export.model_files import ExportError, load_network
from export.trained import load_run
from tests.tensorrt_double import VERSIONS, install
from tests.train.fake_runs import fake_run
from train.gaze import sheets
from train.gaze.checkpoints import load_model
from train.gaze.models import GazeModel
from train.loop.weight_cards import write_weights
from train.synth.outputs.shards import read_shard

PORTRAIT = Path(__file__).parents[2] / "samples" / "media" / "portrait.jpg"
HEAT = "/backbone/points/Conv"
OUTPUTS = {"pitch_yaw", "log_sigma", "eye_openness", "eye_points"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose gaze and heat vary with the picture, as those of random weights hardly do."""
    folder = fake_run(tmp_path_factory.mktemp("runs") / "run", seed=2, backbone="eyes")
    model = load_model(folder)
    with torch.no_grad():
        model.backbone.points.weight *= 40
        model.gaze.weight *= 5
    card = json.loads((folder / "model.json").read_text())
    write_weights(folder, "model", model.state_dict(), card | {"command": "none"})
    return folder


@pytest.fixture(scope="module")
def made(run: Path, crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its file in FP32, with all precisions beside it."""
    out = tmp_path_factory.mktemp("eyes")
    export_onnx.main(["gaze", "--run", str(run), "--out", str(out), "--crops", str(crops)])
    path = out / "gaze.onnx"
    precisions.main([str(path), "--calibration", str(crops)])
    return path


def test_the_card_says_what_a_sheet_is(made: Path):
    card = ModelCard.load(made.with_suffix(".json"))
    assert card.inputs[0].shape == ("batch", 3, *sheets.SHEET_PX)
    assert {spec.name: spec.shape[1:] for spec in card.outputs} == {
        "pitch_yaw": (2,),
        "log_sigma": (),
        "eye_openness": (2,),
        "eye_points": (2, 15, 2),
    }
    said = card.preprocessing
    assert (said["layout"], said["eye_px"], said["face_px"]) == ("eye_sheet", [72, 48], [32, 48])
    assert (said["crop_px"], said["center_px"]) == ([224, 224], [111.5, 111.5])
    assert (said["face_shrink"], said["face_top_px"]) == (4, 16)


def test_the_sdk_cuts_what_training_saw(made: Path, run: Path, crops: Path):
    """The same sheet and the same answers, from a crop through the file and through the run."""
    network, model = gaze_network(load_network(made)), load_model(run).eval()
    mean, std = (np.array(v, np.float32)[:, None, None] for v in network_numbers(made))
    for sample in list(read_shard(crops / "shard-00000.tar"))[:4]:
        sample.labels["seen_eyes_px"] = [[61.5, 76.5], [160.5, 78.5]]
        image, gaze = gaze_input(network, sample)
        assert gaze.tolist() == sample.labels["crop_gaze_pitch_yaw_rad"]
        rgb = torch.from_numpy(sample.rgb.copy()).permute(2, 0, 1)[None]
        seen = sheets.cut(rgb, torch.tensor(sample.labels["seen_eyes_px"])[None])
        np.testing.assert_allclose(image[0] * std + mean, seen[0], atol=2e-4)
        with torch.inference_mode():
            expected = model(seen)
        said = network.outputs(image)
        np.testing.assert_allclose(said["pitch_yaw"], expected.gaze, atol=1e-4)
        np.testing.assert_allclose(said["eye_points"], expected.eyes.points, atol=0.02)
        np.testing.assert_allclose(said["eye_openness"], expected.eyes.openness, atol=1e-4)
    network.close()


def network_numbers(path: Path) -> tuple[tuple[float, ...], ...]:
    return ModelCard.load(path.with_suffix(".json")).mean_std()


def test_the_graph_has_no_arithmetic_of_shapes(made: Path):
    model = load_network(made).model
    assert not {n.op_type for n in model.graph.node} & {"Shape", "Range", "Cast", "Mod", "If"}
    assert model.opset_import[0].version == 18


def test_places_are_computed_in_fp32_in_every_precision(made: Path):
    """The heat, its softmax and all that follows: a place is a difference of large numbers."""
    assert HEAT in heads(folded(load_network(made).model).graph)
    half = onnx.load(made.with_name("gaze.fp16.onnx"))
    types = {t.name: t.data_type for t in half.graph.initializer}
    for kind in ("fp16", "int8", "int8_cpu"):
        card = ModelCard.load(made.with_name(f"gaze.{kind}.json"))
        assert {HEAT, "/backbone/linear/Gemm", "/gaze/Gemm"} <= set(card.excluded_layers)
    for node in half.graph.node:
        if node.op_type in WEIGHTED:
            kept = node.name in ModelCard.load(made.with_name("gaze.fp16.json")).excluded_layers
            wanted = onnx.TensorProto.FLOAT if kept else onnx.TensorProto.FLOAT16
            assert types[node.input[1]] == wanted, node.name
    for kind in ("int8", "int8_cpu"):
        graph = onnx.load(made.with_name(f"gaze.{kind}.onnx")).graph
        before, first = beginning(graph)
        assert len(first) == 2  # of eyes and of faces
        assert not {n.op_type for n in graph.node if n.name in before} & {"QuantizeLinear"}
        makers = {name: n.op_type for n in graph.node for name in n.output}
        softmax = next(n for n in graph.node if n.op_type == "Softmax")
        assert makers[softmax.input[0]] == "Reshape"
        ends = [n for n in graph.node if OUTPUTS & set(n.output)]
        assert len(ends) == 4
        assert not {makers[n.input[0]] for n in ends} & {"DequantizeLinear"}


def test_means_over_patches_stay_fp32(tmp_path: Path):
    torch.manual_seed(0)
    model = GazeModel("eyes", 16, standardized=True)
    write_weights(tmp_path, "model", model.state_dict(), model.card() | {"command": "none"})
    told = ["--trained-on", "none", "--seed", "0"]
    export_onnx.main(["gaze", "--run", str(tmp_path), "--out", str(tmp_path), *told])
    graph, _ = half_precision(load_network(tmp_path / "gaze.onnx").model)
    casts = {n.input[0] for n in graph.graph.node if n.op_type == "Cast"}
    assert "image" not in casts
    makers = {name: n for n in graph.graph.node for name in n.output}
    assert {makers[name].op_type for name in casts if name in makers} >= {"Reshape"}


def test_precisions_agree_and_are_held_against_the_limits(
    made: Path, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = [str(made), "--data", str(crops), "--images", "12", "--rounds", "0"]
    verify.main([*words, "--out", str(tmp_path), "--write-cards"])
    assert "irises 0." in capsys.readouterr().out
    files = json.loads((tmp_path / "verify.json").read_text())["networks"]["gaze"]["files"]
    assert 0 < files["fp16"]["iris_px"] < 0.05
    assert files["fp16"]["true_half"]["iris_px"] < 0.05
    assert 0 < files["int8_cpu"]["iris_px"] < 0.5
    files["fp16"]["iris_px"] = 0.2
    (line,) = failures("gaze", {"files": files}, Limits())
    assert line == "gaze fp16: irises move by 0.2 px, over 0.1"
    figures = json.loads(made.with_name("gaze.int8_cpu.json").read_text())["figures"]
    assert figures["against_fp32"]["iris_px"] < 0.5


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("version", VERSIONS)
def test_tensorrt_builds_and_runs_it(
    made: Path, precision: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """On the double: with a free batch, and the contract that every other network holds."""
    world = install(monkeypatch, version)
    monkeypatch.chdir(tmp_path)
    assert cli(["build-engine", str(made), f"--{precision}"]) == 0
    info = EngineInfo.from_card(ModelCard.load(tmp_path / f"gaze.{precision}.engine.json"))
    assert (info.profile.min, info.profile.max) == ((1, 3, 48, 208), (8, 3, 48, 208))
    assert set(info.parity) == OUTPUTS
    assert max(info.parity.values()) < 1e-6
    with GazeEstimator(tmp_path / f"gaze.{precision}.engine") as estimator:
        assert estimator.cards["gaze"].preprocessing["layout"] == "eye_sheet"
        sheet = np.zeros((3, 3, 48, 208), np.float32)
        assert estimator._gaze.outputs(sheet)["eye_points"].shape == (3, 2, 15, 2)
    assert world.nothing_is_left()


def pictures() -> dict[str, np.ndarray]:
    """A photograph of two people in ways that hide eyes, or show too little of them."""
    whole = cv2.imread(str(PORTRAIT))
    with GazeEstimator() as estimator:
        faces = estimator.estimate(whole).faces
    x0, y0, x1, _ = faces[0].bbox_px
    side = 22.0 / (x1 - x0)  # faces of about 22 px
    small = cv2.resize(whole, None, fx=side, fy=side, interpolation=cv2.INTER_AREA)
    middle, eyes_y = round((x0 + x1) / 2), round(float(faces[0].irises_px[:, 1].mean()))
    grey = np.full_like(whole, 128)
    inside = slice(round(y0), eyes_y + 40), slice(round(x0), round(x1))
    covered = whole.copy()
    covered[inside] = 90
    return {
        "small": cv2.copyMakeBorder(small, 40, 40, 40, 40, cv2.BORDER_REPLICATE),
        "left half outside": np.ascontiguousarray(whole[:, middle:]),
        "right half outside": np.ascontiguousarray(whole[:, :middle]),
        "one eye at the border": np.ascontiguousarray(whole[:, round(faces[0].irises_px[0, 0]) :]),
        "eyes above the picture": np.ascontiguousarray(whole[eyes_y - 4 :]),
        "one colour": grey,
        "eyes of one colour": covered,
    }


@pytest.mark.parametrize("kind", ["fp32", "int8_cpu"])
def test_bad_pictures_give_finite_numbers(made: Path, kind: str):
    path = made if kind == "fp32" else made.with_name(f"gaze.{kind}.onnx")
    options = EstimatorOptions(min_confidence=0.05, min_presence=0.05, precision=kind[:4])
    seen = 0
    with GazeEstimator(path, options=options) as estimator:
        for name, picture in pictures().items():
            for time in (None, 0.0, 1.0):
                faces = estimator.estimate(picture, timestamp_s=time).faces
                seen += len(faces)
                for face in faces:
                    for numbers in (face.irises_px, face.eye_openness, face.gaze.vector):
                        assert np.isfinite(numbers).all(), name
                    assert 0 < face.gaze.uncertainty_rad <= np.pi
            estimator.reset()
    assert seen > 12


@pytest.mark.parametrize("fill", [0, 90, 255])
def test_sheets_of_one_colour_give_finite_numbers(made: Path, fill: int):
    for kind in ("fp32", "fp16", "int8", "int8_cpu"):
        path = made if kind == "fp32" else made.with_name(f"gaze.{kind}.onnx")
        with closing(GazeNetwork(load_model_file(path), EstimatorOptions(threads=1))) as network:
            image = np.full((60, 80, 3), fill, np.uint8)
            places = network.places([Crop(np.eye(3), eyes_px=np.array([[20.0, 20], [60, 20]]))])
            said = network.run(network.crops([CropRequest(image, places)]), places)
            assert all(np.isfinite(values).all() for values in said)


def test_a_network_without_heat_has_no_points(tmp_path: Path):
    torch.manual_seed(0)
    model = GazeModel("eyes", 16, heat=False)
    write_weights(tmp_path, "model", model.state_dict(), model.card())
    trained = load_run("gaze", tmp_path)
    assert list(trained.task.outputs) == ["pitch_yaw", "log_sigma", "eye_openness"]
    assert len(trained.network(torch.zeros(2, 3, *sheets.SHEET_PX))) == 3


def test_a_network_that_is_told_the_head_is_refused(tmp_path: Path):
    model = GazeModel("eyes", 16, told=True)
    write_weights(tmp_path, "model", model.state_dict(), model.card())
    with pytest.raises(ExportError, match="is told the head's direction"):
        load_run("gaze", tmp_path)
