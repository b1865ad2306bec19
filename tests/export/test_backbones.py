"""The comparison of backbones, on networks of random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
import torch

from export import backbones
from export.backbone_report import count_macs
from export.conversion import converted
from export.model_files import ExportError
from export.trained import load_run
from tests.export.small_networks import gaze_model
from tests.export.test_export_onnx import run_of


def trained(folder: Path, backbone: str) -> Path:
    half = backbone != "eyes"
    run = run_of(folder, backbone=backbone, band=half, half=half)
    card = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(card | {"recipe": {"batch": 64}}))
    (run / "log.jsonl").write_text(
        '{"step": 3, "error_deg": 20.0}\n{"step": 5, "error_deg": 9.5}\n'
    )
    return run


def test_multiplications_are_counted(tmp_path: Path):
    """Against torch's own counter, also for networks whose halves are two rows of a batch."""
    from torch.utils.flop_counter import FlopCounterMode

    for backbone, size in (("small", (96, 224)), ("twin", (96, 224)), ("eyes", (48, 208))):
        run = trained(tmp_path / backbone, backbone)
        network = load_run("gaze", run)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network.network(torch.zeros(1, 3, *size))
        model = onnx.load_from_string(converted(network, batch=1))
        assert count_macs(model) == counter.get_total_flops() // 2


def test_unknown_sizes_are_refused():
    model = gaze_model()
    del model.graph.value_info[:]
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(ExportError, match="are not known"):
        count_macs(model)


def test_a_table_of_two_backbones(crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = [trained(tmp_path / name, name) for name in ("twin", "eyes")]
    out = tmp_path / "table.md"
    given = ["--data", str(crops), "--calibration", str(crops), "--rounds", "3", "--threads", "1"]
    backbones.main([*(f"--run={run}" for run in runs), *given, "--out", str(out)])
    text = out.read_text()
    assert text in capsys.readouterr().out
    twin, eyes = text.splitlines()[-2:]
    cells = [cell.strip() for cell in twin.strip("|").split("|")]
    assert cells[:2] == ["`twin`", "320"]
    assert cells[4] == "9.5°"
    assert cells[8].startswith("1.00 (")
    assert eyes.startswith("| `eyes` | 320 |")
    # Random weights: FP32 and INT8 have errors of their own, of the same size.
    fp32, int8 = (float(cell.rstrip("°")) for cell in cells[5:7])
    assert fp32 == pytest.approx(int8, abs=3)
    with pytest.raises(SystemExit, match="the same name"):
        backbones.main([f"--run={runs[0]}", f"--run={runs[0]}", *given])
    shutil.rmtree(runs[1])
    with pytest.raises(SystemExit, match=r"^error: "):
        backbones.main([f"--run={runs[1]}", *given])
