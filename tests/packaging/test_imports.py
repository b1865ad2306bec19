"""Who may import whom, and what importing the package costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.train.test_structure import circles

# Each part of the repository, where it lies, and the other parts that it may import.
OURS = {"clipgaze_sdk", "train", "export", "samples", "tests"}
ARROWS = {
    "clipgaze_sdk": ("sdk/clipgaze_sdk", set()),
    "train": ("train", {"clipgaze_sdk"}),
    "export": ("export", {"train", "clipgaze_sdk"}),
    "samples": ("samples", {"clipgaze_sdk"}),
}
HEAVY = ("torch", "onnxruntime", "tensorrt", "pycuda", "cv2")


def imported_tops(source: str) -> Iterator[tuple[int, str]]:
    """Line and first name of every absolute import, those inside of functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.split(".")[0]


def test_every_form_of_import_is_seen():
    source = "import train.a as b\ndef f():\n    from export import c\nfrom . import d\n"
    assert list(imported_tops(source)) == [(1, "train"), (3, "export")]


@pytest.mark.parametrize("part", ARROWS)
def test_arrows(part: str, repository: Path):
    folder, allowed = ARROWS[part]
    forbidden = OURS - allowed - {part}
    wrong = [
        f"{path.relative_to(repository)}:{line} imports {top}"
        for path in sorted((repository / folder).rglob("*.py"))
        for line, top in imported_tops(path.read_text(encoding="utf-8"))
        if top in forbidden
    ]
    assert not wrong


def test_no_module_of_the_sdk_imports_itself_by_way_of_others(repository: Path):
    """Imports within functions and for types count too; the facade, ``__init__``, does not."""
    folder = repository / "sdk"
    paths = sorted((folder / "clipgaze_sdk").rglob("*.py"))
    names = {".".join(path.relative_to(folder).with_suffix("").parts): path for path in paths}
    edges: dict[str, set[str]] = {}
    for name, path in names.items():
        edges[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = ".".join([*name.split(".")[: -node.level], *filter(None, [node.module])])
                whole = {f"{base}.{alias.name}" for alias in node.names}
                edges[name] |= (whole & names.keys()) or {base, f"{base}.__init__"} & names.keys()
    del edges["clipgaze_sdk.__init__"]
    assert "clipgaze_sdk.geometry.camera" in edges["clipgaze_sdk._estimator"]
    assert circles({k: v & edges.keys() for k, v in edges.items()}) == []


def private_names(source: str, part: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything with a leading underscore taken from another part of ours."""
    tree, foreign = ast.parse(source), OURS - {part, "tests"}
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in foreign:
                    bound[alias.asname or alias.name.split(".")[0]] = alias.name
                    yield from ((node.lineno, alias.name) for _ in _private(alias.name))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in foreign:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                bound[alias.asname or alias.name] = name
                yield from ((node.lineno, name) for _ in _private(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr):
            owner = ast.unparse(node.value)
            if owner.split(".")[0] in bound:
                yield node.lineno, f"{owner}.{node.attr}"


def _private(dotted: str) -> list[str]:
    return [n for n in dotted.split(".") if n.startswith("_") and not n.endswith("__")][:1]


def test_every_form_of_private_name_is_seen():
    source = (
        "from clipgaze_sdk._errors import InputError\n"
        "from clipgaze_sdk.geometry import Camera, _secret\n"
        "import clipgaze_sdk.faces._x\n"
        "from clipgaze_sdk.models import cards\n"
        "print(cards._text, Camera._pixels, cards.__name__, self._own)\n"
    )
    assert list(private_names(source, "export")) == [
        (1, "clipgaze_sdk._errors.InputError"),
        (2, "clipgaze_sdk.geometry._secret"),
        (3, "clipgaze_sdk.faces._x"),
        (5, "cards._text"),
        (5, "Camera._pixels"),
    ]


@pytest.mark.parametrize("part", ["train", "export", "samples"])
def test_no_private_name_crosses(part: str, repository: Path):
    wrong = [
        f"{path.relative_to(repository)}:{line} takes {name}"
        for path in sorted((repository / part).rglob("*.py"))
        for line, name in private_names(path.read_text(encoding="utf-8"), part)
    ]
    assert not wrong


@pytest.mark.parametrize("part", ["train", "export", "samples"])
def test_no_file_is_named_as_its_folder_or_a_library(part: str, repository: Path):
    libraries = set(sys.stdlib_module_names) | {"onnx", "onnxruntime", "tensorrt", "torch", "numpy"}
    taken = libraries | {part, "cv2", "scipy", "moderngl", "safetensors", "tqdm"}
    stems = [path.stem for path in (repository / part).glob("*.py")]
    assert not taken & set(stems)


def test_opencv_is_imported_in_one_place_which_says_where_it_comes_from(repository: Path):
    importing = {
        path.name
        for path in (repository / "sdk").rglob("*.py")
        for _, top in imported_tops(path.read_text(encoding="utf-8"))
        if top == "cv2"
    }
    assert importing == {"_opencv.py"}


def test_without_opencv_the_program_says_where_to_get_it():
    code = (
        "import sys; sys.modules['cv2'] = None\n"
        "from clipgaze_sdk.cli import main\n"
        "sys.exit(main(['run', 'photo.jpg']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: OpenCV cannot be imported")
    assert "JetPack" in done.stderr
    assert done.stderr.count("\n") == 1


def test_importing_is_quick_and_loads_nothing_heavy():
    """Quick beside numpy in the same process, so that other work on the machine slows both."""
    code = (
        "import sys, time; times = [time.perf_counter()]\n"
        "import clipgaze_sdk; times.append(time.perf_counter())\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        "times.append(time.perf_counter())\n"
        "import numpy; times.append(time.perf_counter())\n"
        "print(times[1] - times[0], times[3] - times[2])\n"
    )
    ours, numpys = [], []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        loaded, times = done.stdout.splitlines()
        assert loaded == "[]"
        for seconds, text in zip((ours, numpys), times.split(), strict=True):
            seconds.append(float(text))
    assert min(ours) < 0.5 * min(numpys)
