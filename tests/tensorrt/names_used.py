"""What the SDK's source takes from TensorRT and pycuda, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SDK = Path(__file__).parents[2] / "sdk" / "clipgaze_sdk"
FILES = (
    SDK / "tensorrt" / "network.py",
    SDK / "backends" / "cuda.py",
    SDK / "backends" / "engine_runner.py",
    SDK / "backends" / "tensorrt.py",
)
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "error": "ParserError",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "layer": "ILayer",
    "tensor": "ITensor",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
}
"""What the variables of these files are."""
CUDA_CLASSES = {"device": "Device", "stream": "Stream", "gpu": "Context"}


@dataclass(frozen=True)
class Use:
    """One name that is taken, and how it is called if it is."""

    root: str
    """"trt", "cuda", or the class of a variable."""
    path: tuple[str, ...]
    positional: int | None
    """How many arguments without names a call gives; None if it is no call."""
    keywords: tuple[str, ...]
    where: str


def uses() -> list[Use]:
    """Return every name that the SDK takes from the two modules or from their objects."""
    return [use for path in FILES for use in _of_file(path)]


def attributes_of_others() -> Iterator[tuple[str, str]]:
    """Yield (attribute, where) that are taken from something else."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and _chain(node) is None:
                yield node.attr, f"{path.name}:{node.lineno}"


def _of_file(path: Path) -> Iterator[Use]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        chain = _chain(node)
        if chain is None:
            continue
        root, names = chain
        call = calls.get(id(node))
        yield Use(
            root,
            names,
            None if call is None else len(call.args),
            () if call is None else tuple(k.arg or "**" for k in call.keywords),
            f"{path.name}:{node.lineno}",
        )


def _chain(node: ast.expr) -> tuple[str, tuple[str, ...]] | None:
    """Return the root of ``trt.A.b`` and its names; None if it has no known root."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        is_own = isinstance(node.value, ast.Name) and node.value.id == "self"
        if is_own and node.attr.startswith("_") and (root := _root(node.attr[1:])):
            return root, tuple(reversed(names))
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and (root := _root(node.id)):
        return root, tuple(reversed(names))
    return None


def _root(name: str) -> str | None:
    if name in ("trt", "cuda"):
        return name
    return CLASSES.get(name) or CUDA_CLASSES.get(name)
