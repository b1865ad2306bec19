"""CLIP-Gaze: with prompts personalised by the identity (PCO)."""

from train.methods.clip_gaze import ClipGazeOptions
from train.recipes.recipe import Recipe

RECIPE = Recipe(name="clip_gaze", method=ClipGazeOptions(prompts="pco"), separator=True)
