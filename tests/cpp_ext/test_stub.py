"""The stub against the compiled module: stubtest cannot see the arguments of compiled functions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from clipgaze_sdk import _core


def stub_functions(path: Path) -> dict[str, tuple[list[str], list[str], dict[str, object]]]:
    """Positional names, keyword-only names and defaults, by function."""
    functions = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            keyword_only = [argument.arg for argument in node.args.kwonlyargs]
            defaults = {
                name: ast.literal_eval(value)
                for name, value in zip(keyword_only, node.args.kw_defaults, strict=True)
                if value is not None
            }
            functions[node.name] = ([a.arg for a in node.args.args], keyword_only, defaults)
    return functions


def compiled_signature(name: str) -> tuple[list[str], list[str], dict[str, object]]:
    """The same, from the first line of the docstring that pybind11 writes."""
    line = (getattr(_core, name).__doc__ or "").splitlines()[0]
    positional, keyword_only = line[: line.rindex(" -> ")].split("*, ")
    defaults = {
        key: ast.literal_eval(value) for key, value in re.findall(r"(\w+): [^:=]+ = ([^,)]+)", line)
    }
    argument = re.compile(r"(\w+): ")
    return argument.findall(positional), argument.findall(keyword_only), defaults


def test_stub_has_every_function_with_its_arguments_and_defaults(repository: Path):
    stub = stub_functions(repository / "sdk" / "clipgaze_sdk" / "_core.pyi")
    compiled = {name for name in dir(_core) if not name.startswith("_")}
    assert set(stub) == compiled
    for name, signature in stub.items():
        assert compiled_signature(name) == signature, name
