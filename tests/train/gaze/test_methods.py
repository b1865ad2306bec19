"""Models, methods, recipes and augmentation."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from train.data.samples import EYE_POINTS
from train.gaze import augment, losses
from train.gaze.augment import (
    Augmentation,
    mirror,
    mirror_angles,
    rotation,
    turn_images,
    turn_labels,
    turn_points,
)
from train.gaze.methods import make_method
from train.gaze.methods.clip_gaze import CachedImages, ClipGaze, ClipGazeOptions, PersonTexts
from train.gaze.methods.pure_gaze import Decoder, PureGazeOptions
from train.gaze.models import BAND, OWN, GazeModel, ModelError, model_of
from train.gaze.recipes import RECIPES, RecipeError, changed, find_recipe
from train.gaze.step_times import RandomCrops, random_teacher
from train.gaze.trainer import collate
from train.gaze.tuning import head_gaze
from train.loop.training_loop import Untouched

WIDTH = 16


@pytest.fixture(scope="module")
def source():
    return RandomCrops(6, people=3)


@pytest.fixture(scope="module")
def batch(source):
    samples = collate([source[k] for k in range(4)])
    return samples | random_teacher(source, WIDTH, factors=5).of(samples)


def small(band=True, separator=True):
    torch.manual_seed(0)
    return GazeModel("small", WIDTH, band=band, separator=separator)


# Models


def test_outputs_have_their_shapes_and_are_float32(batch):
    out = small()(batch["image"])
    assert [tuple(o.shape) for o in out[:4]] == [(4, 2), (4, 1), (4, WIDTH), (4, WIDTH)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(o.dtype == torch.float32 for o in small()(batch["image"])[:6])


def test_bytes_and_floats_and_the_band_alone_are_the_same_picture(batch):
    model = small().eval()
    whole = model(batch["image"]).gaze
    assert torch.equal(model(batch["image"].float() / 255).gaze, whole)
    assert torch.equal(model(batch["image"][..., BAND[0] : BAND[1], :]).gaze, whole)


@pytest.mark.parametrize("band", [True, False])
def test_half_the_resolution_is_shrunk_once(band, batch):
    model = GazeModel("small", WIDTH, band=band, half=True).eval()
    assert model.architecture.input_px == ((48 if band else 112), 112)
    whole = model(batch["image"])
    assert whole.feature_map.shape[-2:] == ((3 if band else 7), 7)
    seen = model.pixels(batch["image"])
    assert torch.equal(model(seen).gaze, whole.gaze)
    rows = slice(*model.architecture.rows)
    mean = batch["image"][0, :, rows].float()[:, :2, :2].mean((1, 2)) / 255
    assert torch.allclose(seen[0, :, 0, 0], mean, atol=1e-6)
    again = model_of(model.architecture)
    again.load_state_dict(model.state_dict())
    assert again.architecture.half


def test_only_the_gaze_reaches_the_backbone(batch):
    model = small()
    model(batch["image"]).log_sigma.sum().backward()
    touched = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert touched == {"sigma"}


def test_without_separator_the_features_are_one(batch):
    out = small(separator=False)(batch["image"])
    assert torch.equal(out.f, out.f_re)


@pytest.mark.parametrize(("name", "projected"), [("test_resnet", True), ("resnet18", False)])
def test_cnns_of_timm(name, projected, batch):
    for signed in (True, False):
        model = GazeModel(name, 512, band=True, signed=signed).eval()
        with torch.inference_mode():
            assert model(batch["image"][:1]).f.shape == (1, 512)
        assert isinstance(model.projection, nn.Linear) is (projected or signed)


@pytest.mark.parametrize("name", [*OWN, "resnet18", "test_resnet"])
def test_the_features_of_every_backbone_have_both_signs(name, batch):
    torch.manual_seed(0)
    seen = {} if name == "eyes" else {"band": True, "half": True}
    model = GazeModel(name, 64, **seen).eval()
    with torch.inference_mode():
        f = model.of(batch).f
    share = float((f < 0).float().mean())
    assert 0.2 < share < 0.8, share


def test_distillation_can_reach_zero_where_features_are_signed(batch):
    """Features of CLIP have both signs: f meets them, and one that is never negative cannot."""
    generator = torch.Generator().manual_seed(2)
    wanted = torch.randn(4, WIDTH, generator=generator)
    images = F.interpolate(torch.rand(4, 3, 7, 7, generator=generator), size=(224, 224))
    nearest = wanted.clamp(min=0)  # of all that are never negative
    floor = float(losses.distil(nearest, wanted))
    torch.manual_seed(0)
    model = GazeModel("small", WIDTH, band=True, half=True)
    optimizer = torch.optim.Adam(
        [*model.backbone.parameters(), *model.projection.parameters()], 0.01
    )
    for _ in range(24):
        loss = losses.distil(model(images).f, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.03 < 0.1 < floor
    unsigned = GazeModel("small", WIDTH, band=True, half=True, signed=False)
    assert not (unsigned(images).f < 0).any()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("separator", [True, False])
@pytest.mark.parametrize("name", ["small", "twin"])
def test_every_answer_is_that_of_one_head(name, separator, signed, batch):
    """What the backbone gave, kept by picture, is answered as the picture is."""
    torch.manual_seed(0)
    model = GazeModel(name, WIDTH, band=True, half=True, separator=separator, signed=signed).eval()
    out = model(batch["image"])
    assert out.pooled.shape[:2] == (4, model.architecture.ways)
    rows = [2, 0]
    assert torch.allclose(head_gaze(model, out.pooled[rows]), out.gaze[rows], atol=1e-6)
    again = model_of(model.architecture)
    again.load_state_dict(model.state_dict())
    assert again.architecture.signed is signed


@pytest.mark.parametrize(("band", "half"), [(True, True), (True, False), (False, True)])
def test_a_twin_says_the_mirrored_of_a_mirrored_picture(band, half, batch):
    torch.manual_seed(3)
    model = GazeModel("twin", WIDTH, band=band, half=half)
    said, mirrored = (model(x) for x in (batch["image"], batch["image"].flip(-1)))
    assert torch.allclose(mirrored.gaze, mirror_angles(said.gaze), atol=1e-5)
    assert torch.allclose(mirrored.log_sigma, said.log_sigma, atol=1e-5)
    assert torch.allclose(mirrored.feature_map, said.feature_map.flip(-1), atol=1e-4)
    assert said.gaze[:, 1].abs().max() > 1e-3  # more than a yaw of 0
    assert [tuple(o.shape) for o in said[:4]] == [(4, 2), (4, 1), (4, WIDTH), (4, WIDTH)]
    assert not torch.allclose(said.f, mirrored.f)
    # Each picture's answer is its own, whatever else is in the batch.
    model.eval()
    every, alone = (model(batch["image"][k]).f for k in (slice(0, 4), slice(2, 3)))
    assert torch.allclose(alone, every[2:3], rtol=1e-4)
    assert not torch.allclose(alone, every[1:2], rtol=1e-2)


def test_a_twin_sees_every_column(batch):
    model = GazeModel("twin", WIDTH, band=True, half=True).eval()
    x = model.pixels(batch["image"][:1]).clone().requires_grad_()
    model(x).gaze.sum().backward()
    assert (x.grad.abs().sum((0, 1, 2)) > 0).all()


def test_a_model_is_made_again_from_its_architecture():
    model = small()
    again = model_of(model.architecture)
    again.load_state_dict(model.state_dict())
    assert again.card() == model.card()


@pytest.mark.parametrize("name", ["resnet1", "vit_tiny_patch16_224"])
def test_backbones_that_cannot_be_are_refused(name):
    with pytest.raises(ModelError, match=r"no backbone 'resnet1'|is no CNN"):
        GazeModel(name)


def test_the_small_backbone_is_small():
    sizes = [
        sum(p.numel() for p in GazeModel(name, 512, band=True).backbone.parameters())
        for name in ("small", "medium")
    ]
    assert 1.2e6 < sizes[0] < 1.7e6
    assert 2.3e6 < sizes[1] < 2.8e6
    # Of half the resolution there is a stage less, and each eye has a layer to itself.
    twin = GazeModel("twin", 512, band=True, half=True).backbone
    assert 1.1e6 < sum(p.numel() for p in twin.parameters()) < 1.5e6


# Methods


def test_every_recipe_gives_finite_gradients(batch):
    for name, recipe in RECIPES.items():
        method = make_method(small(separator=recipe.separator), recipe.method)
        for turn in range(len(method.turns)):
            method.zero_grad(set_to_none=True)
            loss, scalars = method(Untouched(batch), 0, turn)
            loss.backward()
            assert torch.isfinite(loss), name
            assert all(not s.requires_grad for s in scalars.values()), name
            for parameter in method.parameters_of(turn):
                assert parameter.grad is not None, name
                assert torch.isfinite(parameter.grad).all(), name


def test_clip_gaze_is_the_weighted_sum(batch):
    options = ClipGazeOptions(distil=0.5, separate=2.0, rank=3.0, strides=(1, 2))
    method = ClipGaze(small(), options).eval()
    out = method.model(batch["image"])
    error = losses.angular_error(out.gaze, batch["gaze"])
    expected = (
        error.mean()
        + 0.5 * losses.distil(out.f, batch["image_features"])
        + 2.0 * losses.separate(out.f, out.f_re, batch["text_features"], 0.05)
        + 3.0 * losses.rank(out.f_re, batch["gaze"], (1, 2))
    )
    total, scalars = method.terms(out, error, batch)
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert 1 <= float(scalars["factors"]) <= 5


def test_a_weight_of_zero_leaves_its_term_out(batch):
    method = ClipGaze(small(), ClipGazeOptions(distil=0, separate=0, rank=0)).eval()
    out = method.model(batch["image"])
    error = losses.angular_error(out.gaze, batch["gaze"])
    total, scalars = method.terms(out, error, batch)
    assert torch.equal(total, error.mean())
    assert set(scalars) == {"factors", "alike", "directions"}


def test_alike_is_one_for_a_constant_feature(batch):
    method = ClipGaze(small(), ClipGazeOptions())
    out = method.model(batch["image"])._replace(f_re=torch.ones(4, WIDTH))
    _, scalars = method.terms(out, torch.ones(4), batch)
    assert float(scalars["alike"]) == pytest.approx(1, abs=1e-5)


def test_what_is_logged_tells_collapse(batch):
    """How many directions features vary along, and L_d of other pictures beside their own."""
    method = ClipGaze(small(), ClipGazeOptions())
    out, error = method.model(batch["image"]), torch.ones(4)
    line = torch.arange(4.0)[:, None] * torch.ones(WIDTH)
    corners = torch.zeros(4, WIDTH)
    corners[:, 0], corners[:, 1] = torch.tensor([[1, 1, -1, -1], [1, -1, 1, -1]])
    for f_re, expected in ((line, 1), (corners, 2)):
        _, scalars = method.terms(out._replace(f_re=f_re), error, batch)
        assert float(scalars["directions"]) == pytest.approx(expected, abs=1e-4)
    own = out._replace(f=batch["image_features"])
    _, scalars = method.terms(own, error, batch)
    assert float(scalars["distil"]) == pytest.approx(0, abs=1e-5)
    assert float(scalars["distil_others"]) > 0.1
    _, scalars = method.terms(out._replace(f=torch.ones(4, WIDTH)), error, batch)
    assert float(scalars["distil_others"]) == pytest.approx(float(scalars["distil"]), abs=1e-5)


def test_pure_gazes_two_turns_pull_apart(batch):
    method = make_method(small(separator=False), PureGazeOptions())
    with pytest.raises(RuntimeError, match="after the gaze's"):
        method.loss(batch, 0, 1)
    method.loss(batch, 0, 0)
    loss, _ = method.loss(batch, 0, 1)
    loss.backward()
    assert all(p.grad is None for p in method.parameters_of(0))
    assert any(p.grad.any() for p in method.parameters_of(1))


@pytest.mark.parametrize("band", [True, False])
@pytest.mark.parametrize("pixels", [56, 112, 224])
def test_the_decoder_gives_the_picture_it_is_compared_with(band, pixels):
    height = (96 if band else 224) * pixels // 224
    decoder = Decoder(8, height, pixels)
    with torch.no_grad():
        rebuilt = decoder(torch.randn(2, 8, 3 if band else 7, 7))
    assert rebuilt.shape == (2, 3, height, pixels)
    assert 0 <= float(rebuilt.min()) <= float(rebuilt.max()) <= 1


# CLIP's features


def test_features_are_looked_up_by_index_and_person(source):
    table, texts = torch.randn(6, 3), torch.randn(3, 2, 3)
    samples = collate([source[4], source[1]])
    assert torch.equal(CachedImages(table).features(samples), table[[4, 1]])
    found = PersonTexts(texts).features(samples["person"])
    assert found.shape == (2, 2, 3)
    assert torch.allclose(found[0], nn.functional.normalize(texts[4 % 3], dim=-1))
    assert PersonTexts(texts[:1]).features(samples["person"]).shape == (2, 3)


@pytest.mark.parametrize("kind", [CachedImages, PersonTexts])
def test_features_that_are_not_numbers_are_refused(kind):
    shape = (2, 3) if kind is CachedImages else (1, 2, 3)
    with pytest.raises(ValueError, match="not finite"):
        kind(torch.full(shape, float("nan")))
    table = torch.full((2, *shape[1:]), float("inf"))
    table[0] = 1
    with pytest.raises(ValueError, match="not finite"):
        kind(table)


# Recipes


def test_unknown_methods_and_options_are_refused_with_those_there_are():
    with pytest.raises(RecipeError, match="'clip_gase'; expected one of erm"):
        find_recipe("clip_gase")
    with pytest.raises(RecipeError, match=r"no option 'learning_rat'; there is learning_rate"):
        changed(find_recipe("erm"), {"learning_rat": "1"})
    with pytest.raises(RecipeError, match="batch is 'many'; expected a number such as 128"):
        changed(find_recipe("erm"), {"batch": "many"})
    with pytest.raises(RecipeError, match="batch is 0"):
        changed(find_recipe("erm"), {"batch": "0"})
    with pytest.raises(RecipeError, match="prompts are 'hands'"):
        changed(find_recipe("clip_gaze"), {"prompts": "hands"})
    with pytest.raises(RecipeError, match="schedule is 'slow'"):
        changed(find_recipe("erm"), {"schedule": "slow"})


def test_options_are_set_from_text():
    recipe = changed(
        find_recipe("clip_gaze"), {"rank": "0.5", "strides": "1,4", "band": "true", "seed": "7"}
    )
    assert recipe.method == ClipGazeOptions(rank=0.5, strides=(1, 4))
    assert (recipe.band, recipe.seed, recipe.batch) == (True, 7, 128)
    assert recipe.to_dict()["method"]["is"] == "ClipGaze"


# Augmentation


def labelled(source, count=4):
    samples = collate([source[k] for k in range(count)])
    samples["head"] = -0.5 * samples["gaze"]
    samples["head"][0] = float("nan")
    return samples


def test_mirroring_twice_is_the_identity(source):
    samples = labelled(source)
    which = torch.tensor([True, True, False, True])
    once = mirror(samples, which)
    assert torch.equal(once["image"][1], samples["image"][1].flip(-1))
    assert torch.equal(once["gaze"][1], samples["gaze"][1] * torch.tensor([1, -1]))
    assert torch.equal(once["head"][1], samples["head"][1] * torch.tensor([1, -1]))
    twice = mirror(once, which)
    for key in samples:
        assert torch.equal(twice[key].nan_to_num(9), samples[key].nan_to_num(9))


def test_a_turned_camera_sees_a_point_where_its_labels_say():
    """A dot at the projection of a ray goes to the projection of the turned ray."""
    ray = torch.tensor([0.03, -0.02, 1.0])
    image = torch.zeros(1, 3, 224, 224)
    x, y = (augment.FOCAL_PX * ray[:2] + augment.CENTER_PX).round().long().tolist()
    image[..., y - 1 : y + 2, x - 1 : x + 2] = 1
    turn = rotation(torch.tensor([[0.01, -0.02, 0.2]]))
    zoom = torch.tensor([1.1])
    seen = turn @ torch.tensor(
        [(x - augment.CENTER_PX) / augment.FOCAL_PX, (y - augment.CENTER_PX) / augment.FOCAL_PX, 1]
    )
    expected = 1.1 * augment.FOCAL_PX * seen[0, :2] / seen[0, 2] + augment.CENTER_PX
    new = turn_images(image, turn, zoom)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    middle = torch.stack([(new * columns).sum(), (new * rows).sum()]) / new.sum()
    assert middle.tolist() == pytest.approx(expected.tolist(), abs=0.1)
    # The band alone is the same rows.
    assert torch.allclose(turn_images(image, turn, zoom, (32, 128))[0, 0], new[32:128], atol=1e-5)
    # At half the resolution the same place has moved alike.
    small = turn_images(torch.nn.functional.avg_pool2d(image, 2), turn, zoom)[0, 0]
    places = torch.arange(112) * 2 + 0.5
    middle = torch.stack([(small * places).sum(), (small * places[:, None]).sum()]) / small.sum()
    assert middle.tolist() == pytest.approx(expected.tolist(), abs=0.3)


def with_landmarks(samples):
    count = len(samples["image"])
    generator = torch.Generator().manual_seed(1)
    points = 60 + 100 * torch.rand(count, len(EYE_POINTS), 2, generator=generator)
    return samples | {"points": points, "openness": torch.rand(count, 2, generator=generator)}


def test_points_go_where_the_pixels_go():
    """A dot stays under its point, whatever is drawn; a mirrored eye is the other eye."""
    at = torch.tensor([[70.0, 60.0], [150.0, 90.0]])
    image = torch.zeros(12, 3, 224, 224, dtype=torch.uint8)
    for x, y in at.long().tolist():
        image[:6, :, y - 2 : y + 3, x - 2 : x + 3] = 255
    image[6:] = image[:6]
    points = at.repeat(1, len(EYE_POINTS) // 2, 1).expand(12, -1, -1).clone()
    samples = {"image": image, "points": points, "openness": torch.tensor([[0.2, 0.9]] * 12)}
    draw = Augmentation(1.0, seed=2)
    # Geometry alone: what hides, colours or blurs could hide a dot.
    out = mirror(samples | {"image": draw._floats(image)}, torch.arange(12) % 2 == 0)
    turn, zoom = rotation(torch.randn(12, 3) * torch.tensor([0.006, 0.006, 0.03])), torch.ones(12)
    moved = turn_points(out["points"], turn, zoom)
    seen = turn_images(out["image"], turn, zoom)
    for picture, places in zip(seen, moved, strict=True):
        for x, y in places[:2].round().long().tolist():
            assert picture[0, y, x] > 0.9
    assert out["openness"][0].tolist() == pytest.approx([0.9, 0.2])
    assert out["openness"][1].tolist() == pytest.approx([0.2, 0.9])
    iris = [EYE_POINTS.index(k) for k in (68, 69)]
    assert [augment.MIRRORED[k] for k in iris] == iris[::-1]


def test_landmarks_teach_the_feature_and_unknown_ones_nothing(batch):
    method = make_method(small(), find_recipe("erm").method)
    plain, _ = method.loss(batch, 0)
    method.add_landmarks(2.0)
    unknown = with_landmarks(batch)
    nothing = {k: torch.full_like(unknown[k], torch.nan) for k in ("points", "openness", "head")}
    loss, scalars = method.loss(unknown | nothing, 0)
    assert float(scalars["landmarks"]) == 0
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())
    loss, scalars = method.loss(unknown, 0)
    assert loss.item() == pytest.approx(plain.item() + 2 * scalars["landmarks"].item(), rel=1e-4)
    said = {id(p) for p in method.parameters_of(0)}
    assert {id(p) for p in method.anatomy.parameters()} <= said
    # Points outside of the crop are not asked for.
    far = unknown | {"points": torch.full_like(unknown["points"], 400.0)}
    near = method.landmarks_loss(torch.zeros(4, WIDTH), far)
    assert torch.equal(
        near,
        method.landmarks_loss(
            torch.zeros(4, WIDTH), far | {"points": torch.full_like(far["points"], torch.nan)}
        ),
    )


def test_labels_turn_as_vectors_and_back():
    angles = 0.4 * torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).double()
    turn = rotation(0.1 * torch.randn(20, 3, generator=torch.Generator().manual_seed(1)).double())
    turned = turn_labels(angles, turn)
    vectors = (turn @ losses.gaze_vector(angles)[..., None])[..., 0]
    assert torch.allclose(losses.gaze_vector(turned), vectors)
    assert torch.allclose(turn_labels(turned, turn.mT), angles)
    assert turn_labels(torch.full((1, 2), float("nan")).double(), turn[:1]).isnan().all()


def test_no_turn_changes_nothing():
    image = torch.rand(2, 3, 224, 224)
    for size in (224, 112):
        part = image[..., :size, :size]
        same = turn_images(part, torch.eye(3).expand(2, 3, 3), torch.ones(2))
        assert torch.allclose(same, part, atol=2e-3)  # a grid in float32 misses pixels by 1e-4


def test_augmentation_is_the_same_however_a_batch_is_shared(source):
    samples = labelled(source)
    make = Augmentation(1.0, seed=5)
    whole = make(samples, 3)
    half = make({k: v[2:] for k, v in samples.items()}, 3, first=2, total=4)
    for key in ("image", "gaze", "head"):
        assert torch.equal(half[key], whole[key][2:])
    assert 0 <= float(whole["image"].min()) <= float(whole["image"].max()) <= 1
    assert not torch.equal(make(samples, 4)["gaze"], whole["gaze"])


def test_strength_zero_only_converts(source):
    samples = labelled(source)
    out = Augmentation(0.0, seed=0, rows=BAND)(samples, 0)
    assert torch.equal(out["image"], samples["image"][..., 32:128, :].float() / 255)
    assert torch.equal(out["gaze"], samples["gaze"])
