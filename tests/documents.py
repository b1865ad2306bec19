"""Commands, examples and links of README, CONTRIBUTING and docs, as tests read them."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
)
_PROGRAMS = ("clipgaze", "python", "pip", "apt-get", "sudo", "scripts/", "train/recipes/", ".ci/")
_SCRIPT = r"scripts/\w+|train/recipes/\w+\.sh|\.ci/run"


class Command(NamedTuple):
    """One command, and where it was found."""

    document: str
    line: str
    is_form: bool
    """It names a command without its arguments, or stands for many: `clipgaze run INPUT […]`."""


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of a language, without their fences."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", text_of(document), re.MULTILINE | re.DOTALL)
    return [str(block) for block in found]


def prose(document: str) -> str:
    """The text outside of fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(document), flags=re.MULTILINE | re.DOTALL)


def code_spans(document: str) -> list[str]:
    """Every `span` of the prose, on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(document))]


def shell_lines(document: str) -> list[str]:
    """The commands of all bash blocks: joined, without comments, with variables put in."""
    found = []
    for block in blocks(document, "bash"):
        known: dict[str, str] = {}
        for line in block.replace("\\\n", " ").splitlines():
            command = " ".join(re.sub(r"(^|\s)#\s.*$", "", line).split())
            for name, value in known.items():
                command = command.replace(f"${name}", value)
            assigned = re.fullmatch(r"(\w+)=(\S+)", command)
            if assigned:
                known[assigned[1]] = assigned[2]
            elif command:
                found.append(command)
    return found


def commands() -> list[Command]:
    """Every command of every document, each once."""
    found: dict[str, Command] = {}
    for document in DOCUMENTS:
        for line in shell_lines(document):
            found.setdefault(line, Command(document, line, is_form=False))
        for span in code_spans(document):
            if span.startswith(_PROGRAMS) and (" " in span or re.fullmatch(_SCRIPT, span)):
                found.setdefault(span, Command(document, span, is_form=_is_form(span)))
    return list(found.values())


def _is_form(span: str) -> bool:
    words = span.split()
    named = 3 if words[:2] == ["python", "-m"] else 2
    return len(words) <= named or any(
        mark in span for mark in ("…", "[", "...", " COMMAND", "--help")
    )


def door(line: str) -> tuple[argparse.ArgumentParser, list[str]] | None:
    """The parser of a command of this project and the words for it; None for other programs.

    Raises:
        ModuleNotFoundError: a library of an extra is missing.
    """
    words = shlex.split(re.sub(r"^python -m clipgaze_sdk\b", "clipgaze", line))
    if words[0] == "clipgaze":
        from clipgaze_sdk.cli import make_parser

        return make_parser(), words[1:]
    if words[0] != "python":
        return None
    name, rest = (words[2], words[3:]) if words[1] == "-m" else (words[1], words[2:])
    name = re.sub(r"^export/(\w+)\.py$", r"export.\1", name)
    if name == "export.build_engine":
        return door(shlex.join(["clipgaze", "build-engine", *rest]))
    if name.partition(".")[0] not in ("train", "export") or name == "train":
        return None
    folder = ROOT / name.replace(".", "/")
    module = importlib.import_module(f"{name}.__main__" if folder.is_dir() else name)
    return module.make_parser(), rest


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Every option of a parser and of its sub-commands."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                found |= options_of(child)
    return found


def anchors(document: str) -> set[str]:
    """The anchors that GitHub gives a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
