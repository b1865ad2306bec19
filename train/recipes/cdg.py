"""CDG: the closer the gaze, the closer the feature."""

from train.methods.cdg import CdgOptions
from train.recipes.recipe import Recipe

RECIPE = Recipe(name="cdg", method=CdgOptions())
