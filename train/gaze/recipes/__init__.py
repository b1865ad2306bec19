"""One recipe a file: a method with the options it is compared with.

:mod:`.recipe` holds what all recipes share, and checks it.
"""

from __future__ import annotations

from train.gaze.recipes import cdg, clip_gaze, clip_gaze_minus, erm, pure_gaze
from train.gaze.recipes.recipe import Recipe, RecipeError, changed

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        erm.RECIPE,
        pure_gaze.RECIPE,
        cdg.RECIPE,
        clip_gaze_minus.RECIPE,
        clip_gaze.RECIPE,
    )
}


def find_recipe(name: str) -> Recipe:
    """The recipe of this name; raises :class:`RecipeError` with those there are."""
    if name not in RECIPES:
        raise RecipeError(f"no method {name!r}; expected one of {', '.join(RECIPES)}")
    return RECIPES[name]


__all__ = ["RECIPES", "Recipe", "RecipeError", "changed", "find_recipe"]
