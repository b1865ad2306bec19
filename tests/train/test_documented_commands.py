"""Every command of training's documents runs: on made-up data, the shipped weights, a few steps.

The commands of a page run one after another in one folder, as a reader would type them, with what
makes them quick put behind.
"""

from __future__ import annotations

import csv
import importlib
import json
import shlex
from pathlib import Path

import cv2
import pytest

from tests.documents import ROOT, shell_lines
from tests.train.made_data import make_gaze360, make_mpii, make_xgaze
from train.ablation.dots import TINY_CLIP, write_dots

PAGES = ("docs/clip_gaze.md", "docs/evaluation.md", "docs/training.md")
SHORT = {
    "train.gaze.fit": "--steps 2 --batch 8 --workers 0 --accelerator cpu --set width=16 "
    "--set keep_epochs=1 --backbone small --set band=true --set half=true",
    "train.gaze.adapt": "--labels 6 --draws 2 --steps 2 --workers 0 --device cpu",
    "train.gaze.finetune": "--steps 2 --batch 2 --folds 2 --device cpu",
    "train.gaze.step_bench": "--steps 1 --batch 4 --accelerator cpu",
    "train.clip.pretrain": "--config tiny.json --steps 2 --batch 8 --threads 1 --device cpu",
    "train.clip.tune_prompts": "--epochs 1 --threads 1 --device cpu",
    "train.eval.assess": "--workers 0 --device cpu",
    "train.eval.claims": "--workers 0 --device cpu",
    "train.eval.features": "--workers 0 --device cpu",
    "export.export_onnx": "",
}
"""What is put behind each command."""

NOT_RUN = {
    "pip install": "installs",
    "train.synth": "draws with OpenGL; run by tests/train/synth",
    "train.data": "run by tests/train/data",
    "train.front": "needs rendered cut-outs; run by tests/train/front",
    "train.runs": "minutes to days; run by tests/train/runs",
    "train.ablation": "minutes; run by tests/train/ablation",
    "train.clip.identity": "needs ICT-FaceKit; run by tests/train/clip",
    "train.eval.bundled": "needs the rendered frozen set; run by tests/train/eval",
    "train.eval.pairs": "timed on a quiet machine; run by tests/train/eval",
    "train.eval.real": "needs photographs; run by tests/train/eval",
    "train.eval.rendered": "needs rendered pictures; run by tests/train/eval",
    "eyediap:": "run by tests/train/eval/test_network_files.py",
    "mpii_normalized:": "run by tests/train/data",
    "export.precisions": "run by tests/export",
    "export.verify": "run by tests/export",
    "export/precisions.py": "run by tests/export",
    "export/verify.py": "run by tests/export",
}
"""By a part of the command, why it is not run here."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.*"),
    pytest.mark.filterwarnings("ignore:.*has never seen:UserWarning"),
]


def training_commands(page: str) -> list[str]:
    return [
        line
        for line in shell_lines(page)
        if line.startswith("python ") and not any(part in line for part in NOT_RUN)
    ]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages take for granted."""
    for name in ("train", "sdk", "samples", "export"):
        (tmp_path / name).symlink_to(ROOT / name)
    for number, name in enumerate(("source", "street", "held_out")):
        write_dots(tmp_path / "data" / name, people=24, pictures=2, seed=number)
    write_dots(tmp_path / "data" / "bands", people=6, pictures=4)
    (tmp_path / "tiny.json").write_text(json.dumps(TINY_CLIP))
    make_mpii(tmp_path / "MPIIFaceGaze")
    make_gaze360(tmp_path / "Gaze360", split="test")
    make_xgaze(tmp_path / "ETH-XGaze", people=11, each=2)
    picture = cv2.imread(str(ROOT / "samples" / "media" / "portrait.jpg"))
    for name in ("my_pictures", "other_pictures"):
        own = tmp_path / name
        own.mkdir()
        with (own / "samples.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "pitch_rad", "yaw_rad"])
            for k in range(4):
                cv2.imwrite(str(own / f"{k}.jpg"), picture)
                writer.writerow([f"{k}.jpg", 0.1 * k - 0.2, 0.1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> int:
    words = shlex.split(line)
    words = words[2:] if words[1] == "-m" else words[1:]
    name = words[0].replace("export/", "export.").removesuffix(".py")
    module = importlib.import_module(name)
    try:
        return int(module.main([*words[1:], *shlex.split(SHORT[name])]) or 0)
    except SystemExit as stop:
        pytest.fail(f"{line}: {stop}")


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_their_order(
    page: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = training_commands(page)
    assert len(lines) >= 2
    for line in lines:
        code = run(line)
        # Claims of a network that was never trained do not hold, and the exit code says so.
        good = (0, 1) if "train.eval.claims" in line else (0,)
        assert code in good, f"{page}: {line}\n{capsys.readouterr().err}"


def test_every_command_is_run_here_or_listed_with_a_reason() -> None:
    for page in PAGES:
        for line in shell_lines(page):
            if line.startswith("python -m train.") and line in training_commands(page):
                assert shlex.split(line)[2] in SHORT, f"{page}: nothing is known of {line!r}"
