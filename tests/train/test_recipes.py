"""The scripts of ``train/recipes`` give commands that their programs take: run with a stand-in."""

from __future__ import annotations

import ast
import importlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.documents import ROOT, door

RECIPES = sorted((ROOT / "train" / "recipes").glob("*.sh"))
RECORD = """#!/bin/sh
for word in "$@"; do printf '%s\\t' "$word" >> "$RECORDED"; done
printf '\\f' >> "$RECORDED"
"""


def recorded(script: Path, folder: Path) -> list[list[str]]:
    """The words of every call of Python, of a copy that does nothing else."""
    recipes = folder / "train" / "recipes"
    recipes.mkdir(parents=True)
    programs = folder / "programs"
    programs.mkdir()
    for name, text in (("python", RECORD), ("git", "#!/bin/sh\n")):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [shutil.copy(script, recipes)],
        env={
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "RECORDED": str(folder / "calls"),
            "CLIPGAZE_FACEKIT": "FaceXModel",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    calls = (folder / "calls").read_text(encoding="utf-8").split("\f")[:-1]
    return [call.split("\t")[:-1] for call in calls]


def check_program(text: str) -> None:
    """A program on the command line is Python, and what it imports is there."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names), text


@pytest.mark.parametrize("script", RECIPES, ids=lambda script: script.name)
def test_every_command_of_a_recipe_is_one_that_its_program_takes(
    script: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lightning", reason="training tests need the extra [train]")
    from train.gaze.recipes import changed, find_recipe

    calls = recorded(script, tmp_path)
    assert len(calls) >= 7
    for words in calls:
        if words[0] == "-c":
            check_program(words[1])
            continue
        known = door(shlex.join(["python", *words]))
        assert known, words
        parser, rest = known
        args = parser.parse_args(rest)
        if "train.gaze.fit" in words:
            changed(find_recipe(args.method), dict(pair.split("=", 1) for pair in args.set))
