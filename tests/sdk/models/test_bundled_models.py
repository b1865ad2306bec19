"""What the wheel's networks stand in for, and what happens without them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clipgaze_sdk import ConfigurationError, EstimatorOptions, GazeEstimator, ModelError
from clipgaze_sdk.models import files as _models
from clipgaze_sdk.models.files import BUNDLED_FOLDER, load_model_file
from tests.fake_networks import draw_faces, write_card, write_networks


def test_what_a_folder_lacks_comes_from_the_wheel(
    fake_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", fake_models)
    write_networks(tmp_path, ("gaze",))
    for model in (tmp_path, tmp_path / "gaze.onnx", str(tmp_path)):
        with GazeEstimator(model) as made:
            assert {task: card.path.parent for task, card in made.cards.items()} == {
                "face_detector": fake_models,
                "face_landmarks": fake_models,
                "gaze": tmp_path,
            }
            assert len(made.estimate(draw_faces((640, 480), [(300, 240)])).faces) == 1


def test_nothing_given_is_the_wheels_own(
    fake_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", fake_models)
    with GazeEstimator() as made:
        assert made.cards["gaze"].path == fake_models / "gaze.json"


def test_an_installation_without_networks_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", tmp_path)
    with pytest.raises(ModelError, match=r"no bundled face_detector network.*Reinstall"):
        GazeEstimator()


def test_a_damaged_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_networks(tmp_path)
    (tmp_path / "face_landmarks.onnx").write_bytes(b"")
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", tmp_path)
    with pytest.raises(ModelError, match="SHA-256"):
        GazeEstimator()


@pytest.mark.parametrize("name", ["gaze.int8_cpu.onnx", "gaze.fp16.onnx", Path("gaze.onnx")])
def test_the_name_of_a_bundled_model_is_a_model(name: str | Path) -> None:
    with GazeEstimator(name) as made:
        assert made.cards["gaze"].file == str(name)
        assert made.cards["face_landmarks"].precision == "fp32"


def test_a_file_goes_before_a_bundled_model_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_networks(tmp_path, ("gaze",))
    monkeypatch.chdir(tmp_path)
    with GazeEstimator("gaze.onnx") as made:
        assert made.cards["gaze"].name == "fake gaze"


@pytest.mark.parametrize("precision", [None, "fp32", "fp16", "int8"])
def test_one_switch_for_the_precision_of_all(precision: str | None) -> None:
    options = EstimatorOptions(precision=precision)  # type: ignore[arg-type]
    with GazeEstimator(options=options) as made:
        assert {card.precision for card in made.cards.values()} == {precision or "fp32"}
        assert len(made.cards) == 3
        for card in made.cards.values():
            assert not card.runs_on or "onnxruntime" in card.runs_on


def test_another_precision_answers_nearly_the_same(repository: Path) -> None:
    image = cv2.imread(str(repository / "samples" / "media" / "portrait.jpg"))
    faces = {}
    for precision in ("fp32", "fp16", "int8"):
        options = EstimatorOptions(precision=precision)  # type: ignore[arg-type]
        with GazeEstimator(options=options) as made:
            (faces[precision],) = made.estimate(image).faces[:1]
    gaze = faces["fp32"].gaze.vector
    for precision, limit_deg in (("fp16", 0.2), ("int8", 4.0)):
        cosine = float(np.clip(gaze @ faces[precision].gaze.vector, -1.0, 1.0))
        assert 0.0 < np.degrees(np.arccos(cosine)) < limit_deg


def test_a_model_of_another_precision_than_the_options_say_is_refused(tmp_path: Path) -> None:
    int8 = EstimatorOptions(precision="int8")
    write_networks(tmp_path, ("gaze",))
    for model in ("gaze.onnx", "gaze.fp16.onnx", tmp_path, tmp_path / "gaze.onnx"):
        with pytest.raises(ConfigurationError, match="precision='int8' was given with the model"):
            GazeEstimator(model, options=int8)
    write_card(tmp_path / "gaze.onnx", "gaze", precision="int8")
    for model in ("gaze.int8_cpu.onnx", tmp_path):
        with GazeEstimator(model, options=int8) as made:
            assert {card.precision for card in made.cards.values()} == {"int8"}


def test_a_folders_file_of_the_precision_goes_first(tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    whole = load_model_file(BUNDLED_FOLDER / "gaze.fp16.onnx")
    (tmp_path / "gaze.fp16.onnx").write_bytes(whole.data)
    (tmp_path / "gaze.fp16.json").write_bytes(whole.card.path.read_bytes())
    with GazeEstimator(tmp_path, options=EstimatorOptions(precision="fp16")) as made:
        assert made.cards["gaze"].path == tmp_path / "gaze.fp16.json"
    with GazeEstimator(tmp_path) as made:
        assert made.cards["gaze"].path == tmp_path / "gaze.json"


@pytest.mark.parametrize("precision", ["int4", "INT8", 8, True])
def test_other_precisions_are_refused(precision: object) -> None:
    with pytest.raises(ConfigurationError, match="expected one of None, 'fp32', 'fp16', 'int8'"):
        EstimatorOptions(precision=precision)  # type: ignore[arg-type]
