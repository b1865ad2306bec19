from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from clipgaze_sdk.cli import main
from clipgaze_sdk.models import files as _models
from clipgaze_sdk.models.cards import TASK_OUTPUTS
from clipgaze_sdk.models.files import load_model_file


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three cards, and files that only their SHA-256 is asked of."""
    monkeypatch.setattr(_models, "BUNDLED_FOLDER", tmp_path)
    for task, outputs in TASK_OUTPUTS.items():
        content = task.encode() * 100_000
        (tmp_path / f"{task}.onnx").write_bytes(content)
        card = {
            "format": 1,
            "name": f"example-{task}",
            "task": task,
            "file": f"{task}.onnx",
            "sha256": hashlib.sha256(content).hexdigest(),
            "inputs": [{"name": "image", "dtype": "float32", "shape": ["batch", 3, 96, 224]}],
            "outputs": [
                {"name": name, "dtype": "float32", "shape": shape}
                for name, shape in outputs.items()
            ],
            "preprocessing": {"color": "RGB"},
            "licence": "Apache-2.0",
            "version": "0.1.0",
            "trained_on": "rendered people",
            "command": "python -m train.example",
            "seed": 7,
            "commit": "0123456789abcdef",
            "figures": {"mean error": "6.5°", "people": 40},
        }
        (tmp_path / f"{task}.json").write_text(json.dumps(card))
    return tmp_path


def test_models_is_a_table_of_one_line_a_file(
    bundled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "precision", "MB", "for", "licence", "measured"]
    assert [row.split()[0] for row in rows] == [f"{task}.onnx" for task in TASK_OUTPUTS]
    assert rows[2].split() == ["gaze.onnx", "fp32", "0.4", "any", "runtime", "Apache-2.0"]


def test_the_wheels_own_table_has_a_measured_figure_in_every_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models"]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 12
    assert all(len(row) > 80 for row in rows)
    assert max(map(len, rows)) <= 110
    gaze = next(row for row in rows if row.startswith("gaze.onnx"))
    assert gaze.endswith("° mean error")
    assert sum(row.endswith(" from FP32") for row in rows) == 9


def test_one_card_in_full(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("gaze", "gaze.onnx", str(bundled / "gaze.onnx")):
        assert main(["models", name]) == 0
        out = capsys.readouterr().out
        assert "example-gaze 0.1.0 (gaze, fp32)" in out
        assert "  licence     Apache-2.0" in out
        assert "gaze.onnx, 0.4 MB, SHA-256 " in out
        assert "  input       image float32 (batch, 3, 96, 224)" in out
        assert "  trained on  rendered people" in out
        assert "python -m train.example, seed 7, commit 0123456789ab" in out
        assert "  figures     mean error: 6.5°\n              people: 40" in out
        assert max(map(len, out.splitlines())) <= 100
    assert main(["models", "gaze", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "gaze"
    assert main(["models", "smile"]) == 1
    assert "gaze.onnx" in capsys.readouterr().err


def test_a_model_is_saved_with_its_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "gaze.fp16.onnx", "--save", str(tmp_path / "out")]) == 0
    saved = load_model_file(tmp_path / "out" / "gaze.fp16.onnx")
    assert saved.card.precision == "fp16"
    assert main(["models", "gaze.fp16.onnx", "--save", str(tmp_path / "out")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["models", "--save", str(tmp_path)]) == 2
    capsys.readouterr()
    assert main(["models", "gaze.fp16.onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] is None
    assert main(["models", str(tmp_path / "out" / "gaze.fp16.onnx"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["path"]).stat().st_size == told["size_bytes"] == len(saved.data)


def test_models_gives_the_cards_as_json(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert [card["task"] for card in cards] == list(TASK_OUTPUTS)
    assert cards[2]["size_bytes"] == 400_000
    assert cards[2]["figures"] == {"mean error": "6.5°", "people": 40}
    assert cards[2]["inputs"][0]["shape"] == ["batch", 3, 96, 224]


def test_other_precisions_are_listed_with_their_network(
    bundled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = json.loads((bundled / "gaze.json").read_text())
    card |= {"precision": "int8", "runs_on": ["onnxruntime"]}
    card["figures"] = {"against_fp32": {"found": "all", "change_mean_deg": 0.314}}
    (bundled / "gaze.int8_cpu.json").write_text(json.dumps(card))
    (bundled / "gaze.int8_cpu.onnx").write_bytes((bundled / "gaze.onnx").read_bytes())
    assert main(["models"]) == 0
    last = capsys.readouterr().out.splitlines()[-1].split(maxsplit=4)
    assert last[:3] == ["gaze.int8_cpu.onnx", "int8", "0.4"]
    assert last[3:] == ["onnxruntime", "Apache-2.0  0.31° from FP32"]
    assert main(["models", "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert [len(card["precisions"]) for card in cards] == [0, 0, 1]
    assert cards[2]["precisions"][0]["precision"] == "int8"
    (bundled / "gaze.int8_cpu.onnx").write_bytes(b"damaged")
    assert main(["models"]) == 1
    assert "gaze.int8_cpu.onnx" in capsys.readouterr().err


def test_a_damaged_model_is_named_and_the_others_are_listed(
    bundled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundled / "gaze.onnx").write_bytes(b"damaged")
    assert main(["models"]) == 1
    out, err = capsys.readouterr()
    assert "\nface_detector.onnx" in out
    assert "\ngaze.onnx" not in out
    assert err.startswith("error: ")
    assert "gaze.onnx" in err
    assert "SHA-256" in err
    assert err.count("\n") == 1


def test_one_option_of_run_is_the_precision_of_all_networks(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = str(repository / "samples" / "media" / "portrait.jpg")
    said = {}
    for precision in ("fp32", "int8"):
        out = tmp_path / f"{precision}.jsonl"
        assert main(["run", photo, str(out), "--precision", precision, "--headless"]) == 0
        said[precision] = json.loads(out.read_text())["faces"]
    assert len(said["int8"]) == len(said["fp32"]) > 0
    assert said["int8"] != said["fp32"]
    assert main(["run", photo, "--precision", "int8", "--model", "gaze.onnx", "--headless"]) == 2
    assert "precision='int8' was given with the model" in capsys.readouterr().err
