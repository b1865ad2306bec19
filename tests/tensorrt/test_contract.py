"""What the SDK and the double take from TensorRT and pycuda, held against the real ones.

The bindings of three versions are fetched from the package index, once.  Without it, these skip.
"""

from __future__ import annotations

import enum
import inspect
import re
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.tensorrt.bindings import REQUIREMENTS, describe_version, pycuda_sources, signatures
from tests.tensorrt.names_used import CLASSES, CUDA_CLASSES, Use, attributes_of_others, uses
from tests.tensorrt_double import VERSIONS, World, make_cuda, make_tensorrt

ONLY_UNTIL_TEN = {("BuilderFlag", "FP16"), ("BuilderFlag", "INT8")}
"""Taken by ``precision_flags`` alone, which ``test_branches`` runs on the real enums."""
_CLASS = r"py::class_<[^(]*>\s*\w*"
RESULTS = {"bool": "bool", "int": "int", "str": "str"}


@pytest.fixture(scope="module", params=VERSIONS)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One version: its number, its classes and what our branches do on it."""
    scratch = tmp_path_factory.mktemp("stubs")
    return request.param, describe_version(request.param, kept(request), scratch)


@pytest.fixture(scope="module")
def pycuda(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return pycuda's sources."""
    return pycuda_sources(kept(request))


def kept(request: pytest.FixtureRequest) -> Path:
    """Return the folder in pytest's cache where what is fetched stays from run to run."""
    return Path(request.config.cache.mkdir("tensorrt_bindings"))


def test_the_versions_are_those_of_the_double() -> None:
    assert tuple(REQUIREMENTS) == VERSIONS


def of_tensorrt() -> list[Use]:
    return [use for use in uses() if use.root == "trt" or use.root in CLASSES.values()]


def test_every_name_that_the_sdk_takes_is_there(real: Any) -> None:
    version, found = real
    classes = found["classes"]
    missing = []
    for use in of_tensorrt():
        path = use.path if use.root == "trt" else (use.root, *use.path)
        absent = ONLY_UNTIL_TEN if version.startswith("11") else set()
        if path and path not in absent and not is_there(classes, path):
            missing.append(f"{use.where}: {'.'.join(path)}")
    assert not missing


def is_there(classes: dict[str, Any], path: tuple[str, ...]) -> bool:
    if path == ("__version__",):
        return True
    if len(path) == 3:
        path = (f"{path[0]}.{path[1]}", path[2])
    members = classes.get(path[0])
    if members is None or len(path) == 1:
        return members is not None
    return path[1] in members or path[1] in members["__enum__"].split(",")


def test_every_call_of_the_sdk_fits(real: Any) -> None:
    _, found = real
    wrong = []
    checked = 0
    for use in of_tensorrt():
        if use.positional is None or not use.path:
            continue
        docstring, name, given = docstring_of(found["classes"], use)
        overloads = signatures(docstring, name)
        if not overloads:  # a function of Python's own, as trt.nptype
            assert use.path == ("nptype",), use
            continue
        checked += 1
        if not any(fits(arguments, needed, given, use) for arguments, needed, _ in overloads):
            wrong.append(f"{use.where}: {name} takes {overloads}")
    assert not wrong
    assert checked > 30


def docstring_of(classes: dict[str, Any], use: Use) -> tuple[str, str, int]:
    """Return a call's docstring, the name in it, and how many arguments are given."""
    if use.root != "trt":
        return classes[use.root][use.path[0]], use.path[0], use.positional
    if use.path == ("nptype",):
        return "", "nptype", use.positional
    is_init = use.path[-1] == "__init__"  # called with self, which signatures() leaves out
    return classes[use.path[0]]["__init__"], "__init__", use.positional - is_init


def fits(arguments: list[str], needed: int, given: int, use: Use) -> bool:
    by_name = set(use.keywords)
    return needed <= given + len(by_name) <= len(arguments) and by_name <= set(arguments[given:])


def test_no_object_of_tensorrt_goes_by_a_name_that_is_not_known(real: Any) -> None:
    """A new variable must be entered in ``names_used``, or its calls would not be looked at."""
    _, found = real
    methods = {
        name
        for members in found["classes"].values()
        for name in members
        if "_" in name.strip("_") and not name.startswith("_")
    }
    unknown = [f"{where}: {name}" for name, where in attributes_of_others() if name in methods]
    assert not unknown


def test_the_double_offers_nothing_that_is_not_there(real: Any) -> None:
    version, found = real
    classes = found["classes"]
    double = make_tensorrt(World(), version)
    wrong = []
    for name, value in vars(double).items():
        if name.startswith("__"):
            continue
        if name not in classes:
            wrong.append(name)
        elif isinstance(value, type) and issubclass(value, enum.Enum):
            real_members = classes[name]["__enum__"].split(",")
            wrong += [f"{name}.{m}" for m in value.__members__ if m not in real_members]
        elif isinstance(value, type):
            wrong += wrong_members(value, name, classes)
    assert not wrong


def wrong_members(double: type, name: str, classes: dict[str, Any]) -> list[str]:
    wrong = []
    for key, value in vars(double).items():
        if key == "Severity":
            members = classes[f"{name}.Severity"]["__enum__"].split(",")
            wrong += [f"{name}.{key}.{m}" for m in value.__members__ if m not in members]
        elif key.startswith("_"):
            continue
        elif key not in classes[name]:
            wrong.append(f"{name}.{key}")
        elif callable(value):
            overloads = signatures(classes[name][key], key)
            if not any(same_call(value, overload) for overload in overloads):
                wrong.append(f"{name}.{key}{inspect.signature(value)}: {overloads}")
    return wrong


def same_call(double: Any, overload: tuple[list[str], int, str]) -> bool:
    arguments, needed, result = overload
    signature = inspect.signature(double)
    own = list(signature.parameters)[1:]
    known = RESULTS.get(str(signature.return_annotation))
    return (
        own == arguments[: len(own)]
        and len(own) >= needed
        and (known is None or known == RESULTS.get(result, result))
    )


def test_attributes_that_are_set_are_there(real: Any) -> None:
    """Attributes that the double makes in its constructors are not in its classes."""
    version, found = real
    double = make_tensorrt(World(), version)
    config = double.IBuilderConfig()
    for name in vars(config):
        assert name.startswith("_") or name in found["classes"]["IBuilderConfig"]
    for name in vars(double.ITensor("x")):
        assert name in found["classes"]["ITensor"]
    layer = double.ILayer(onnx.NodeProto(), "SHUFFLE", set())
    for name in vars(layer):
        assert name.startswith("_") or name in found["classes"]["ILayer"]
    inspector = double.EngineInspector(None)
    for name in vars(inspector):
        assert name.startswith("_") or name in found["classes"]["EngineInspector"]


def test_the_double_offers_only_what_the_sdk_takes() -> None:
    taken = {use.path[0] for use in of_tensorrt() if use.path}
    taken |= {use.path[1] for use in uses() if use.root == "trt" and len(use.path) > 1}
    double = make_tensorrt(World(), VERSIONS[0])
    besides = {"phase_start", "phase_finish", "step_complete", "log", "Severity", "nbytes"}
    for name in CLASSES.values():
        offered = {key for key in vars(getattr(double, name)) if not key.startswith("_")}
        assert offered <= taken | besides, name


def test_branches(real: Any) -> None:
    version, found = real
    ten, old = not version.startswith("11"), version.startswith("10.3")
    branches = found["branches"]
    assert branches["version"].startswith(version)
    for precision in ("fp32", "fp16", "int8"):
        strong = not (old and precision == "int8")
        flag_bit = branches["fp32 gpu"][1]
        assert flag_bit > 0
        flags = [[], []] if strong else [["INT8"], ["FP16", "INT8"]]
        assert branches[f"{precision} gpu"] == [strong, flag_bit if strong else 0, flags]
    assert branches["fp16 dla"] == (
        [False, 0, [[], ["FP16"]]] if ten else [True, flag_bit, [[], []]]
    )
    assert branches["log"] == [True, "it broke", "it gave no reason"]
    assert branches["monitor"] == [
        True,
        True,
        False,
        ["Building: 1 of 2", "Building: 2 of 2"],
    ]
    assert branches["nptype"] == ["float32", "float16"]


def test_every_name_that_is_taken_from_pycuda_is_there(pycuda: dict[str, str]) -> None:
    assert "from pycuda._driver import *" in pycuda["driver.py"]
    source = pycuda["wrap_cudadrv.cpp"]
    roots = {"cuda", *CUDA_CLASSES.values()}
    taken = {(use.root, *use.path) for use in uses() if use.root in roots and use.path}
    for root, *path in taken:
        names = path if root == "cuda" else [root, *path]
        assert names_in_cpp(source, names), names


def test_the_double_of_pycuda_offers_nothing_that_is_not_there(pycuda: dict[str, str]) -> None:
    source = pycuda["wrap_cudadrv.cpp"]
    for name, value in vars(make_cuda(World())).items():
        if name.startswith("__"):
            continue
        assert names_in_cpp(source, [name]), name
        if isinstance(value, type):
            for member in vars(value):
                if not member.startswith("_") or member == "__int__":
                    assert names_in_cpp(source, [name, member]), (name, member)
        else:
            declared = arguments_in_cpp(source, name)
            own = list(inspect.signature(value).parameters)
            assert declared in ([], own), (name, declared, own)


def names_in_cpp(source: str, names: list[str]) -> bool:
    """Look a function, a class or a class's member up in the C++ of pycuda's bindings."""
    first = names[0]
    if first == "Error" or first.endswith("Error"):
        return f"DECLARE_EXC({first}," in source
    if len(names) == 1:
        return re.search(rf'(?:py::def|{_CLASS})\(\s*"{first}"', source) is not None
    start = re.search(rf'{_CLASS}\(\s*"{first}"', source)
    assert start, first
    block = source[start.start() : source.find("py::class_<", start.end())]
    return any(
        text in block
        for text in (
            f"DEF_SIMPLE_METHOD({names[1]})",
            f'.def("{names[1]}"',
            f'.add_property("{names[1]}"',
        )
    )


def arguments_in_cpp(source: str, function: str) -> list[str]:
    """Return the names of a function's arguments; none where pycuda gives none."""
    start = source.index(f'py::def("{function}"')
    text = source[start : source.index(";", start)]
    names: list[str] = []
    for group in re.findall(r"py::args?\(([^()]*)\)", text):
        names += re.findall(r'"(\w+)"', group)
    return names
