from __future__ import annotations

import json
from pathlib import Path

import pytest

from clipgaze_sdk import ModelCard, ModelError
from clipgaze_sdk.models.cards import TensorSpec
from clipgaze_sdk.models.files import load_model_file, resolve_models
from tests.fake_networks import SHAPES, write_card, write_networks


def test_card_says_what_it_holds(fake_models: Path) -> None:
    card = ModelCard.load(fake_models / "gaze.json")
    assert (card.name, card.task, card.file) == ("fake gaze", "gaze", "gaze.onnx")
    assert card.inputs == (TensorSpec("image", "float32", ("batch", 3, 96, 224)),)
    assert [spec.name for spec in card.outputs] == ["pitch_yaw", "log_sigma"]
    assert card.number("focal_px") == 960.0
    assert card.numbers("center_px", 2) == (111.5, 79.5)
    assert card.licence == "Apache-2.0"
    assert card.figures == {"error_deg": 0.0}
    card.check_file(fake_models / "gaze.onnx")


def test_tensors_that_are_not_the_cards(fake_models: Path) -> None:
    card = ModelCard.load(fake_models / "gaze.json")
    (image,), (pitch_yaw, log_sigma) = card.inputs, card.outputs
    half = TensorSpec("image", "float16", image.shape)
    more = TensorSpec("more", "float32", (1,))
    card.check_tensors(inputs=[image], outputs=[more, log_sigma, pitch_yaw])
    for inputs in ([], [half], [more], [image, more]):
        with pytest.raises(ModelError, match=r"has inputs .*; the card expects image float32\["):
            card.check_tensors(inputs=inputs, outputs=card.outputs)
    with pytest.raises(ModelError, match=r"has outputs pitch_yaw .*; the card expects .*log_sigma"):
        card.check_tensors(inputs=[image], outputs=[pitch_yaw])


@pytest.mark.parametrize(
    "key", ["name", "task", "file", "sha256", "inputs", "outputs", "preprocessing", "licence"]
)
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    card = write_card(tmp_path / "gaze.onnx", "gaze", **{key: None})
    with pytest.raises(ModelError, match=f"lacks '{key}'"):
        ModelCard.load(card)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 2; expected 1"),
        ({"task": "smile"}, "task 'smile'; expected one of"),
        ({"inputs": [{"name": "x", "dtype": "float32", "shape": [1]}]}, "has the input 'image'"),
        ({"outputs": []}, "the outputs pitch_yaw, log_sigma"),
        ({"outputs": [{"name": "pitch_yaw"}]}, "lacks 'outputs'"),
        ({"inputs": [{"name": "image", "dtype": "float32", "shape": [3]}]}, r"shape \[3\]; a gaze"),
        (
            {
                "outputs": [
                    {"name": "pitch_yaw", "dtype": "float32", "shape": ["batch", 3]},
                    {"name": "log_sigma", "dtype": "float32", "shape": ["batch"]},
                ]
            },
            r"pitch_yaw of shape \['batch', 3\]; a gaze has \['batch', 2\]",
        ),
        (
            {
                "outputs": [
                    {"name": "pitch_yaw", "dtype": "float32", "shape": ["batch", 2]},
                    {"name": "log_sigma", "dtype": "float32", "shape": ["batch", 1]},
                ]
            },
            r"log_sigma of shape \['batch', 1\]; a gaze has \['batch'\]",
        ),
        ({"preprocessing": {"color": "BGR"}}, "expected 'RGB'"),
        ({"preprocessing": []}, "lacks 'preprocessing'"),
        ({"licence": 3}, "lacks 'licence'"),
        ({"runs_on": "tensorrt"}, "lacks 'runs_on', or it is not a list of texts"),
    ],
)
def test_wrong_entries(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    card = write_card(tmp_path / "gaze.onnx", "gaze", **changes)
    with pytest.raises(ModelError, match=message):
        ModelCard.load(card)


@pytest.mark.parametrize("value", ["1", None, [1.0], [1.0, 1e6], [1.0, 10**20], [True, False], 2.0])
def test_wrong_numbers(value: object, tmp_path: Path, fake_models: Path) -> None:
    data = json.loads((fake_models / "gaze.json").read_text())
    data["preprocessing"]["center_px"] = value
    (tmp_path / "gaze.json").write_text(json.dumps(data))
    card = ModelCard.load(tmp_path / "gaze.json")
    with pytest.raises(ModelError, match=r"preprocessing\.center_px = .*expected 2 number"):
        card.numbers("center_px", 2)


def test_unknown_keys_are_fine(tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    write_card(tmp_path / "gaze.onnx", "gaze", colour_of_the_cover="blue")
    assert load_model_file(tmp_path / "gaze.onnx").card.name == "fake gaze"


@pytest.mark.parametrize("text", ["", "{", "[1]", '"card"', "\x00"])
def test_a_card_that_is_no_card(text: str, tmp_path: Path) -> None:
    (tmp_path / "gaze.json").write_text(text)
    with pytest.raises(ModelError, match=r"is no JSON|is a JSON"):
        ModelCard.load(tmp_path / "gaze.json")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        resolve_models(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="does not exist"):
        resolve_models("no/such/folder")
    write_networks(tmp_path, ("gaze",))
    (tmp_path / "gaze.json").unlink()
    with pytest.raises(ModelError, match=r"card .*gaze\.json' cannot be read.*beside the model"):
        resolve_models(tmp_path)


def test_a_truncated_model(tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    path = tmp_path / "gaze.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"SHA-256.*damaged"):
        resolve_models(tmp_path)


def test_a_model_under_another_tasks_name(tmp_path: Path) -> None:
    write_networks(tmp_path, ("face_landmarks",))
    for suffix in (".onnx", ".json"):
        (tmp_path / f"face_landmarks{suffix}").rename(tmp_path / f"gaze{suffix}")
    with pytest.raises(ModelError, match=r"named for the task 'gaze'.*'face_landmarks'"):
        resolve_models(tmp_path)


def test_a_model_with_anothers_card(fake_models: Path, tmp_path: Path) -> None:
    (tmp_path / "gaze.onnx").write_bytes((fake_models / "face_landmarks.onnx").read_bytes())
    (tmp_path / "gaze.json").write_bytes((fake_models / "gaze.json").read_bytes())
    with pytest.raises(ModelError, match="SHA-256"):
        resolve_models(tmp_path)


def test_a_folder_or_a_file_replaces_what_it_has(fake_models: Path, tmp_path: Path) -> None:
    for suffix in (".onnx", ".json"):
        source = fake_models / f"gaze{suffix}"
        (tmp_path / f"mine{suffix}").write_bytes(source.read_bytes())
    # A file may have any name: its card says which task it is for.
    found = resolve_models(tmp_path / "mine.onnx", tasks=("gaze",))
    assert found["gaze"].path == tmp_path / "mine.onnx"
    found = resolve_models(str(fake_models), tasks=tuple(SHAPES))
    assert {task: file.path.name for task, file in found.items()} == {
        task: f"{task}.onnx" for task in SHAPES
    }


def test_a_folder_without_models(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds none of face_detector\.onnx"):
        resolve_models(tmp_path)


def test_other_kinds_of_files(tmp_path: Path) -> None:
    engine, checkpoint = tmp_path / "gaze.engine", tmp_path / "gaze.pt"
    for path in (engine, checkpoint):
        path.write_bytes(b"x")
    with pytest.raises(ModelError, match=r"card .*gaze\.engine\.json' cannot be read"):
        resolve_models(engine)
    with pytest.raises(ModelError, match=r"card .*gaze\.engine\.json' cannot be read"):
        resolve_models(tmp_path)
    with pytest.raises(ModelError, match=r"ends in '\.pt'; expected an \.onnx"):
        resolve_models(checkpoint)


def test_a_pair_whose_writing_was_killed_is_put_back_when_it_is_read(tmp_path: Path) -> None:
    write_networks(tmp_path, ("gaze",))
    model, card = tmp_path / "gaze.onnx", tmp_path / "gaze.json"
    works = model.read_bytes()
    for path in (model, card):
        (tmp_path / f".{path.name}.bak").write_bytes(path.read_bytes())
    model.write_bytes(b"of the writing that was killed before the card was in place")
    assert load_model_file(model).data == works
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gaze.json", "gaze.onnx"]
