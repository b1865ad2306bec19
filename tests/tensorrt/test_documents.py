"""What docs/jetson.md tells to do is something that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from clipgaze_sdk.cli import make_parser

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "jetson.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = "".join(blocks("bash")).splitlines() + re.findall(r"`(clipgaze [^`]*)`", TEXT)
    return sorted({line for line in lines if line.startswith("clipgaze ")})


@pytest.mark.parametrize("line", commands())
def test_every_command_is_one_that_the_program_takes(line: str) -> None:
    if line.split()[1:] in (["build-engine"], ["bench", "--compare"]):
        return  # named in a sentence
    make_parser().parse_args(shlex.split(line)[1:])


def test_the_examples_are_python() -> None:
    examples = blocks("python")
    assert len(examples) == 2
    for example in examples:
        compile(example, "docs/jetson.md", "exec")


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", TEXT):
        if not target.startswith("https://"):
            assert (ROOT / "docs" / target).exists(), target


def test_the_table_of_boards_is_empty_until_measured() -> None:
    """Whoever fills it takes this test away, and says where the figures are from."""
    table = TEXT.split("| board, JetPack, power mode")[1].split("\n\n")[0]
    assert table.count("\n") == 1
