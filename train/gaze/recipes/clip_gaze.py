"""CLIP-Gaze: with prompts personalised by the identity (PCO)."""

from train.gaze.methods.clip_gaze import ClipGazeOptions
from train.gaze.recipes.recipe import Recipe

RECIPE = Recipe(name="clip_gaze", method=ClipGazeOptions(prompts="pco"), separator=True)
