"""Networks in the SDK's form on data sets: what they are shown, and what they answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="training tests need the extra [train]")
pytest.importorskip("h5py", reason="training tests need the extra [train]")

from clipgaze_sdk import ModelError
from clipgaze_sdk.faces.crop_network import CropRequest
from clipgaze_sdk.geometry import GazeNormalization, vector_from_angles
from export import export_onnx
from tests.fake_networks import write_card, write_networks
from tests.train import made_data as layouts
from tests.train.fake_runs import dots, fake_run
from train.eval import assess as command
from train.eval.network_files import NetworkFile, crop_from_input, network_path
from train.eval.protocol import ProtocolError, predict
from train.gaze.checkpoints import load_model

MODELS = Path(__file__).parents[3] / "sdk" / "clipgaze_sdk" / "models"
BUNDLED = MODELS / "gaze.onnx"
needs_models = pytest.mark.skipif(not BUNDLED.is_file(), reason="no bundled models here")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dots(tmp_path_factory.mktemp("dots"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "run", seed=2)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    words = ["--run", str(run), "--out", str(out), "--trained-on", "dots", "--command", "none"]
    export_onnx.main(["gaze", *words])
    return out / "gaze.onnx"


def spec_of(data):
    return f"rendered:{data.files()[0].parent}"


def test_a_band_is_rows_of_the_crop():
    band = GazeNormalization(960.0, 600.0, (224, 96), (111.5, 79.5))
    shift = crop_from_input(band)
    np.testing.assert_allclose(shift, [[1, 0, 0], [0, 1, 32], [0, 0, 1]], atol=1e-12)


def test_another_focal_length_and_distance_are_an_enlargement():
    # Half the focal length at half the distance: the same face, as large. Twice the distance: half.
    near = GazeNormalization(480.0, 300.0, (224, 224), (111.5, 111.5))
    np.testing.assert_allclose(crop_from_input(near), np.eye(3), atol=1e-12)
    small = GazeNormalization(960.0, 1200.0, (112, 112), (55.5, 55.5))
    found = crop_from_input(small)
    np.testing.assert_allclose(found @ [-0.5, -0.5, 1], [-0.5, -0.5, 1], atol=1e-9)
    np.testing.assert_allclose(found @ [111.5, 111.5, 1], [223.5, 223.5, 1], atol=1e-9)


def test_what_the_crops_do_not_show_is_refused():
    high = GazeNormalization(960.0, 600.0, (224, 96), (111.5, 120.0))
    with pytest.raises(ProtocolError, match=r"rows -8.5 to 87.5 .* data sets give 0 to 224"):
        crop_from_input(high)


def test_the_network_sees_exactly_the_rows_of_its_card(data, exported):
    with NetworkFile(exported) as network:
        assert network.rows == (32, 128)
        image = data[3]["image"]
        picture = np.ascontiguousarray(image.numpy().transpose(1, 2, 0))
        (crop,) = network._network.crops([CropRequest(picture, network._crop_from_input[None])])
        mean, std = (np.array(v)[:, None, None] for v in network.card.mean_std())
    pixels = (crop * std + mean) * 255
    np.testing.assert_allclose(pixels, image.numpy()[:, 32:128], atol=1e-3)


def test_a_file_answers_as_the_run_that_it_was_made_of(data, run, exported):
    own = predict(load_model(run), data)
    with NetworkFile(exported) as network:
        said = network.predict(data, batch=7)
    np.testing.assert_allclose(said.gaze, own.gaze, atol=2e-4)
    np.testing.assert_allclose(said.log_sigma, own.log_sigma, atol=2e-4)


def test_a_file_that_looks_at_eyes_answers_as_its_run(data, tmp_path):
    """Sheets are cut of crops where the data set says that the eyes are."""
    run = fake_run(tmp_path / "run", seed=3, backbone="eyes")
    words = ["--run", str(run), "--out", str(tmp_path), "--trained-on", "dots", "--command", "none"]
    export_onnx.main(["gaze", *words])
    own = predict(load_model(run), data)
    with NetworkFile(tmp_path / "gaze.onnx") as network:
        assert network.rows == (0, 224)
        said = network.predict(data, batch=7)
    # Random weights say nearly the same of all, so that the comparison is of what differs.
    for found, wanted in ((said.gaze, own.gaze), (said.log_sigma, own.log_sigma)):
        np.testing.assert_allclose(found, wanted, atol=0.02 * float(np.ptp(wanted, axis=0).min()))


def test_the_command_measures_files_folders_and_runs_alike(data, run, exported, tmp_path, capsys):
    means = []
    for number, model in enumerate((exported, exported.parent, run)):
        out = tmp_path / str(number)
        given = ["--data", spec_of(data), "--out", str(out), "--workers", "0", "--device", "cpu"]
        assert command.main(["--model", str(model), *given]) == 0
        printed = capsys.readouterr().out
        report = json.loads((out / "report.json").read_text())[spec_of(data)]
        means.append(report["mean_deg"])
        assert report["runs"][0]["seed"] is not None
        each = [p["mean_deg"] for p in report["per_person"].values()]
        assert report["std_of_people_deg"] == pytest.approx(np.std(each, ddof=1))
        for said in (
            f"mean {report['mean_deg']:.2f}, median {report['median_deg']:.2f}",
            f"90 % are below {report['p90_deg']:.2f}",
            f"from {min(each):.2f} (",
            f"head as gaze {report['trivial']['head_as_gaze_deg']:.2f}",
            f"with the error {report['uncertainty']['rank_correlation']:.2f}",
        ):
            assert said in printed
        assert all(f"  {name}" in printed for name in ("by gaze", "by head", "reference"))
        assert "rank correlation" in (out / "report.md").read_text()
    assert means[0] == means[1] == pytest.approx(means[2], abs=0.02)


@needs_models
def test_the_bundled_network_in_int8_is_measured_too(data, tmp_path, capsys):
    found = {}
    for name in ("gaze.onnx", "gaze.int8_cpu.onnx"):
        given = ["--data", spec_of(data), "--out", str(tmp_path / name), "--workers", "0"]
        assert command.main(["--model", str(MODELS / name), *given]) == 0
        found[name] = json.loads((tmp_path / name / "report.json").read_text())[spec_of(data)]
    precision = found["gaze.int8_cpu.onnx"]["runs"][0]["backbone"]
    assert precision == "gaze in int8"
    means = [f["mean_deg"] for f in found.values()]
    assert means[0] != means[1] == pytest.approx(means[0], abs=3)


def make_eyediap(root):
    gaze, head = layouts.spread(4)
    for number, person in enumerate(("p1", "p16")):
        lines = [layouts.EYEDIAP_HEADER]
        for row in (0, 1):
            k = 2 * number + row
            names = " ".join(f"{person}/{part}/{row}.jpg" for part in ("face", "left", "right"))
            lines.append(
                f"{names} 1_A_DS_1 {layouts.commas(vector_from_angles(gaze[k]))} 0,0,0 "
                f"{layouts.commas(gaze[k][::-1])} {layouts.commas(head[k][::-1])} 0,0,0 1,1,1 1,2,3"
            )
            layouts.save_jpg(root / "Image" / person / "face" / f"{row}.jpg", k)
        (root / "Label").mkdir(exist_ok=True)
        (root / "Label" / f"{person}.label").write_text("\n".join(lines) + "\n")
    return root


def make_gaze360(root):
    rows = [layouts.gaze360_tail(gaze) for gaze in layouts.spread(5)[0]]
    return layouts.make_gaze360(root, "test", rows)


MAKERS = {
    "mpiifacegaze:{}": (layouts.make_mpii, 6),
    "mpiifacegaze:{}?undo_scaling=1": (layouts.make_mpii, 6),
    "mpiifacegaze:{}?people=p01": (layouts.make_mpii, 3),
    "eyediap:{}": (make_eyediap, 4),
    "gaze360:{}?split=test": (make_gaze360, 5),
    "eth_xgaze:{}?people=subject0001": (lambda root: layouts.make_xgaze(root, each=5), 5),
}


@needs_models
@pytest.mark.parametrize("spec", MAKERS)
def test_every_published_data_set_is_measured_by_one_command(spec, tmp_path, capsys):
    make, images = MAKERS[spec]
    given = spec.format(make(tmp_path))
    words = ["--model", str(BUNDLED), "--data", given, "--out", str(tmp_path / "out")]
    assert command.main([*words, "--workers", "0"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())[given]
    assert report["images"] == images
    assert 0 < report["mean_deg"] < 90
    assert f"{images} of" in capsys.readouterr().out


def test_what_is_no_gaze_network_is_refused(data, tmp_path, capsys):
    write_networks(tmp_path, ("face_detector", "gaze"))

    def refused(model):
        given = ["--data", spec_of(data), "--out", str(tmp_path / "out"), "--workers", "0"]
        assert command.main(["--model", str(model), *given]) == 2
        return capsys.readouterr().err

    assert "is a face_detector by its card" in refused(tmp_path / "face_detector.onnx")
    assert "does not exist, and is no network" in refused(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert "neither model.safetensors" in refused(tmp_path / "empty")
    (tmp_path / "gaze.onnx").write_bytes(b"another")
    assert "SHA-256" in refused(tmp_path / "gaze.onnx")
    with pytest.raises(ModelError, match="does not exist"), NetworkFile(tmp_path / "none.onnx"):
        pass
    assert network_path(tmp_path) == tmp_path / "gaze.onnx"


def test_left_and_up_are_those_of_the_data_sets(tmp_path):
    """The fake network's yaw is brightness on the image's left less that on its right."""
    path = write_networks(tmp_path, ("gaze",)) / "gaze.onnx"
    write_card(path, "gaze", name="fake gaze")
    left = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    left[..., :112] = 255
    top = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    top[..., 32:80, :] = 255
    with NetworkFile(path) as network:
        gaze = network.ask({"image": torch.cat([left, top])})["gaze"]
    np.testing.assert_allclose(gaze, [[0, 0.5], [0.5, 0]], atol=1e-3)
