"""CLIP-Gaze⁻: CLIP-Gaze with prompts written by hand (our reading of the name)."""

from train.gaze.methods.clip_gaze import ClipGazeOptions
from train.gaze.recipes.recipe import Recipe

RECIPE = Recipe(name="clip_gaze_minus", method=ClipGazeOptions(prompts="hand"), separator=True)
