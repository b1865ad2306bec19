"""The examples in the docstrings say what happens."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import clipgaze_sdk

ROOT = Path(clipgaze_sdk.__file__).parent
WITH_EXAMPLES = [path for path in sorted(ROOT.rglob("*.py")) if ">>>" in path.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    names = path.relative_to(ROOT).with_suffix("").parts
    result = doctest.testmod(importlib.import_module(".".join(("clipgaze_sdk", *names))))
    assert result.attempted > 0
    assert result.failed == 0


def test_public_classes_have_one() -> None:
    assert {"__init__", "_estimator", "_options", "camera"} <= {path.stem for path in WITH_EXAMPLES}
