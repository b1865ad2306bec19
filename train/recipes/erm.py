"""The baseline: backbone and last layer, gaze loss alone."""

from train.methods.erm import ErmOptions
from train.recipes.recipe import Recipe

RECIPE = Recipe(name="erm", method=ErmOptions())
