"""The examples in the docstrings say what happens."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module", ["geometry.camera", "_estimator", "_options", "geometry.normalization"]
)
def test_examples(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"clipgaze_sdk.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
