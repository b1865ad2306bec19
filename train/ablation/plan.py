"""Which runs an ablation makes, and in which tables their figures stand.

The paper's tables, in its layout: methods; losses; kinds of prompts; dimensions of factors.  A run
that stands in several tables is made once.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from train.factors import DIMENSIONS, Dimension

if TYPE_CHECKING:
    from train.clip.prompts import Kind

FULL = "clip_gaze"
"""The variant that is the method itself."""

TITLES = {
    "erm": "baseline (ERM)",
    "pure_gaze": "PureGaze",
    "cdg": "CDG",
    "clip_gaze_minus": "CLIP-Gaze⁻",
    "clip_gaze": "**CLIP-Gaze**",
}
MAIN = tuple(TITLES)

PROMPT_RUNS: dict[str, tuple[Kind, bool]] = {
    "hand": ("hand", False),
    "coop": ("coop", False),
    "cocoop": ("cocoop", False),
    "pco": ("pco", False),
    "shuffled": ("pco", True),
}
"""Kind of prompts, and whether everybody has another's identity."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One configuration; its seeds are runs."""

    name: str
    """Of its folder."""
    recipe: str
    settings: Mapping[str, str] = field(default_factory=dict)
    prompts: str = "hand"
    """Of :data:`PROMPT_RUNS`; for CLIP-Gaze."""
    dimensions: tuple[Dimension, ...] = DIMENSIONS
    """Of factors that L_ir knows."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table: its first cells, and whose figures follow."""

    cells: tuple[str, ...]
    variant: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report."""

    title: str
    note: str
    head: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Preset:
    """How much of everything."""

    recipe: Mapping[str, str]
    """Settings that all runs share."""
    base_steps: int
    """Steps of ERM on the source from which the backbone of every run starts; 0: from nothing."""
    seeds: tuple[int, ...]
    """Of the main table."""
    row_seeds: tuple[int, ...]
    """Of the other tables."""
    prompt_seeds: tuple[int, ...]
    prompt_epochs: int
    """CoCoOp, which encodes all texts for every picture, has one seed and one epoch."""
    prompt_rate: float
    """Learning rate of prompts, chosen by their loss on the people that they are tuned on."""
    prompt_images: int
    """Of the source, whole people, that prompts are tuned on; 0: all."""
    labels: int
    """N of few-label adaptation."""
    draws: int
    adapt_steps: int
    thin: bool = False
    """Leave out most of the losses' and dimensions' rows."""


PRESETS: dict[str, Preset] = {
    "smoke": Preset(
        recipe={
            "backbone": "small",
            "width": "16",
            "band": "true",
            "batch": "8",
            "steps": "2",
            "keep_epochs": "1",
        },
        base_steps=2,
        seeds=(0, 1),
        row_seeds=(0,),
        prompt_seeds=(0, 1),
        prompt_epochs=1,
        prompt_rate=2e-3,
        prompt_images=0,
        labels=5,
        draws=2,
        adapt_steps=3,
        thin=True,
    ),
    "report": Preset(
        recipe={
            "backbone": "small",
            "band": "true",
            "half": "true",
            "batch": "64",
            "steps": "400",
            "keep_epochs": "3",
        },
        base_steps=3000,
        seeds=(0, 1, 2),
        row_seeds=(0,),
        prompt_seeds=(0, 1, 2),
        prompt_epochs=4,
        prompt_rate=0.5,
        prompt_images=0,
        labels=100,
        draws=10,
        adapt_steps=200,
    ),
}


def make_plan(
    preset: Preset, tries: Sequence[str] = ()
) -> tuple[dict[str, Variant], tuple[Table, ...]]:
    """Variants by name, the main ones first, and the tables.

    ``tries`` adds a table of others, each ``NAME=METHOD,OPTION=VALUE,…``.
    """
    variants = {name: Variant(name, name) for name in MAIN[:-1]}
    variants[FULL] = Variant(FULL, FULL, prompts="pco")
    tables = [_methods(), *(make(variants, preset) for make in (_losses, _prompts, _dimensions))]
    if tries:
        tables.append(_tries(variants, tries))
    return variants, tuple(tables)


def _tries(variants: dict[str, Variant], tries: Sequence[str]) -> Table:
    lines = []
    for text in tries:
        name, equals, rest = text.partition("=")
        recipe, *options = rest.split(",")
        settings = dict(option.split("=", 1) for option in options if "=" in option)
        if not equals or recipe not in TITLES or len(settings) < len(options):
            raise ValueError(
                f"--try {text}; expected NAME=METHOD,OPTION=VALUE,… with METHOD one of "
                f"{', '.join(TITLES)}"
            )
        prompts = settings.get("prompts", "pco" if recipe == FULL else "hand")
        variants[f"try-{name}"] = Variant(f"try-{name}", recipe, settings, prompts=prompts)
        lines.append(Line((name, TITLES[recipe], ", ".join(options)), f"try-{name}"))
    return Table("Tries", "Other settings.", ("name", "method", "options"), tuple(lines))


def _methods() -> Table:
    return Table(
        "Methods",
        "Domain generalisation: nothing of the targets is used.",
        ("method",),
        tuple(Line((TITLES[name],), name) for name in MAIN),
    )


_LOSSES = ("distil", "separate", "rank")


def _losses(variants: dict[str, Variant], preset: Preset) -> Table:
    lines = []
    for on in sorted(itertools.product((False, True), repeat=3), key=sum):
        cells = ("✓", *("✓" if used else "" for used in on))
        if all(on):
            lines.append(Line(cells, FULL))
            continue
        if preset.thin and on not in ((True, False, True), (True, True, False)):
            continue
        used = [name for name, u in zip(_LOSSES, on, strict=True) if u]
        name = "losses-" + ("-".join(used) or "none")
        off = {name: "0" for name, u in zip(_LOSSES, on, strict=True) if not u}
        variants[name] = Variant(name, FULL, off, prompts="pco")
        lines.append(Line(cells, name))
    return Table(
        "Losses",
        "All with M, and PCO's prompts.",
        ("L_g", "L_d", "L_ir", "L_re"),
        tuple(lines),
    )


WITHOUT_SEPARATE, WITHOUT_RANK = "losses-distil-rank", "losses-distil-separate"
"""Variants that claims are compared with."""


def _prompts(variants: dict[str, Variant], preset: Preset) -> Table:
    for kind in ("coop", "cocoop", "shuffled"):
        settings = {"prompts": PROMPT_RUNS[kind][0]}
        variants[f"prompts-{kind}"] = Variant(f"prompts-{kind}", FULL, settings, prompts=kind)
    return Table(
        "Prompts",
        "All losses; learnt prompts are those of the first seed of prompt tuning.",
        ("prompts",),
        (
            Line(("written by hand (CLIP-Gaze⁻)",), "clip_gaze_minus"),
            Line(("CoOp",), "prompts-coop"),
            Line(("CoCoOp",), "prompts-cocoop"),
            Line(("PCO (CLIP-Gaze)",), FULL),
            Line(("PCO, tuned with other people's identity",), "prompts-shuffled"),
        ),
    )


def _dimensions(variants: dict[str, Variant], preset: Preset) -> Table:
    lines = []
    for size in (1, 2, 3):
        for chosen in itertools.combinations(DIMENSIONS, size):
            cells = tuple("✓" if d in chosen else "" for d in DIMENSIONS)
            name = FULL
            if size < len(DIMENSIONS):
                if preset.thin and chosen != (DIMENSIONS[1],):
                    continue
                name = "factors-" + "-".join(d.replace(" ", "_") for d in chosen)
                variants[name] = Variant(name, FULL, prompts="pco", dimensions=chosen)
            lines.append(Line(cells, name))
    return Table(
        "Dimensions of factors",
        "All losses, PCO's prompts; L_ir knows the factors of these dimensions.",
        tuple(DIMENSIONS),
        tuple(lines),
    )
