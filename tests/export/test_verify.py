"""True half precision, changes, limits, and the program that puts them together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from clipgaze_sdk.models.cards import ModelCard
from export import precisions, verification, verify
from export.comparison import Problem, change, gaze_error_deg
from export.gate import Limits, failures
from export.half_graph import half_precision
from export.half_run import HalfRunner
from export.latency import medians_ms
from export.model_files import MODELS
from tests.export.small_networks import gaze_model, random_images, write_gaze_network
from tests.export.test_graphs import answers


@pytest.fixture(scope="module")
def made(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with all its precisions."""
    path = write_gaze_network(tmp_path_factory.mktemp("made") / "gaze.onnx")
    precisions.main([str(path), "--calibration", str(crops), "--method", "minmax"])
    return path


def test_half_precision_is_computed_in_half_precision():
    """Rounding shows: near FP32, but not what ONNX Runtime's CPU computes."""
    model, _ = half_precision(gaze_model())
    runner = HalfRunner(model)
    image = random_images(1)[0]
    half = runner.run(image)
    for out, a, b in zip(
        half.values(), answers(gaze_model(), image), answers(model, image), strict=True
    ):
        assert out.dtype == np.float32
        assert 0 < np.abs(out - a).max() < 5e-3
        assert not np.array_equal(out, b)
    assert set(runner.largest) >= {"/stem", "/stem_relu", "/sum", "/hidden"}
    assert not {"/pitch_yaw", "/sigma"} & set(runner.largest)


def test_an_overflow_that_onnx_runtime_hides_is_seen():
    model = gaze_model()
    factors = {"inner.w": 1e5, "outer.w": 1e-4}
    for tensor in model.graph.initializer:
        if tensor.name in factors:
            values = numpy_helper.to_array(tensor) * np.float32(factors[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    half, _ = half_precision(model)
    image = random_images(1)[0]
    assert all(np.isfinite(out).all() for out in answers(half, image))
    runner = HalfRunner(half)
    runner.run(image)
    assert runner.largest["/inner"] == np.inf
    report = {"images": 1, "files": {"fp16": {"change_mean": 0, "true_half": {
        "change_mean": 0, "largest": runner.largest}}}}  # fmt: skip
    (line, *_) = failures("gaze", report, Limits())
    assert "the activation of /inner reaches inf, over 30000; keep it in FP32" in line


def test_changes_of_gaze_are_angles():
    card = ModelCard.load(MODELS / "gaze.json")
    base = [{"pitch_yaw": np.array([[0.0, 0.0]]), "log_sigma": np.array([-2.0])}] * 2
    other = [
        {"pitch_yaw": np.array([[np.radians(1), 0.0]]), "log_sigma": np.array([-1.5])},
        {"pitch_yaw": np.array([[0.0, np.radians(3)]]), "log_sigma": np.array([-2.0])},
    ]
    task = Problem([], np.radians([[0.0, 0.0], [0.0, 4.0]]))
    found = change(card, task, base, other)
    assert (found.mean, found.worst) == (pytest.approx(2), pytest.approx(3))
    assert found.figures == {"log_sigma": 0.25, "gaze_error_deg": pytest.approx(1)}
    assert gaze_error_deg(task, base) == pytest.approx(2)


def test_changes_of_landmarks_are_pixels_of_the_crop():
    card = ModelCard.load(MODELS / "face_landmarks.json")
    base = {"points": np.zeros((1, 70, 2)), "openness": np.ones((1, 2)), "presence": np.ones(1)}
    other = {**base, "points": np.full((1, 70, 2), [3 / 64, 4 / 64]), "presence": np.zeros(1)}
    found = change(card, Problem([]), [base], [other])
    assert (found.mean, found.worst) == (pytest.approx(5), pytest.approx(5))
    assert found.figures == {"openness": 0, "presence": 1}


def test_changes_of_detections_are_matched_faces():
    card = ModelCard.load(MODELS / "face_detector.json")
    count = 64 * 64 // 64 + 64 * 64 // 256 + 64 * 64 // 1024

    def detected(cells: dict[int, float]) -> dict[str, np.ndarray]:
        out = {
            "scores": np.zeros((1, count), np.float32),
            "boxes": np.full((1, count, 4), 0.4, np.float32),
            "points": np.zeros((1, count, 10), np.float32),
        }
        for cell, score in cells.items():
            out["scores"][0, cell] = score
        return out

    task = Problem([np.zeros((1, 3, 64, 64), np.float32)])
    found = change(card, task, [detected({0: 0.9, 20: 0.8})], [detected({0: 0.7, 40: 0.8})])
    assert found.figures == {"faces": 2, "lost": 1, "new": 1, "score": pytest.approx(0.2)}
    assert (found.mean, found.worst) == (0, 0)
    none = change(card, task, [detected({0: 0.9})], [detected({})])
    assert none.mean == np.inf


def test_limits_are_held_against_the_worse_of_both_fp16_runs():
    good = {"change_mean": 0.05, "largest": {"a": 100.0}}
    files = {"fp32": {}, "fp16": {"change_mean": 0.09, "true_half": good}}
    files |= {"int8": {"change_mean": 0.4}, "int8_cpu": {"change_mean": 0.6}}
    lines = failures("gaze", {"files": files}, Limits())
    assert lines == ["gaze int8_cpu: mean change 0.6 over 0.5"]
    files["fp16"]["true_half"] = good | {"change_mean": 0.2}
    assert "gaze fp16 in true half precision" in failures("gaze", {"files": files}, Limits())[0]
    files["fp16"]["true_half"] = good | {"change_mean": float("nan")}
    assert len(failures("gaze", {"files": files}, Limits())) == 2


def test_faces_lost_are_a_failure():
    figures = {"change_mean": 0.0, "faces": 100.0, "lost": 6.0, "new": 5.0}
    lines = failures("face_detector", {"files": {"int8": figures}}, Limits())
    assert lines == ["face_detector int8: 6 of 100 faces lost, over 5%"]


def test_the_program_writes_a_table_and_figures(made: Path, crops: Path, tmp_path: Path, capsys):
    arguments = [str(made), "--data", str(crops), "--threads", "1", "--images", "8"]
    verify.main([*arguments, "--rounds", "2", "--out", str(tmp_path)])
    text = (tmp_path / "verify.md").read_text()
    assert text.strip() in capsys.readouterr().out
    assert "| gaze | fp16 in true half (8 inputs) |" in text
    report = json.loads((tmp_path / "verify.json").read_text())
    files = report["networks"]["gaze"]["files"]
    assert list(files) == ["fp32", "fp16", "int8", "int8_cpu"]
    assert files["fp32"]["speedup"] == 1
    assert 0 < files["fp16"]["change_mean"] < files["int8"]["change_mean"]
    assert files["fp16"]["true_half"]["largest"]["/stem"] > 0
    assert files["fp16"]["bytes"] < files["fp32"]["bytes"]
    assert files["int8"]["bytes"] < files["fp32"]["bytes"]  # its linear layers stay FP32
    assert files["fp32"]["gaze_error_deg"] > 0


def test_figures_go_into_cards_where_limits_hold(
    made: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for path in made.parent.glob("gaze.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    arguments = [str(tmp_path / "gaze.onnx"), "--data", str(crops), "--rounds", "1"]
    arguments += ["--images", "8", "--write-cards", "--out", str(tmp_path)]
    before = ModelCard.load(tmp_path / "gaze.int8.json")
    with monkeypatch.context() as patch:
        patch.setattr(
            verification, "Limits", lambda: Limits(change={"gaze": {"fp16": 0, "int8": 0}})
        )
        with pytest.raises(SystemExit):
            verify.main(arguments)
    assert ModelCard.load(tmp_path / "gaze.int8.json").figures == before.figures == {}
    verify.main(arguments)
    run = json.loads((tmp_path / "verify.json").read_text())["networks"]["gaze"]["files"]["int8"]
    assert ModelCard.load(tmp_path / "gaze.int8.json").figures == {
        "against_fp32": {
            "inputs": 8,
            "change_mean_deg": round(run["change_mean"], 4),
            "change_worst_deg": round(run["change_worst"], 4),
            "log_sigma": round(run["log_sigma"], 4),
            "gaze_error_deg": round(run["gaze_error_deg"], 4),
        }
    }
    half = ModelCard.load(tmp_path / "gaze.fp16.json").figures["in_true_half"]
    assert half["inputs"] == 8
    assert half["largest_activation"] > 0
    assert ModelCard.load(tmp_path / "gaze.json").figures == {"error_deg": 0.0}  # as it was
    for kind in verification.KINDS:
        ModelCard.load(tmp_path / f"gaze.{kind}.json").check_file(tmp_path / f"gaze.{kind}.onnx")


def test_two_networks_of_one_task_do_not_hide_each_other(made: Path, crops: Path, tmp_path: Path):
    other = write_gaze_network(tmp_path / "gaze.onnx")
    with pytest.raises(SystemExit, match="have one task; verify one after the other"):
        verify.main([str(made), str(other), "--data", str(crops)])


def test_the_gate_is_an_exit_code(made: Path, crops: Path, monkeypatch: pytest.MonkeyPatch):
    strict = Limits(change={"gaze": {"fp16": 1e-9, "int8": 1e-9}})
    monkeypatch.setattr(verification, "Limits", lambda: strict)
    with pytest.raises(SystemExit, match="not precise enough:\ngaze fp16: mean change"):
        verify.main([str(made), "--data", str(crops), "--rounds", "0", "--images", "4"])


def test_files_of_another_network_are_refused(made: Path, crops: Path, tmp_path: Path):
    other = write_gaze_network(tmp_path / "gaze.onnx", gain=1.5)
    for path in made.parent.glob("gaze.*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(SystemExit, match=r"gaze.fp16.onnx was made from another gaze.onnx"):
        verify.main([str(other), "--data", str(crops), "--rounds", "0"])


def test_missing_precisions_and_data_are_named(made: Path, crops: Path, tmp_path: Path):
    alone = write_gaze_network(tmp_path / "gaze.onnx")
    with pytest.raises(SystemExit, match=r"Make it with `python export/precisions\.py"):
        verify.main([str(alone), "--data", str(crops), "--rounds", "0"])
    with pytest.raises(SystemExit, match=r"holds no shard-\*.tar"):
        verify.main([str(made), "--data", str(tmp_path), "--rounds", "0"])


def test_latency_takes_turns(made: Path):
    from clipgaze_sdk.models.files import load_model_file

    files = {kind: load_model_file(made) for kind in ("a", "b")}
    times = medians_ms(files, threads=1, rounds=3)
    assert sorted(times) == ["a", "b"]
    assert min(times.values()) > 0


@pytest.mark.parametrize(
    "how",
    [
        ["export/export_onnx.py"],
        ["export/precisions.py"],
        ["export/verify.py"],
        ["-m", "export.precisions"],
    ],
)
def test_programs_run_by_path_and_as_modules(how: list[str], repository: Path):
    program = Path(how[-1].replace("export.", "export/")).stem
    done = subprocess.run(
        [sys.executable, *how, "--help"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"usage: python export/{program}.py" in done.stdout
