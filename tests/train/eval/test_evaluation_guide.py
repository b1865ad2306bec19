"""What docs/evaluation.md tells to do is something that the programs take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="training tests need the extra [train]")

from export import export_onnx
from train.data import __main__ as data
from train.data.registry import READERS, parse_spec
from train.eval import assess
from train.gaze import finetune

DOCUMENT = Path(__file__).parents[3] / "docs" / "evaluation.md"
PARSERS = {
    "train.eval.assess": assess._parser,
    "train.gaze.finetune": finetune._parser,
    "train.data": data._parser,
    "export_onnx.py": export_onnx._parser,
}


def commands():
    text = DOCUMENT.read_text(encoding="utf-8")
    lines = "".join(re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    lines = [line for line in lines.splitlines() if line.startswith("python ")]
    return [line for line in lines if "pip install" not in line]


@pytest.mark.parametrize("line", commands())
def test_every_command_is_one_that_its_program_takes(line):
    words = shlex.split(line)[1:]
    words = words[1:] if words[0] == "-m" else words
    PARSERS[Path(words[0]).name].__call__().parse_args(words[1:])
    specs = [word for word in words if word.partition(":")[0] in READERS]
    assert len(specs) == (0 if "export" in words[0] else 1)
    for spec in specs:
        parse_spec(spec)


def test_every_data_set_is_told_of_and_every_link_leads_somewhere():
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in set(READERS) - {"rendered"}:
        assert f"| `{name}` |" in text
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("https://"):
            assert (DOCUMENT.parent / target).exists(), target


def test_the_defaults_are_those_that_are_told():
    text, options = DOCUMENT.read_text(encoding="utf-8"), finetune.FineTuneOptions()
    assert f"for {options.steps}\n  steps of {options.batch} at a rate of 3e-4" in text
    assert f"`--keep {options.keep}`" in text
    assert (options.learning_rate, options.layers, options.folds) == (3e-4, "stage", 5)
