"""The baseline: backbone and last layer, gaze loss alone."""

from train.gaze.methods.erm import ErmOptions
from train.gaze.recipes.recipe import Recipe

RECIPE = Recipe(name="erm", method=ErmOptions())
