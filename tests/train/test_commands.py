"""Every command of training and export answers --help at once, without what its work needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from train.commands import COMMANDS, announce

ROOT = Path(__file__).parents[2]
EXPORT = (
    "export/backbones.py",
    "export/export_onnx.py",
    "export/precisions.py",
    "export/verify.py",
)
SUBCOMMANDS = (
    "train.synth write",
    "train.synth pool",
    "train.synth preview",
    "train.synth bench",
    "train.synth demo-media",
    "train.data check",
)
BLOCKED = """
import importlib.abc, runpy, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in %r:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
if sys.argv[0].endswith(".py"):
    sys.path.insert(0, str(__import__("pathlib").Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    sys.path.insert(0, "")
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
HEAVY = ("torch", "onnx", "scipy", "lightning", "open_clip", "cv2", "moderngl", "onnxruntime")


def run_without(libraries: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED % (libraries,), *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", [*COMMANDS, *SUBCOMMANDS, *EXPORT])
def test_help_needs_no_library_and_has_a_word_for_each_option(command: str) -> None:
    said = run_without(HEAVY, *command.split(), "--help")
    assert said.returncode == 0, said.stderr
    assert command.rpartition("/")[2] in said.stdout
    assert ":mod:" not in said.stdout
    assert ":func:" not in said.stdout
    options = re.split(r"^(?:options|optional arguments|arguments):\n", said.stdout, flags=re.M)
    entries = re.split(r"^  (?=-|\{)", options[-1], flags=re.M)[1:]
    for entry in entries:
        flag, _, rest = entry.partition("\n")
        has_word = re.search(r"\S  +\S", flag) or rest.strip()
        assert has_word, f"{command}: {flag!r} has no text"


@pytest.mark.parametrize(
    ("library", "arguments"),
    [
        ("torch", "train.gaze.fit --method erm --source a:b --out x"),
        ("torch", "train.data check a:b"),
        ("lightning", "train.ablation --preset smoke --out x"),
        ("scipy", "train.synth write --facekit x --count 1 --out x"),
        ("scipy", "train.synth pool --facekit x --count 1 --out x"),
        ("scipy", "train.synth preview --facekit x"),
        ("scipy", "train.synth bench --facekit x"),
        ("scipy", "train.synth demo-media --facekit x"),
    ],
)
def test_a_missing_extra_is_named(library: str, arguments: str) -> None:
    said = run_without((library,), *arguments.split())
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert said.stderr.startswith(f"error: {library} is not installed")
    assert 'pip install -e ".[train]"' in said.stderr


def test_what_is_announced_is_said_on_stderr_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    announce("packing the face model")
    assert capsys.readouterr() == ("", "packing the face model\n")
    monkeypatch.setattr(sys, "stderr", None)
    announce("to nobody")


def test_the_list_names_every_command() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "train"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name, text in COMMANDS.items():
        assert f"{name} " in said.stdout
        assert text in said.stdout
