"""What the doors tell of options is what the dataclasses of the work have."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("lightning", reason="training tests need the extra [train]")

from train.clip import (
    identity,
    identity_regressor,
    pretrain,
    pretraining,
    prompt_tuning,
    prompts,
    tune_prompts,
)
from train.eval import claims, verdicts
from train.gaze import adapt, adaptation, fine_tuning, finetune, fit
from train.gaze.recipes import RECIPES, Recipe
from train.gaze.settings import METHOD_OPTIONS, METHODS, OPTIONS, options_text


def texts(options):
    return {name: str(value) for name, (value, _) in options.items()}


def of(dataclass):
    fields = {f.name: getattr(dataclass, f.name) for f in dataclasses.fields(dataclass)}
    return {
        name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in fields.items()
    }


def test_every_option_of_a_recipe_is_listed_with_its_default():
    expected = of(Recipe())
    del expected["name"], expected["method"]
    assert texts(OPTIONS) == expected
    assert tuple(RECIPES) == METHODS


def test_every_option_of_a_method_is_listed_with_its_default():
    assert set(METHOD_OPTIONS) == set(RECIPES) - {"clip_gaze_minus"}
    for name, options in METHOD_OPTIONS.items():
        assert texts(options) == of(RECIPES[name].method), name
    hand = dataclasses.replace(RECIPES["clip_gaze"].method, prompts="hand")
    assert RECIPES["clip_gaze_minus"].method == hand


def test_the_help_names_them_all():
    text = fit.make_parser().format_help()
    assert options_text() in text
    for options in (OPTIONS, *METHOD_OPTIONS.values()):
        for name, (_, word) in options.items():
            assert f"{name}=" in text
            assert word in text


@pytest.mark.parametrize(
    ("parser", "given", "options"),
    [
        (finetune, "--init a --data b --out c", fine_tuning.FineTuneOptions()),
        (adapt, "--run a --target b --out c", adaptation.AdaptOptions()),
        (pretrain, "--source a --out b --cache c", pretraining.Options(("a",), "b", "c")),
        (identity, "--source a --out b --cache c", identity_regressor.Options(("a",), "b", "c")),
        (
            tune_prompts,
            "--clip a --source b --kind pco --out c --cache d",
            prompt_tuning.Options("a", ("b",), "pco", "c", "d"),
        ),
    ],
    ids=["finetune", "adapt", "pretrain", "identity", "tune_prompts"],
)
def test_defaults_of_a_door_are_those_of_the_work(parser, given, options):
    said = vars(parser.make_parser().parse_args(given.split()))
    names = {f.name for f in dataclasses.fields(options)}
    assert names <= set(said)
    for name in names - {"device"}:
        expected = getattr(options, name)
        value = tuple(said[name]) if isinstance(said[name], list) else said[name]
        assert str(value) == str(expected), name


def test_words_that_doors_offer_are_those_of_the_work():
    assert claims.PROMPTS == verdicts.PROMPTS
    assert set(tune_prompts.KINDS) == set(prompts.Kind.__args__)
    assert tune_prompts.DIMENSIONS == prompts.DIMENSIONS
