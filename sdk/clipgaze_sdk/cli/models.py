"""``clipgaze models``: the bundled networks, their licence, origin and figures."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .._errors import ConfigurationError, InputError, ModelError
from ..models.cards import TensorSpec
from ..models.files import TASKS, ModelFile, bundled_names, find_model_file
from ..tensorrt.info import ENGINE_SUFFIX
from ..writing import write_files
from .progress import say

_ROW = "{:<30}{:<11}{:>5}  {:<23}{:<12}{}"
_MEASURED = {
    "found": "{:.0%} of faces found",
    "landmark_error_of_interocular": "{:.1%} of the eyes' distance",
    "gaze_mean_deg": "{:.1f}\N{DEGREE SIGN} mean error",
    "change_mean_deg": "{:.2f}\N{DEGREE SIGN} from FP32",
    "change_mean_px": "{:.2f} px from FP32",
}
"""The one figure of a card that the table shows: the first of these that it has."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``models`` and its arguments."""
    parser = commands.add_parser(
        "models",
        help="list the models with licence, origin and figures",
        description="List the bundled models by their cards, each checked against its file; or "
        "tell all that the card of one says. Errors are means over rendered people whom training "
        "did not see.",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="such as gaze or gaze.fp16.onnx")
    parser.add_argument("--json", action="store_true", help="print the cards as JSON")
    text = "write the file of NAME and its card there"
    parser.add_argument("--save", metavar="FOLDER", type=Path, help=text)
    parser.set_defaults(command=models)


def models(args: argparse.Namespace) -> int:
    """Carry out ``clipgaze models``, or raise a ClipGazeError; 1 if a listed model is damaged."""
    if args.name is not None:
        return _one(args)
    if args.save is not None:
        raise ConfigurationError("--save was given without NAME; name the model to write.")
    files: list[ModelFile] = []
    errors: list[ModelError] = []
    for name in bundled_names() or [f"{task}.onnx" for task in TASKS]:
        try:
            files.append(find_model_file(Path(name)))
        except ModelError as error:
            errors.append(error)
    if args.json:
        print(json.dumps(_nested(files), indent=2))
    else:
        head = _ROW.format("file", "precision", "MB", "for", "licence", "measured")
        print("\n".join([head, *(_row(file) for file in files)]))
    for failure in errors:
        say(f"error: {failure}")
    return 1 if errors else 0


def _one(args: argparse.Namespace) -> int:
    suffix = "" if args.name.endswith((".onnx", ENGINE_SUFFIX)) else ".onnx"
    model = find_model_file(Path(args.name + suffix))
    if args.save is None:
        lines = [json.dumps(card_to_dict(model), indent=2)] if args.json else card_lines(model)
        print("\n".join(lines))
        return 0
    paths = [args.save / model.path.name, args.save / model.card.path.name]
    if there := [str(path) for path in paths if path.exists()]:
        raise ConfigurationError(f"{' and '.join(there)} is there already; give another folder.")
    try:
        args.save.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {str(args.save)!r}: {error}.") from error
    card = json.dumps(model.card.entries, indent=2) + "\n"
    write_files({paths[0]: model.data, paths[1]: card.encode()})
    print(f"wrote {paths[0]} ({len(model.data) / 1e6:.1f} MB) and {paths[1].name}")
    return 0


def card_to_dict(model: ModelFile) -> dict[str, Any]:
    """Give a card as plain values, with its file's size, and its path if there is one."""
    card = asdict(model.card)
    del card["entries"]
    path = str(model.path) if model.path.is_file() else None
    return {**card, "path": path, "size_bytes": len(model.data)}


def _nested(files: list[ModelFile]) -> list[dict[str, Any]]:
    """Give the cards, those of other precisions within that of their network."""
    first = [file for file in files if "." not in file.path.stem]
    others = [card_to_dict(file) for file in files if file not in first]
    return [
        {**card_to_dict(file), "precisions": [o for o in others if o["task"] == file.card.task]}
        for file in first
    ]


def _row(model: ModelFile) -> str:
    card = model.card
    groups = [group for group in card.figures.values() if isinstance(group, dict)]
    figures = {name: value for group in groups for name, value in group.items()}
    measured = (
        text.format(figures[key])
        for key, text in _MEASURED.items()
        if isinstance(figures.get(key), (int, float))
    )
    size, runtimes = f"{len(model.data) / 1e6:.1f}", ", ".join(card.runs_on) or "any runtime"
    cells = (model.path.name, card.precision, size, runtimes, card.licence, next(measured, ""))
    return _ROW.format(*cells).rstrip()


def card_lines(model: ModelFile) -> list[str]:
    """Lay a card out for a person to read."""
    card = model.card
    lines = [f"{card.name} {card.version} ({card.task}, {card.precision})"]
    origin = {"": card.command, "seed ": card.seed, "commit ": card.commit[:12]}
    size = f"{len(model.data) / 1e6:.1f} MB"
    facts = {
        "licence": card.licence,
        "file": f"{model.path.name}, {size}, SHA-256 {card.sha256[:12]} (checked)",
        "made for": " and ".join(card.runs_on) or "any runtime",
        "input": _tensors(card.inputs),
        "outputs": _tensors(card.outputs),
        "trained on": card.trained_on,
        "made by": ", ".join(f"{k}{v}" for k, v in origin.items() if v not in (None, "")),
        "meant for": card.intended_use,
        "limits": card.limits,
    }
    rows = [(name, text) for name, text in facts.items() if text]
    for number, (name, value) in enumerate(card.figures.items()):
        group = value if isinstance(value, dict) else {}
        text = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in group.items()) or str(value)
        rows.append(("" if number else "figures", f"{name.replace('_', ' ')}: {text}"))
    for name, text in rows:
        lines += textwrap.wrap(
            f"  {name:<12}{' '.join(text.split())}",
            width=100,
            subsequent_indent=" " * 14,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _tensors(tensors: Iterable[TensorSpec]) -> str:
    return ", ".join(f"{t.name} {t.dtype} ({', '.join(map(str, t.shape))})" for t in tensors)
