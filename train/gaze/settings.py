"""Every option of ``--set`` with its default and a word, for a help that loads no library.

A test holds this against the recipes' own dataclasses.
"""

from __future__ import annotations

Option = tuple[object, str]
"""Default, and what it is."""

METHODS = ("erm", "pure_gaze", "cdg", "clip_gaze_minus", "clip_gaze")

OPTIONS: dict[str, Option] = {
    "backbone": ("resnet18", "eyes, small, medium, twin, or a CNN of timm"),
    "width": (512, "of the feature; CLIP's"),
    "band": (False, "see rows 32 to 127 of the crop only"),
    "half": (False, "see half the resolution; a quarter of the work"),
    "separator": (False, "with M between the backbone and the last layer"),
    "signed": (True, "end the backbone in a linear layer: features of both signs"),
    "heat": (True, "of eyes: gaze is also made of points that heat maps find"),
    "told": (False, "of eyes: the head, as the pipeline sees it, is told"),
    "standardized": (False, "of eyes: each patch less its mean, over its contrast"),
    "pretrained": (False, "start from timm's weights"),
    "init": ("", "folder of a run whose backbone to start from"),
    "batch": (128, "images a step, over all processes"),
    "epochs": (10.0, "passes over the data, unless steps says how many steps"),
    "steps": (0, "optimiser steps; 0: by epochs"),
    "optimizer": ("adamw", "adamw, or muon: faster from random weights"),
    "learning_rate": (1e-3, "highest; 1e-4 is usual for pretrained weights"),
    "weight_decay": (0.02, "of matrices and convolutions"),
    "schedule": ("one_cycle", "of the learning rate: one_cycle, cosine or constant"),
    "warmup": (0.1, "share of the steps in which the learning rate rises"),
    "clip_norm": (5.0, "largest norm of the gradient; 0: any"),
    "ema": (0.998, "how much of the averaged weights is kept at each step"),
    "augment": (1.0, "strength of augmentation"),
    "landmarks": (0.0, "weight of an auxiliary loss on the eyes' landmarks; 0: off"),
    "segmentation": (0.0, "weight of telling skin, sclera, iris and pupil apart; 0: off"),
    "certainty": (0.0, "samples count by the model's own: 0 all alike, 1 by 1 / sigma"),
    "freeze_batch_norm": (False, "keep its running statistics"),
    "precision": ("auto", "auto, 32-true, bf16-mixed or 16-mixed"),
    "keep_epochs": (5, "how many of the last epochs leave their weights"),
    "seed": (0, "of weights, order and augmentation"),
}
"""Of every method; the recipe of a method may begin with other values."""

CLIP_GAZE: dict[str, Option] = {
    "prompts": ("pco", "hand, coop, cocoop or pco: how texts of factors are made"),
    "distil": (1.0, "weight of L_d"),
    "separate": (1.0, "weight of L_ir"),
    "rank": (1.0, "weight of L_re"),
    "temperature": (0.05, "of the softmax that weighs the factors"),
    "strides": ("1,8,64,512,4096", "of L_re: distances in rank that are compared"),
    "tie": (0.01, "of L_re: cosines of gazes that differ by no more have no order"),
    "centred": (False, "L_ir and L_re in a form that no constant feature makes small"),
}

METHOD_OPTIONS: dict[str, dict[str, Option]] = {
    "erm": {},
    "pure_gaze": {
        "purify": (1.0, "weight of the purification beside 3 · L1"),
        "keep": (0.75, "likeness below which a pixel counts as purified"),
        "mask_sigma": (0.12, "reach of the mask around either eye, in widths of the crop"),
        "shrink": (2, "the rebuilt picture is so many times smaller: 1, 2 or 4"),
    },
    "cdg": {
        "contrast": (0.1, "weight of the contrast, in radians per nat"),
        "gaze_temperature": (0.1, "in radians"),
        "feature_temperature": (0.1, "of the features' cosines"),
    },
    "clip_gaze": CLIP_GAZE,
}
"""What each method has besides; clip_gaze_minus is clip_gaze with prompts=hand."""


def options_text() -> str:
    """The list that stands at the end of the help."""
    lines = ["options of --set, with what they are unless the recipe differs:"]
    lines += _rows(OPTIONS)
    for method, options in METHOD_OPTIONS.items():
        if options:
            lines += ["", f"of --method {method}:", *_rows(options)]
    return "\n".join(lines)


def _rows(options: dict[str, Option]) -> list[str]:
    return [f"  {name + '=' + str(value):30}{text}" for name, (value, text) in options.items()]
