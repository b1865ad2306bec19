"""CDG: the closer the gaze, the closer the feature."""

from train.gaze.methods.cdg import CdgOptions
from train.gaze.recipes.recipe import Recipe

RECIPE = Recipe(name="cdg", method=CdgOptions())
