"""Sheets of eye patches, the backbone that looks at them, and what teaches it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from train.data.samples import EYE_POINTS
from train.gaze import eye_losses, sheets
from train.gaze.augment import mirror
from train.gaze.eye_backbone import STRIDE, WIDE, EyeSigns, integral
from train.gaze.methods import make_method
from train.gaze.models import GazeModel, ModelError, model_of
from train.gaze.recipes import RECIPES, changed, find_recipe
from train.gaze.sheet_augment import SheetAugmentation, mirror_sheets
from train.gaze.sheets import POINTS, SIDE_PX
from train.gaze.step_times import RandomCrops, random_teacher
from train.gaze.trainer import collate, method_for, taught_gaze
from train.loop.training_loop import FitError, Untouched

WIDTH = 16
OUTER, INNER, IRIS = 0, 3, 6


def face(count=2, seed=0):
    """Smooth random crops with known eyes."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 28, 28, generator=generator)
    image = nn.functional.interpolate(coarse, size=(224, 224), mode="bicubic").clamp(0, 1)
    points = torch.full((count, len(EYE_POINTS), 2), torch.nan)
    eyes = {36: (45, 75), 39: (76, 77), 68: (62, 76), 42: (147, 77), 45: (178, 75), 69: (160, 78)}
    for mark, place in eyes.items():
        points[:, EYE_POINTS.index(mark)] = torch.tensor(place, dtype=torch.float32)
    return {
        "image": (image * 255).to(torch.uint8),
        "points": points,
        "gaze": 0.3 * torch.randn(count, 2, generator=generator),
        "head": 0.3 * torch.randn(count, 2, generator=generator),
        "openness": torch.tensor([[0.9, 0.4]]).expand(count, -1).clone(),
    }


def test_a_sheet_holds_the_crops_own_pixels():
    batch = face(1)
    places = sheets.on_whole_pixels(sheets.eye_places(batch))
    assert places.tolist() == [[[60.5, 76.5], [162.5, 76.5]]]
    sheet = sheets.cut(batch["image"], places)
    whole = batch["image"].float() / 255
    right, left = sheet[..., :72], sheet[..., SIDE_PX : SIDE_PX + 72]
    assert torch.allclose(right, whole[..., 53:101, 25:97], atol=1e-5)
    assert torch.allclose(left, whole[..., 53:101, 127:199].flip(-1), atol=1e-5)
    low = nn.functional.avg_pool2d(whole, 4)
    assert torch.allclose(sheet[..., 72:SIDE_PX], low[:, :, 4:52, :32], atol=1e-5)
    assert torch.allclose(sheet[..., SIDE_PX + 72 :], low[:, :, 4:52, 24:].flip(-1), atol=1e-5)


def test_the_sheet_of_a_mirrored_crop_has_its_sides_swapped():
    batch = face(2)
    other = mirror(batch, torch.tensor([True, True]))
    ways = [sheets.cut(b["image"], sheets.eye_places(b)) for b in (batch, other)]
    assert torch.allclose(ways[1], sheets.swapped(ways[0]), atol=1e-5)
    signs = [
        sheets.in_patches(sheets.points_of_sides(b["points"]), sheets.eye_places(b))
        for b in (batch, other)
    ]
    assert torch.allclose(signs[1], signs[0].flip(1), atol=1e-4, equal_nan=True)


def test_points_are_where_the_patch_shows_them():
    batch = face(1)
    batch["image"][:] = 0
    for column, row in ((62, 76), (160, 78)):
        batch["image"][0, :, row, column] = 255
    places = sheets.eye_places(batch)
    sheet = sheets.cut(batch["image"], places)
    points = sheets.in_patches(sheets.points_of_sides(batch["points"]), places)
    for side in range(2):
        patch = sheet[0, 0, :, side * SIDE_PX : side * SIDE_PX + 72]
        rows, columns = torch.arange(48.0), torch.arange(72.0)
        x = float((patch.sum(0) * columns).sum() / patch.sum())
        y = float((patch.sum(1) * rows).sum() / patch.sum())
        assert points[0, side, IRIS].tolist() == pytest.approx([x, y], abs=1e-3)
    back = sheets.from_patches(points, places)
    assert torch.allclose(back[0, 1, IRIS], torch.tensor([160.0, 78.0]), atol=1e-4)


def test_rims_are_mirrored_on_the_left():
    angles = torch.arange(8) * math.pi / 4
    ring = torch.stack([angles.cos(), angles.sin()], -1) * 9
    places = torch.tensor([[[60.0, 75.0], [163.0, 75.0]]])
    rims = (places[:, :, None] + ring)[0][None]
    points = torch.full((1, len(EYE_POINTS), 2), torch.nan)
    found = sheets.in_patches(sheets.points_of_sides(points, rims), places)[0, :, 7:]
    assert torch.allclose(found[0], found[1], atol=1e-4)
    assert torch.allclose(found[0] - torch.tensor([35.5, 23.5]), ring, atol=1e-4)


def test_eyes_are_looked_for_where_the_pipeline_saw_them_else_where_they_are():
    batch = face(3)
    batch["seen_eyes"] = torch.full((3, 2, 2), torch.nan)
    batch["seen_eyes"][0] = torch.tensor([[50.0, 70.0], [150.0, 71.0]])
    batch["points"][2] = torch.nan
    batch["head"][2] = torch.nan
    places = sheets.eye_places(batch)
    assert places[0].tolist() == [[50.0, 70.0], [150.0, 71.0]]
    assert places[1].tolist() == [[60.5, 76.0], [162.5, 76.0]]
    assert places[2, :, 0].tolist() == pytest.approx([111.5 - 49.6, 111.5 + 49.6], abs=0.2)
    assert places[2, :, 1].tolist() == pytest.approx([111.5 - 35.3] * 2, abs=0.2)


def test_a_mean_face_that_turns_takes_its_eyes_along():
    right = sheets.canonical_places(torch.tensor([[0.0, 0.6]]))[0]
    still, up = (sheets.canonical_places(torch.tensor([[p, 0.0]]))[0] for p in (0.0, 0.4))
    # Yaw is positive towards the image's left; the face turned there shows its left eye nearer.
    assert right[:, 0].mean() < still[:, 0].mean() + 12
    assert right[1, 0] - right[0, 0] < still[1, 0] - still[0, 0]
    # A head that is thrown back has its eyes lower or higher by geometry: compare with the SDK's.
    from clipgaze_sdk.geometry.face_model import FACE_MODEL_MM
    from train.synth.render.scene import rotation_from_angles

    for pitch, yaw in ((0.4, 0.0), (-0.3, 0.5)):
        turned = FACE_MODEL_MM @ rotation_from_angles(yaw, pitch, 0.0).T + [0, 0, 600.0]
        pixels = turned[:, :2] / turned[:, 2:] * 960 + 111.5
        found = sheets.canonical_places(torch.tensor([[pitch, yaw]]))[0]
        for side, corners in enumerate(((36, 39), (42, 45))):
            expected = pixels[list(corners)].mean(0)
            assert found[side].tolist() == pytest.approx(expected.tolist(), abs=1.0)
    assert up[0, 1] != still[0, 1]


def test_classes_are_cut_with_their_pixels():
    batch = face(1)
    classes = torch.zeros(1, 112, 224, dtype=torch.uint8)
    classes[0, 78 - 24, 160] = 3
    places = torch.tensor([[[60.0, 76.0], [161.5, 76.5]]])
    found = sheets.cut_classes(classes, places, (24, 136))
    assert found.sum() == 3
    # The left patch is mirrored: column 160 is 1.5 to the right of the middle.
    assert found[0, 1].nonzero().tolist() == [[25, 37]]
    assert batch["image"].shape[-1] == 224


def test_the_model_says_the_mirrored_of_a_mirrored_face_exactly():
    torch.manual_seed(0)
    model = GazeModel("eyes", WIDTH).eval()
    batch = face(2)
    sheet = sheets.cut(batch["image"], sheets.eye_places(batch))
    out, other = model(sheet), model(sheets.swapped(sheet))
    assert torch.allclose(out.gaze * torch.tensor([1.0, -1.0]), other.gaze, atol=1e-6)
    assert torch.allclose(out.log_sigma, other.log_sigma, atol=1e-6)
    assert torch.allclose(out.eyes.points, other.eyes.points.flip(1), atol=1e-4)
    assert out.pooled.shape == (2, 2, WIDTH)
    assert out.f.shape == (2, WIDTH)
    assert out.feature_map.shape == (2, 96, 6, 26)
    assert torch.equal(model.of(batch).gaze, model(model.seen(batch)).gaze)


@pytest.mark.parametrize("changed", [{"heat": False}, {"told": True}, {"standardized": True}])
def test_its_variants_travel_with_the_architecture(changed):
    torch.manual_seed(0)
    model = GazeModel("eyes", WIDTH, **changed).eval()
    again = model_of(model.architecture).eval()
    again.load_state_dict(model.state_dict())
    batch = face(2)
    assert torch.equal(again.of(batch).gaze, model.of(batch).gaze)
    assert model.of(batch).eyes.points.shape == (2, 2, POINTS if model.architecture.heat else 0, 2)
    turned = {**batch, "head": batch["head"] + 0.2}
    said = model.of({**turned, "points": batch["points"]}).gaze
    assert torch.equal(said, model.of(batch).gaze) != model.architecture.told


@torch.inference_mode()
def test_standardized_patches_are_alike_in_any_light():
    moved = {}
    batch = face(2)
    dim = {**batch, "image": (batch["image"].float() * 0.5).round().to(torch.uint8)}
    for standard in (False, True):
        torch.manual_seed(0)
        model = GazeModel("eyes", WIDTH, standardized=standard).eval()
        moved[standard] = float((model.of(dim).pooled - model.of(batch).pooled).abs().max())
    assert moved[True] < 0.5 * moved[False]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ModelError, match="leave band and half out"):
        GazeModel("eyes", WIDTH, half=True)
    with pytest.raises(ModelError, match="'twin' has no heat"):
        GazeModel("twin", WIDTH, told=True)


def test_one_colour_gives_finite_numbers():
    model = GazeModel("eyes", WIDTH, standardized=True).eval()
    out = model(torch.full((1, 3, *sheets.SHEET_PX), 0.5))
    assert out.gaze.isfinite().all()
    assert out.eyes.points.isfinite().all()


def test_integral_coordinates_are_pixels_of_the_patch():
    maps = torch.full((1, POINTS, 12, 18), -30.0)
    maps[0, 0, 5, 7] = 30.0
    assert integral(maps)[0, 0].tolist() == pytest.approx([7 * 4 + 1.5, 5 * 4 + 1.5])
    maps[0, 0, 5, 8] = 30.0
    assert integral(maps)[0, 0].tolist() == pytest.approx([7.5 * 4 + 1.5, 5 * 4 + 1.5])


def perfect_signs(points):
    """Signs whose heat is exactly what the loss wants at these places."""
    rows = torch.arange(12) * STRIDE + 1.5
    columns = torch.arange(18) * STRIDE + 1.5
    x = (columns - points[..., 0, None]).square()[..., None, :]
    y = (rows - points[..., 1, None]).square()[..., :, None]
    maps = -(x + y) / (2 * eye_losses.HEAT_SIGMA_PX**2)
    return EyeSigns(maps, points, torch.full((len(points), 2), 0.5), torch.zeros(0))


def test_the_loss_of_signs_is_least_at_the_truth_and_skips_what_is_unknown():
    torch.manual_seed(0)
    truth = 20 + 10 * torch.rand(2, 2, POINTS, 2)
    batch = {"eye_points": truth, "openness": torch.full((2, 2), 0.5)}
    loss = eye_losses.EyeSignsLoss()
    best, said = loss(perfect_signs(truth), batch)
    assert said["iris_px"] == pytest.approx(0, abs=1e-5)
    worse, said = loss(perfect_signs(truth + torch.tensor([3.0, 4.0])), batch)
    assert worse > best
    assert said["iris_px"] == pytest.approx(5, abs=1e-4)
    off = truth.clone()
    off[:, :, IRIS] += 9.0
    unknown = {**batch, "eye_points": truth.clone()}
    unknown["eye_points"][:, :, IRIS] = torch.nan
    unknown["eye_points"][:, :, OUTER] = 200.0  # outside of the patch
    signs = perfect_signs(off)
    signs.points[:, :, OUTER] += 50
    found, said = loss(signs, unknown)
    assert said["iris_px"] == 0
    assert found < best + 0.05
    signs.points.requires_grad_(True)
    loss(signs, unknown)[0].backward()
    assert signs.points.grad.isfinite().all()
    assert signs.points.grad[:, :, IRIS].abs().max() == 0


def test_pixels_are_named_at_the_patchs_resolution():
    loss = eye_losses.EyeSignsLoss(segmentation=1.0)
    wide = torch.randn(1, 2, WIDE, 12, 18)
    truth = torch.full((1, 2, POINTS, 2), 20.0)
    signs = perfect_signs(truth)._replace(wide=wide)
    classes = torch.full((1, 2, 48, 72), -1)
    classes[0, 1, 17, 30] = 3
    batch = {"eye_points": truth, "openness": torch.full((1, 2), 0.5), "eye_classes": classes}
    _, said = loss(signs, batch)
    logits = loss.classes(wide[0])[1, :, 17 // 4, 30 // 4].reshape(eye_losses.CLASSES, 4, 4)
    expected = -logits.detach().log_softmax(0)[3, 17 % 4, 30 % 4]
    assert float(said["segmentation"]) == pytest.approx(float(expected), rel=1e-4)


def test_augmented_sheets_have_labels_to_match():
    batch = face(64)
    batch["image"][:] = 0
    batch["image"][:, :, 76, 62] = 255
    batch["image"][:, :, 78, 160] = 255
    augment = SheetAugmentation(1.0, seed=3)
    out = augment(batch, 5)
    assert torch.equal(out["image"], augment(batch, 5)["image"])
    plain = SheetAugmentation(0.0, seed=3)(batch, 5)
    assert torch.equal(plain["gaze"], batch["gaze"])
    errors = []
    for k in range(64):
        for side in range(2):
            patch = out["image"][k, :, :, side * SIDE_PX : side * SIDE_PX + 72].mean(0)
            y, x = (patch == patch.max()).nonzero().float().mean(0).tolist()
            said = out["eye_points"][k, side, IRIS].tolist()
            errors.append(math.hypot(said[0] - x, said[1] - y))
    # Where something hides the spot, the brightest pixel is another.
    assert torch.tensor(errors).median() < 0.8
    assert len({tuple(p) for p in out["eye_points"][:, 0, IRIS].round().tolist()}) > 20
    swapped = mirror_sheets(plain, torch.ones(64, dtype=torch.bool))
    assert torch.equal(swapped["gaze"][:, 1], -plain["gaze"][:, 1])
    assert torch.equal(swapped["openness"], plain["openness"].flip(1))
    assert torch.equal(
        mirror(batch, torch.ones(64, dtype=torch.bool))["points"].nan_to_num(),
        swapped["points"].nan_to_num(),
    )


def test_parts_of_a_batch_are_augmented_as_in_the_whole():
    batch = face(6)
    augment = SheetAugmentation(1.0, seed=1)
    whole = augment(batch, 2)
    part = augment({k: v[2:4] for k, v in batch.items()}, 2, first=2, total=6)
    for key in ("image", "gaze", "eye_points"):
        assert torch.allclose(part[key], whole[key][2:4], atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("name", RECIPES)
def test_every_method_trains_with_it(name):
    torch.manual_seed(0)
    source = RandomCrops(6, people=3)
    samples = collate([source[k] for k in range(4)])
    batch = samples | random_teacher(source, WIDTH, factors=5).of(samples)
    known = face(4)
    batch |= {k: known[k] for k in ("points", "openness")}
    batch["classes"] = torch.ones(4, 112, 224, dtype=torch.uint8)
    model = GazeModel("eyes", WIDTH)
    method = make_method(model, find_recipe(name).method)
    method.add_landmarks(1.0, segmentation=0.5)
    method.train()
    varied = SheetAugmentation(1.0, seed=0)(batch, 0)
    for turn in range(len(method.turns)):
        loss, scalars = method(Untouched(varied), 0, turn)
        assert loss.isfinite()
        loss.backward()
        if turn == 0:
            assert {"iris_px", "lids_px", "landmarks"} <= set(scalars)
    learnt = {id(p) for turn in range(len(method.turns)) for p in method.parameters_of(turn)}
    for name_, parameter in method.named_parameters():
        assert id(parameter) in learnt, name_
        if not name_.startswith("decoder."):
            assert parameter.grad is not None, name_


def test_gaze_is_taught_along_the_line_of_sight_that_is_seen():
    gaze = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    sight = torch.tensor([[0.15, 0.25], [torch.nan, torch.nan]])
    assert torch.equal(taught_gaze({"gaze": gaze}), gaze)
    found = taught_gaze({"gaze": gaze, "sight_gaze": sight})
    assert torch.equal(found, torch.stack([sight[0], gaze[1]]))


def test_options_that_would_do_nothing_are_refused():
    eyes, both = GazeModel("eyes", WIDTH), {"segmentation": "1", "landmarks": "1"}
    for model, changes, said in (
        (eyes, {"segmentation": "1"}, "set landmarks=1"),
        (GazeModel("eyes", WIDTH, heat=False), both, "heat=true"),
        (GazeModel("small", WIDTH), both, "backbone=eyes"),
    ):
        recipe = changed(find_recipe("erm"), changes)
        with pytest.raises(FitError, match=said):
            method_for(model, recipe)
    recipe = changed(find_recipe("pure_gaze"), {"certainty": "1"})
    with pytest.raises(FitError, match="certainty weighs L_g"):
        method_for(eyes, recipe)


def test_the_gradient_follows_certainty():
    """With certainty, a sample that the model is sure of pulls harder than one that it is not."""
    pulled = {}
    for exponent in (0.0, 1.0):
        torch.manual_seed(0)
        model = GazeModel("small", WIDTH, band=True)
        method = make_method(model, find_recipe("erm").method)
        method.certainty = exponent
        out = model(torch.zeros(2, 3, 96, 224))._replace(
            gaze=torch.zeros(2, 2, requires_grad=True),
            log_sigma=torch.log(torch.tensor([[0.05], [0.5]])),
        )
        model.of = lambda batch, out=out: out
        loss, _ = method.loss({"gaze": torch.full((2, 2), 0.2)}, 0)
        (gradient,) = torch.autograd.grad(loss, out.gaze)
        pulled[exponent] = float(gradient[0].norm() / gradient[1].norm())
    assert pulled[0.0] == pytest.approx(1.0, rel=1e-4)
    assert pulled[1.0] == pytest.approx(10.0, rel=1e-3)
