"""The two doors to the builder, and what they import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ARGUMENTS = ["--fp32", "--output", "x.engine", "--dla", "0"]
FORBIDDEN = ("torch", "train", "onnx", "scipy", "timm")


def test_the_script_runs_by_its_path_and_says_what_the_command_says(
    repository: Path, tmp_path: Path
) -> None:
    script = repository / "export" / "build_engine.py"
    doors = ([str(script)], ["-m", "export.build_engine"], ["-m", "clipgaze_sdk", "build-engine"])
    answers = []
    for door in doors:
        done = subprocess.run(
            [sys.executable, *door, *ARGUMENTS],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        answers.append((done.returncode, done.stderr))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 2
    assert "a DLA was asked for with fp32" in answers[0][1]


@pytest.mark.parametrize("argument", ["--help", "--fp32"])
def test_neither_door_loads_what_a_board_lacks(
    repository: Path, gaze_onnx: Path, tmp_path: Path, argument: str
) -> None:
    code = (
        "import runpy, sys\n"
        f"for name in {FORBIDDEN!r}: sys.modules[name] = None\n"
        f"sys.argv = ['build_engine.py', {str(gaze_onnx)!r}, {argument!r}]\n"
        f"sys.path.insert(0, {str(repository / 'export')!r})\n"
        f"runpy.run_path({str(repository / 'export' / 'build_engine.py')!r}, "
        "run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in ((0,) if argument == "--help" else (0, 3))
