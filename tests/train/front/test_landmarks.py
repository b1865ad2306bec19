"""The landmark network's augmentation and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.front import landmark_recipe as landmarks
from train.front.networks import LandmarkNetwork


def augmented(crops, points, seen, generator, **options):
    batch = {
        "image": crops,
        "points": points,
        "visible": seen,
        "openness": torch.zeros(len(crops), 2),
        "present": torch.ones(len(crops), dtype=torch.bool),
    }
    return landmarks.augment(batch, generator, **options)


def test_output_names_and_shapes():
    out = LandmarkNetwork(8).eval()(torch.zeros(2, 3, 128, 128))
    assert {k: tuple(v.shape) for k, v in out.items()} == {
        "points": (2, 70, 2),
        "visibility": (2, 70),
        "openness": (2, 2),
        "presence": (2,),
    }


@pytest.mark.parametrize("poor_boxes", [0.0, 0.5])
def test_landmark_augmentation_moves_points_with_the_pixels(poor_boxes):
    """A bright dot stays under its point, whatever the mirror, turn, scale and shift."""
    generator = torch.Generator().manual_seed(3)
    crops = torch.zeros(24, 192, 192, 3, dtype=torch.uint8)
    column, row = 110, 84
    crops[:, row - 2 : row + 3, column - 2 : column + 3] = 255
    unit = torch.tensor([(column + 0.5) / 192 * 2 - 1, (row + 0.5) / 192 * 2 - 1])
    points = unit.expand(24, 70, 2).clone()
    seen = torch.ones(24, 70, dtype=torch.bool)
    out = augmented(crops, points, seen, generator, poor_boxes=poor_boxes)
    checked = 0
    for image, point, there in zip(out["image"], out["points"], out["present"], strict=True):
        x, y = ((point[0] + 1) / 2 * 128 - 0.5).tolist()
        if there and 4 < x < 123 and 4 < y < 123:
            peak = int(image.sum(0).argmax())
            assert abs(peak % 128 - x) < 3
            assert abs(peak // 128 - y) < 3
            checked += 1
    assert checked > 12


def test_poor_boxes_are_some_of_the_crops_and_keep_their_face():
    crops, middle = torch.zeros(400, 192, 192, 3, dtype=torch.uint8), torch.zeros(400, 70, 2)
    seen = torch.ones(400, 70, dtype=torch.bool)

    def off(share):
        generator = torch.Generator().manual_seed(1)
        out = augmented(crops, middle, seen, generator, poor_boxes=share)
        return out["points"][out["present"]][:, 0].norm(dim=1), out["present"]

    (well, there), (poor, still) = off(0.0), off(0.3)
    assert there.float().mean() > 0.75
    assert still.float().mean() > 0.75
    far = 0.25  # half widths of the crop: beyond what errors of landmarks do
    assert (well > far).float().mean() < 0.03
    assert 0.1 < (poor > far).float().mean() < 0.3


def test_what_is_hidden_stays_with_its_landmark_in_a_mirror():
    generator = torch.Generator().manual_seed(0)
    crops = torch.zeros(40, 192, 192, 3, dtype=torch.uint8)
    points = torch.zeros(40, 70, 2)
    points[:, 36, 0], points[:, 45, 0] = -0.3, 0.3
    seen = torch.ones(40, 70, dtype=torch.bool)
    seen[:, 36] = False  # the right eye's outer corner, left in the picture
    out = augmented(crops, points, seen, generator)
    moved, shown, present = (out[k] for k in ("points", "visible", "present"))
    mirrored = ~shown[:, 45]
    assert 5 < int(mirrored.sum()) < 35
    hidden = torch.where(mirrored[:, None], moved[:, 45], moved[:, 36])
    other = torch.where(mirrored[:, None], moved[:, 36], moved[:, 45])
    # Where it is mirrored, it is the left eye's corner that is hidden, and lies at the right.
    assert torch.equal((hidden[:, 0] > other[:, 0])[present], mirrored[present])


@pytest.mark.parametrize("agrees", [True, False])
def test_consistency_asks_for_the_mirrored_landmarks_of_the_mirrored_picture(agrees):
    """Of a network that says where the bright column is, or always the same place."""

    class Told(torch.nn.Module):
        def forward(self, images):
            at = images[:, 0, 0].argmax(1).float() / 127 * 2 - 1
            points = torch.full((len(images), 70, 2), 0.3)
            if agrees:
                points[..., 0] = at[:, None]
            half = torch.full((len(images), 70), 0.5)
            one = {"openness": half[:, :2], "presence": half[:, 0]}
            return {"points": points, "visibility": half, **one}

    images = torch.zeros(4, 3, 128, 128)
    images[:, :, :, 20] = 1.0
    points, seen = torch.zeros(4, 70, 2), torch.ones(4, 70, dtype=torch.bool)
    present = torch.tensor([True, True, True, False])
    batch = {
        "image": images,
        "points": points,
        "visible": seen,
        "openness": torch.zeros(4, 2),
        "present": present,
    }
    plain = landmarks.losses(Told(), batch)
    found = landmarks.losses(Told(), batch, consistency=2.0)
    assert "mirror" not in plain
    assert {k: v for k, v in found.items() if k != "mirror"} == plain
    assert (float(found["mirror"]) < 1e-4) is agrees


def test_mirrored_landmarks_swap_sides():
    index = landmarks.MIRRORED
    assert torch.equal(index[index], torch.arange(70))
    assert index[36] == 45
    assert index[68] == 69


def test_wing_loss_values():
    error = torch.tensor([0.0, 0.10, 0.30])
    expected = [0.0, 0.1 * np.log(6), 0.30 - (0.1 - 0.1 * np.log(6))]
    assert landmarks.wing(error).tolist() == pytest.approx(expected, abs=1e-6)
