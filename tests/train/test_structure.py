"""What keeps ``train`` and ``export`` easy to find one's way in: arrows, circles, sizes, words."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAT_FILES = 8
FILE_LINES = 450

_GROUND = ("train.factors", "train.commands", "train.json_files")
_SYNTH = ("train.synth.figure", "train.synth.worn", "train.synth.places", "train.synth.render")
ARROWS: dict[str, tuple[str, ...]] = {
    # The ground floor: whoever wants it, and nothing of ours below.
    "train.factors": (),
    "train.commands": (),
    "train.json_files": (),
    # Rendered people, each room on those before it.
    "train.synth": ("train.synth.outputs", *_GROUND),
    "train.synth.figure": ("train.synth", *_GROUND),
    "train.synth.worn": ("train.synth", "train.synth.figure"),
    "train.synth.places": ("train.synth",),
    "train.synth.render": ("train.synth", *_SYNTH[:3], *_GROUND),
    "train.synth.outputs": ("train.synth", *_SYNTH, *_GROUND),
    # Data, and what is trained on it.
    "train.data": ("train.synth.outputs", *_GROUND),
    "train.loop": ("train.data", *_GROUND),
    "train.front": ("train.loop", "train.synth", *_SYNTH, "train.synth.outputs", *_GROUND),
    "train.gaze": (
        *("train.data", "train.loop", "train.front", "train.clip", "train.eval"),
        *_GROUND,
    ),
    "train.clip": (
        *("train.data", "train.loop", "train.gaze", "train.synth.figure", "train.synth.outputs"),
        *_GROUND,
    ),
    "train.eval": (
        *("train.data", "train.loop", "train.front", "train.gaze"),
        *("train.synth", "train.synth.outputs", "train.photos", *_GROUND),
    ),
    "train.photos": _GROUND,
    "train.ablation": (
        *("train.data", "train.loop", "train.gaze", "train.clip", "train.eval"),
        *("train.synth.outputs", *_GROUND),
    ),
    "train.runs": (
        *("train.data", "train.loop", "train.front", "train.gaze", "train.clip", "train.eval"),
        *("train.synth.figure", "train.synth.outputs", *_GROUND),
    ),
    "train": _GROUND,
    "export": (
        *("train.front", "train.gaze", "train.loop", "train.eval"),
        *("train.synth.outputs", *_GROUND),
    ),
}
"""Each room and the rooms it may import, inside of functions and for types too.

A file straight in ``train/synth`` is of the room ``train.synth``, which holds its door and what all
of its rooms share.
"""


def modules() -> dict[str, Path]:
    """Every module of train and export by its dotted name."""
    found = {}
    for top in ("train", "export"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str, known: Mapping[str, object]) -> Iterator[str]:
    """The modules of ``known`` that a source imports anywhere."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in known:
                    yield whole
                elif node.module in known:
                    yield node.module


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches all others of its group."""
    reached: dict[str, set[str]] = {}
    for name in edges:
        seen: set[str] = set()
        todo = list(edges[name])
        while todo:
            other = todo.pop()
            if other not in seen:
                seen.add(other)
                todo += edges[other]
        reached[name] = seen
    groups = {
        tuple(sorted(n for n in reached[name] if name in reached[n]))
        for name in edges
        if name in reached[name]
    }
    return [list(group) for group in sorted(groups)]


def room_of(module: str) -> str:
    """The longest name of :data:`ARROWS` that the module is in."""
    return max((r for r in ARROWS if f"{module}.".startswith(f"{r}.")), key=len)


@pytest.fixture(scope="module")
def edges() -> dict[str, set[str]]:
    known = modules()
    return {
        name: {other for other in imports(path.read_text("utf-8"), known) if other != name}
        for name, path in known.items()
    }


def test_every_form_of_import_and_circle_is_seen():
    known = dict.fromkeys(["a", "a.b", "a.c", "d"])
    source = "import d\ndef f():\n    from a import b\nif T:\n    from a.c import x\n"
    assert sorted(imports(source, known)) == ["a.b", "a.c", "d"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_no_module_imports_itself_by_way_of_others(edges: dict[str, set[str]]):
    assert circles(edges) == []


def test_rooms_import_only_what_their_arrows_allow(edges: dict[str, set[str]]):
    wrong = [
        f"{name} imports {other}"
        for name, others in edges.items()
        for other in sorted(others)
        if room_of(other) not in (room_of(name), *ARROWS[room_of(name)])
        and not name.startswith(f"{other}.")
    ]
    assert not wrong, "say it in ARROWS, or better, move what is shared below both"


def test_synth_knows_nothing_of_what_is_trained_on_it(edges: dict[str, set[str]]):
    above = ("gaze", "clip", "eval", "front", "data", "loop", "photos", "ablation")
    wrong = [
        (name, other)
        for name, others in edges.items()
        if name.startswith("train.synth")
        for other in others
        if other.startswith(tuple(f"train.{room}" for room in above))
    ]
    assert not wrong


def test_few_files_lie_flat_in_train():
    names = sorted(path.name for path in (ROOT / "train").glob("*.py"))
    assert len(names) <= FLAT_FILES, names


def test_no_file_outside_of_tests_is_long():
    long = {}
    for top in ("sdk", "train", "export", "samples", "cpp_ext"):
        for path in (ROOT / top).rglob("*"):
            if path.suffix in (".py", ".cpp", ".hpp", ".pyi", ".sh"):
                lines = len(path.read_text("utf-8").splitlines())
                if lines > FILE_LINES:
                    long[str(path.relative_to(ROOT))] = lines
    assert not long


def test_every_room_says_in_two_lines_what_lives_there():
    silent = []
    for name, path in modules().items():
        if path.name == "__init__.py":
            text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            if len([line for line in text.splitlines() if line.strip()]) < 2:
                silent.append(name)
    assert not silent
