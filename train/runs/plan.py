"""What is rendered, and what is trained on it: one plan for idle cores and for a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.gaze.recipes import Recipe, RecipeError, changed, find_recipe
from train.json_files import read_json
from train.synth.outputs.plan import resolve_domains

EYES = Path(__file__).with_name("eyes.json")


class PlanError(ValueError):
    """A plan that cannot be read; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One run of a training that goes on: the rows there are by then, and how long it looks."""

    rows: int
    image_steps: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Networks that are trained alike, on the rows of one generation, to choose between them."""

    after: int
    """The generation whose rows they see, once it is finished."""
    image_steps: int
    variants: dict[str, dict[str, str]]
    """By name, what each changes of the plan's settings."""
    seeds: dict[str, int]
    """How many seeds those have that have more than one."""

    def runs(self) -> list[tuple[str, int]]:
        """Variants and their seeds, all variants once before any twice."""
        most = max(self.seeds.values(), default=1)
        return [
            (name, seed)
            for seed in range(most)
            for name in self.variants
            if seed < self.seeds.get(name, 1)
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """Rendered people, the recipe, and how both grow."""

    domains: str
    """As ``train.synth --domain`` takes them."""
    seed: int
    """Of the people that are trained on."""
    held_out_seed: int
    """Of those that are never trained on; neither is a frozen set's."""
    held_out_rows: int
    method: str
    settings: dict[str, str]
    """Options of ``train.gaze.fit --set``."""
    generations: tuple[Generation, ...]
    comparison: Comparison

    def compared(self, name: str, seed: int) -> Recipe:
        """The recipe of a variant of the comparison."""
        recipe = changed(find_recipe(self.method), self.settings | self.comparison.variants[name])
        steps = max(self.comparison.image_steps // recipe.batch, 1)
        return changed(recipe, {"steps": str(steps), "seed": str(seed)})

    def recipe(self, generation: int, init: Path | None = None) -> Recipe:
        """The recipe of a generation, which starts from the backbone of the one before."""
        recipe = changed(find_recipe(self.method), self.settings)
        steps = max(self.generations[generation].image_steps // recipe.batch, 1)
        more = {"steps": str(steps)} | ({"init": str(init)} if init is not None else {})
        return changed(recipe, more)


def read_plan(path: Path = EYES) -> Plan:
    """The plan in a JSON file; raises :class:`PlanError`."""
    try:
        there: dict[str, Any] = dict(read_json(path))
        generations = tuple(Generation(**g) for g in there.pop("generations"))
        comparison = Comparison(**there.pop("comparison"))
        plan = Plan(generations=generations, comparison=comparison, **there)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path} is no plan ({error}); compare it with {EYES.name}") from None
    try:
        resolve_domains(plan.domains)
    except ValueError as error:
        raise PlanError(f"{path}: {error}") from None
    rows = [g.rows for g in generations]
    if not rows or rows != sorted(rows) or rows[0] < 1:
        raise PlanError(f"{path}: generations have {rows} rows; expected one or more, growing")
    if plan.seed == plan.held_out_seed:
        raise PlanError(
            f"{path}: seed and held_out_seed are both {plan.seed}; expected two that differ"
        )
    known = set(plan.comparison.variants)
    if not 0 <= plan.comparison.after < len(rows) or not set(plan.comparison.seeds) <= known:
        raise PlanError(
            f"{path}: the comparison is after generation {plan.comparison.after}, with seeds of "
            f"{sorted(plan.comparison.seeds)}; expected a generation of {len(rows)}, and variants"
        )
    try:
        plan.recipe(0)
        for name, seed in plan.comparison.runs():
            plan.compared(name, seed)
    except RecipeError as error:
        raise PlanError(f"{path}: {error}") from None
    return plan
