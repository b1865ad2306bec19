"""Reading and writing networks: what is not ours is refused, what is written is whole."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import onnx
import pytest

from clipgaze_sdk import GazeEstimator
from clipgaze_sdk.models.cards import ModelCard
from export import calibration, precisions
from export.calibration import recorded_inputs
from export.model_files import ExportError, load_network, write_files
from tests.export.small_networks import SIZE, gaze_model, write_gaze_network
from tests.fake_networks import write_card


def failure(arguments: list[str]) -> str:
    """What ``export/precisions.py`` says when it fails."""
    with pytest.raises(SystemExit) as caught:
        precisions.main(arguments)
    return str(caught.value)


@pytest.fixture
def network(gaze_file: Path, tmp_path: Path) -> Path:
    """A copy of the small network."""
    for path in (gaze_file, gaze_file.with_suffix(".json")):
        shutil.copy(path, tmp_path)
    return tmp_path / "gaze.onnx"


@pytest.fixture(scope="module")
def made(gaze_file: Path, crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all precisions of the small network."""
    folder = tmp_path_factory.mktemp("made")
    precisions.main([str(gaze_file), "--calibration", str(crops), "--out", str(folder)])
    return folder


def test_every_precision_has_a_card_that_says_where_it_is_from(made: Path, gaze_file: Path):
    assert sorted(p.name for p in made.iterdir()) == [
        f"gaze.{kind}.{suffix}"
        for kind in ("fp16", "int8", "int8_cpu")
        for suffix in ("json", "onnx")
    ]
    base = ModelCard.load(gaze_file.with_suffix(".json"))
    assert (base.precision, base.base_sha256, base.excluded_layers) == ("fp32", "", ())
    for kind in ("fp16", "int8", "int8_cpu"):
        path = made / f"gaze.{kind}.onnx"
        card = ModelCard.load(path.with_suffix(".json"))
        card.check_file(path)
        assert card.precision == kind.split("_")[0]
        assert card.base_sha256 == base.sha256
        assert card.excluded_layers[-2:] == ("/pitch_yaw", "/sigma")
        assert ("tensorrt" in card.runs_on) == (kind != "int8_cpu")
        names = {node.name for node in onnx.load(path).graph.node}
        assert set(card.excluded_layers) <= names
        assert card.preprocessing == base.preprocessing
    entries = json.loads((made / "gaze.int8.json").read_text())["calibration"]
    assert entries["method"] == "entropy"
    assert entries["images"] == 24
    assert len(entries["sha256"]) == 64
    assert entries["command"].startswith("python export/precisions.py --calibration crops")


@pytest.mark.parametrize("kind", ["fp16", "int8", "int8_cpu"])
def test_the_sdk_takes_every_precision(made: Path, kind: str):
    with GazeEstimator(made / f"gaze.{kind}.onnx") as estimator:
        assert estimator.cards["gaze"].precision == kind.split("_")[0]


def test_a_folder_still_means_its_fp32_files(made: Path, network: Path):
    for path in made.iterdir():
        shutil.copy(path, network.parent)
    with GazeEstimator(network.parent) as estimator:
        assert estimator.cards["gaze"].file == "gaze.onnx"


def test_a_file_of_another_precision_is_refused(made: Path):
    with pytest.raises(ExportError, match=r"gaze.fp16.onnx is in fp16 already; expected the FP32"):
        load_network(made / "gaze.fp16.onnx")


def test_an_unknown_precision_is_refused(network: Path):
    write_card(network, "gaze", precision="fp8")
    with pytest.raises(ExportError, match="precision 'fp8'; expected one of fp32, fp16, int8"):
        load_network(network)


def test_an_onnx_without_a_card_is_not_ours(tmp_path: Path):
    onnx.save(gaze_model(), tmp_path / "other.onnx")
    said = failure([str(tmp_path / "other.onnx"), "--calibration", str(tmp_path)])
    assert "other.json" in said
    assert "cannot be read" in said


def test_bytes_that_are_no_onnx(tmp_path: Path):
    path = tmp_path / "gaze.onnx"
    path.write_bytes(b"not a network")
    write_card(path, "gaze")
    with pytest.raises(ExportError, match="is no ONNX file"):
        load_network(path)


@pytest.mark.parametrize("opset", [12, 21])
def test_an_opset_too_old_or_too_new(tmp_path: Path, opset: int):
    path = tmp_path / "gaze.onnx"
    model = gaze_model()
    model.opset_import[0].version = opset
    onnx.save(model, path)
    write_card(path, "gaze")
    with pytest.raises(ExportError, match=rf"(opset {opset}; expected 13 to 20|no ONNX file)"):
        load_network(path)


def test_other_output_names(tmp_path: Path):
    path = tmp_path / "gaze.onnx"
    model = gaze_model()
    model.graph.node[-1].output[0] = model.graph.output[1].name = "uncertainty"
    onnx.save(model, path)
    write_card(path, "gaze")
    with pytest.raises(ExportError, match=r"outputs .*uncertainty.*the card expects .*log_sigma"):
        load_network(path)


def test_calibration_folders_that_hold_nothing(network: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "shard-*.tar of rendered pictures" in failure(
        [str(network), "--calibration", str(empty)]
    )
    said = failure([str(network), "--calibration", str(tmp_path / "nowhere")])
    assert "nowhere is no folder" in said


def test_calibration_folders_that_hold_no_crops(network: Path, tmp_path: Path):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "shard-00000.tar").write_bytes(b"x" * 4096)
    said = failure([str(network), "--calibration", str(folder)])
    assert "shard-00000.tar is damaged" in said
    assert "Expected rendered pictures, frames or crops" in said


def test_only_as_many_images_as_there_may_be(network: Path, crops: Path):
    found = recorded_inputs(load_network(network), [crops], limit=5)
    assert [image.shape for image in found.images] == [(1, 3, *SIZE)] * 5
    assert 0 <= min(i.min() for i in found.images) < max(i.max() for i in found.images) <= 1


def test_recorded_inputs_are_kept(
    network: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "cache"
    first = recorded_inputs(load_network(network), [crops], limit=5, cache=cache)
    monkeypatch.setattr(calibration, "read_shard", None)
    again = recorded_inputs(load_network(network), [crops], limit=5, cache=cache)
    assert again.sha256 == first.sha256
    (kept,) = cache.iterdir()
    kept.write_bytes(b"damaged")
    with pytest.raises(ExportError):
        recorded_inputs(load_network(network), [crops], limit=5, cache=cache)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_to(
    number: int, gaze_file: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A full disk, a read-only one, a folder of someone else: nothing half-written stays."""

    def full(*_: object) -> None:
        raise OSError(number, "it is so")

    old = tmp_path / "gaze.fp16.onnx"
    old.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", full)
    said = failure([str(gaze_file), "--calibration", str(crops), "--out", str(tmp_path)])
    assert f"cannot write '{tmp_path / 'gaze.fp16.onnx'}': it is so. Check the folder" in said
    assert [p.name for p in tmp_path.iterdir()] == ["gaze.fp16.onnx"]
    assert old.read_bytes() == b"old"


def test_an_output_folder_that_is_a_file(gaze_file: Path, crops: Path, tmp_path: Path):
    (tmp_path / "out").write_text("")
    said = failure([str(gaze_file), "--calibration", str(crops), "--out", str(tmp_path / "out")])
    assert f"cannot write {tmp_path / 'out' / 'gaze.fp16.onnx'}" in said


def test_files_are_written_together(tmp_path: Path):
    write_files({tmp_path / "a" / "x": b"1", tmp_path / "a" / "y": b"2"})
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["x", "y"]


def test_weights_too_large_for_half_precision(tmp_path: Path, crops: Path):
    path = write_gaze_network(tmp_path / "gaze.onnx", gain=1e6)
    said = failure([str(path), "--calibration", str(crops), "--out", str(tmp_path / "out")])
    assert "the largest FP16 number" in said
    assert not (tmp_path / "out").exists()
