"""CLIP's features made ready for gaze training, with a CLIP of a few numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.train.fake_faces import tiny_clip_folder
from tests.train.made_data import make_rendered
from train.clip import identity_regressor as identity
from train.clip.clip_models import load_clip
from train.clip.prompts import PersonTextFeatures, load_prompts, make_prompts, save_prompts
from train.clip.teacher import TeacherOptions, make_teacher
from train.data.cache import cached
from train.data.registry import open_dataset
from train.gaze.fitting import train_one
from train.gaze.methods.clip_gaze import ClipGazeOptions
from train.gaze.recipes import changed, find_recipe
from train.gaze.step_times import RandomCrops
from train.gaze.trainer import collate
from train.loop.training_loop import RunOptions
from train.loop.weight_cards import write_halves

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class KnownCrops(RandomCrops):
    """With identities."""

    def identities(self):
        return np.random.default_rng(0).normal(size=(len(self.people), 100)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def source():
    return KnownCrops(6, people=3)


def tuned(kind, folder, out):
    torch.manual_seed(1)
    save_prompts(make_prompts(kind, load_clip(str(folder)), ("appearance", "wearable")), out)
    return out


def test_hand_written_prompts_are_the_same_for_all(folder, source, tmp_path):
    teacher = make_teacher(
        source, ClipGazeOptions(prompts="hand"), TeacherOptions(str(folder), tmp_path)
    )
    batch = collate([source[4], source[1]])
    found = teacher.of(batch)
    clip = load_clip(str(folder))
    expected = clip.encode_images(batch["image"])
    assert torch.allclose(found["image_features"], expected, atol=1e-3)  # kept in float16
    assert found["text_features"].ndim == 2
    assert "hand" in teacher.name


@pytest.mark.parametrize("kind", ["coop", "pco"])
def test_learnt_prompts_are_a_table_of_people(kind, folder, source, tmp_path):
    prompts = tuned(kind, folder, tmp_path / kind)
    options = TeacherOptions(str(folder), tmp_path, prompts)
    teacher = make_teacher(source, ClipGazeOptions(prompts=kind), options)
    batch = collate([source[4], source[1], source[0]])
    found = teacher.of(batch)["text_features"]
    own = load_prompts(prompts, load_clip(str(folder)))
    personal = PersonTextFeatures(own, torch.from_numpy(source.identities()))
    assert torch.allclose(found, personal.features(batch["person"]), atol=1e-3)
    if kind == "pco":
        assert not torch.allclose(found[0], found[2])


def test_prompts_that_are_missing_or_of_another_kind_are_refused(folder, source, tmp_path):
    with pytest.raises(ValueError, match="kind pco are learnt: give their folder"):
        make_teacher(source, ClipGazeOptions(), TeacherOptions(str(folder), tmp_path))
    options = TeacherOptions(str(folder), tmp_path, tuned("coop", folder, tmp_path / "coop"))
    with pytest.raises(ValueError, match=r"of kind coop; the recipe's are pco: .*prompts=coop"):
        make_teacher(source, ClipGazeOptions(), options)


def test_identities_of_photographs_are_told_by_the_regressor(folder, tmp_path):
    photographs = RandomCrops(6, people=3)
    prompts = tuned("pco", folder, tmp_path / "pco")
    options = TeacherOptions(str(folder), tmp_path, prompts)
    with pytest.raises(ValueError, match=r"no identity of 3 of 3 people.*--identity DIR"):
        make_teacher(photographs, ClipGazeOptions(), options)
    regressor = identity.IdentityRegressor("mobilenetv3_small_050", 32)
    told = tmp_path / "identity"
    told.mkdir()
    write_halves(regressor, told / identity.WEIGHTS)
    about = {"backbone": regressor.backbone, "size_px": regressor.size_px}
    (told / identity.CARD).write_text(json.dumps(about))
    teacher = make_teacher(photographs, ClipGazeOptions(), replace(options, identity=told))
    found = teacher.of(collate([photographs[4], photographs[0]]))["text_features"]
    known = identity.people_identities(photographs, identity.load_identity(told))
    assert np.ptp(known, axis=0).max() > 0
    own = load_prompts(prompts, load_clip(str(folder)))
    personal = PersonTextFeatures(own, torch.from_numpy(known))
    assert torch.allclose(found, personal.features(torch.tensor([1, 0])), atol=1e-3)


def test_of_eye_bands_clip_says_nothing(folder, tmp_path):
    crops = make_rendered(tmp_path / "crops")
    bands = make_rendered(tmp_path / "bands", seed=4, product="bands")
    source = open_dataset([f"rendered:{bands}", f"rendered:{crops}"])
    assert source.labels()["whole"].tolist() == [False] * 8 + [True] * 8
    options = TeacherOptions(str(folder), tmp_path / "cache")
    teacher = make_teacher(source, ClipGazeOptions(prompts="hand"), options)
    batch = collate([source[3], source[9], source[12]])
    found = teacher.of(batch)["image_features"]
    assert found[0].isnan().all()
    expected = load_clip(str(folder)).encode_images(batch["image"][1:])
    assert torch.allclose(found[1:], expected, atol=1e-3)
    # Cached, and a part of the data keeps what is its own.
    kept = cached(source.subset([12, 3]), tmp_path / "decoded")
    assert kept.labels()["whole"].tolist() == [True, False]
    recipe = changed(
        find_recipe("clip_gaze"),
        {"prompts": "hand", "backbone": "small", "width": "16", "band": "true"}
        | {"batch": "4", "steps": "3"},
    )
    run = RunOptions(accelerator="cpu", progress=False, tensorboard=False)
    metrics = train_one(recipe, source, tmp_path / "run", teacher=teacher, options=run)
    assert np.isfinite([metrics[k] for k in ("distil", "separate", "rank", "loss")]).all()
    with pytest.raises(ValueError, match="eye bands alone"):
        make_teacher(open_dataset(f"rendered:{bands}"), ClipGazeOptions(prompts="hand"), options)
    cocoop = replace(options, prompts=tuned("cocoop", folder, tmp_path / "cocoop"))
    with pytest.raises(ValueError, match="take another kind"):
        make_teacher(source, ClipGazeOptions(prompts="cocoop"), cocoop)


@pytest.mark.parametrize("kind", ["hand", "cocoop", "pco"])
def test_clip_gaze_trains_from_end_to_end(kind, folder, source, tmp_path):
    settings = {"prompts": kind, "backbone": "small", "width": "16", "band": "true"}
    recipe = changed(find_recipe("clip_gaze"), settings | {"batch": "2", "steps": "2"})
    prompts = None if kind == "hand" else tuned(kind, folder, tmp_path / kind)
    teacher = make_teacher(source, recipe.method, TeacherOptions(str(folder), tmp_path, prompts))
    options = RunOptions(accelerator="cpu", progress=False, tensorboard=False)
    metrics = train_one(recipe, source, tmp_path / "run", teacher=teacher, options=options)
    assert np.isfinite([metrics[k] for k in ("distil", "separate", "rank", "loss")]).all()
    assert metrics["finished"] == 1
