"""``clipgaze models``: the bundled networks, their licence, origin and figures."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from dataclasses import asdict
from typing import Any

from .._errors import ModelError
from ..models.cards import ModelCard, TensorSpec
from ..models.files import TASKS, ModelFile, load_model_file, resolve_models

_WIDTH = 100


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``models`` and its arguments."""
    parser = commands.add_parser(
        "models",
        help="list the models with licence, origin and figures",
        description="List the bundled models by their cards, each checked against its file.",
    )
    parser.add_argument("--json", action="store_true", help="print the cards as JSON")
    parser.set_defaults(command=models)


def models(args: argparse.Namespace) -> int:
    """Carry out ``clipgaze models``; 1 if a model is missing or damaged."""
    cards: list[dict[str, Any]] = []
    texts: list[str] = []
    errors: list[ModelError] = []
    for task in TASKS:
        try:
            model = load_bundled(task)
            cards.append(card_to_dict(model))
            texts.append("\n".join(card_lines(model)))
        except ModelError as error:
            errors.append(error)
    print(json.dumps(cards, indent=2) if args.json else "\n\n".join(texts))
    for failure in errors:
        print(f"error: {' '.join(str(failure).split())}", file=sys.stderr)
    return 1 if errors else 0


def load_bundled(task: str) -> ModelFile:
    """Read a bundled network's card and check its file.

    Raises:
        ModelError: the card or the file is missing or damaged, or they do not match.
    """
    return resolve_models(None, tasks=(task,))[task]


def card_to_dict(model: ModelFile) -> dict[str, Any]:
    """Give a card as plain values, with its file's path and size, and its other precisions."""
    return {
        **asdict(model.card),
        "path": str(model.path),
        "size_bytes": model.path.stat().st_size,
        "precisions": [card_to_dict(other) for other in other_precisions(model)],
    }


def other_precisions(model: ModelFile) -> list[ModelFile]:
    """Read the cards of ``NAME.*.onnx`` beside a network, and check their files.

    Raises:
        ModelError: as :func:`load_bundled`.
    """
    paths = sorted(model.path.parent.glob(f"{model.path.stem}.*.onnx"))
    return [load_model_file(path) for path in paths]


def card_lines(model: ModelFile) -> list[str]:
    """Lay a card out for a person to read."""
    card = model.card
    size_mb = model.path.stat().st_size / 1e6
    lines = [f"{card.name} {card.version} ({card.task})"]
    facts = {
        "licence": card.licence,
        "file": f"{model.path.name}, {size_mb:.1f} MB, SHA-256 {card.sha256[:12]} (checked)",
        "input": ", ".join(_tensor_text(tensor) for tensor in card.inputs),
        "outputs": ", ".join(_tensor_text(tensor) for tensor in card.outputs),
        "trained on": card.trained_on,
        "made by": _origin(card),
        "meant for": card.intended_use,
        "limits": card.limits,
    }
    for name, text in facts.items():
        if text:
            lines += _wrapped(name, text)
    for number, (name, value) in enumerate(card.figures.items()):
        lines += _wrapped("" if number else "figures", f"{name}: {value}")
    for number, other in enumerate(other_precisions(model)):
        lines += _wrapped("" if number else "also as", _precision_text(other))
    return lines


def _precision_text(model: ModelFile) -> str:
    size_mb = model.path.stat().st_size / 1e6
    figures = ", ".join(f"{name}: {value}" for name, value in model.card.figures.items())
    return (
        f"{model.path.name}, {size_mb:.1f} MB, {model.card.precision} for "
        f"{' and '.join(model.card.runs_on) or 'any runtime'}{'; ' if figures else ''}{figures}"
    )


def _origin(card: ModelCard) -> str:
    parts = [card.command]
    if card.seed is not None:
        parts.append(f"seed {card.seed}")
    if card.commit:
        parts.append(f"commit {card.commit[:12]}")
    return ", ".join(part for part in parts if part)


def _wrapped(name: str, text: str) -> list[str]:
    indent = " " * 14
    return textwrap.wrap(
        " ".join(text.split()),
        width=_WIDTH,
        initial_indent=f"  {name:<12}",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _tensor_text(tensor: TensorSpec) -> str:
    shape = ", ".join(str(length) for length in tensor.shape)
    return f"{tensor.name} {tensor.dtype} ({shape})"
