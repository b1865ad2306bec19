"""What docs/export.md tells to do is something that the programs take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from export import backbones, export_onnx, precisions, verify

PROGRAMS = {
    f"{program.__name__.split('.')[-1]}.py": program
    for program in (backbones, export_onnx, precisions, verify)
}


def commands(document: Path) -> list[list[str]]:
    """The words of every command on these programs, by path or as modules."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    lines += re.findall(r"`(python export/\w+\.py -[^`]*)`", text)
    named = [re.sub(r"^python -m export\.(\w+)", r"python export/\1.py", line) for line in lines]
    return [shlex.split(line)[1:] for line in named if line.startswith("python export/")]


@pytest.mark.parametrize(("document", "least"), [("export.md", 4), ("training.md", 3)])
def test_every_command_is_one_that_the_programs_take(document: str, least: int, repository: Path):
    found = commands(repository / "docs" / document)
    assert len(found) >= least
    for path, *words in found:
        PROGRAMS[Path(path).name]._parser().parse_args(words)


@pytest.mark.parametrize("document", ["export.md", "training.md"])
def test_every_link_leads_somewhere(document: str, repository: Path):
    path = repository / "docs" / document
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (path.parent / target).exists(), target
