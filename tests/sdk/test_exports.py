"""The public names: the same for a reader, a type checker and at run time."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import clipgaze_sdk


def test_type_checkers_see_what_there_is() -> None:
    tree = ast.parse(Path(clipgaze_sdk.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        seen |= {alias.asname: f"clipgaze_sdk.{line.module}" for alias in line.names}
    assert sorted(name or "" for name in seen) == clipgaze_sdk.__all__
    for name, home in seen.items():
        assert getattr(clipgaze_sdk, name or "") is getattr(
            importlib.import_module(home), name or ""
        )
    assert set(clipgaze_sdk.__all__) <= set(dir(clipgaze_sdk))
    assert not hasattr(clipgaze_sdk, "NoSuchName")
