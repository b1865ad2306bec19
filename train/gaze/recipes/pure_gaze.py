"""PureGaze: the backbone keeps a deconvolution from rebuilding the face."""

from train.gaze.methods.pure_gaze import PureGazeOptions
from train.gaze.recipes.recipe import Recipe

RECIPE = Recipe(name="pure_gaze", method=PureGazeOptions())
