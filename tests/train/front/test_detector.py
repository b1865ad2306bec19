"""The detector's targets, losses and augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipgaze_sdk.kernels import decode_detections
from tests.train.front.front_recipes import detector_recipe
from train.front import detector_recipe as detector
from train.front.networks import STRIDES


def test_detector_speaks_the_layout_that_the_core_decodes():
    """A prediction written at the assigned cells comes back as the box it was made from."""
    height, width = 128, 160
    centers, strides = detector.anchors(height, width)
    boxes = torch.full((1, 8, 4), float("nan"))
    truth = [torch.tensor([20.0, 30.0, 48.0, 70.0]), torch.tensor([60.0, 10.0, 150.0, 120.0])]
    for k, box in enumerate(truth):
        boxes[0, k] = box
    face, positive, _ = detector.assign(boxes, centers, strides)
    assert positive.sum() >= 2
    scores = positive[0].float().numpy()
    chosen = boxes[0, face[0]].nan_to_num(0.0)
    sides = torch.cat([centers - chosen[:, :2], chosen[:, 2:] - centers], 1) / strides[:, None]
    rows = decode_detections(
        scores,
        sides.numpy(),
        np.zeros((len(scores), 10), np.float32),
        width=width,
        height=height,
        strides=list(STRIDES),
        score_threshold=0.5,
        iou_threshold=0.4,
        max_detections=10,
    )
    assert len(rows) == 2
    found = rows[np.argsort(rows[:, 0]), :4]
    assert found == pytest.approx(np.stack([t.numpy() for t in truth]), abs=1e-3)


def test_giou_of_known_boxes():
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    b = torch.tensor([[0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 3.0, 1.0]])
    assert detector.giou(a, b).tolist() == pytest.approx([1.0, -1 / 3])


class Told(torch.nn.Module):
    """A network that says of every cell what it is told."""

    def __init__(self, raw):
        super().__init__()
        self.said = torch.nn.Parameter(raw)

    def raw(self, images):
        return self.said


def perfect(batch):
    """Raw outputs that say exactly what the boxes and points of a batch are."""
    centers, strides = detector.anchors(*batch["image"].shape[2:])
    face, positive, _ = detector.assign(batch["boxes"], centers, strides)
    raw = torch.zeros(len(face), len(centers), 15)
    raw[..., 0] = torch.where(positive, 12.0, -12.0)
    for b, a in positive.nonzero().tolist():
        box = batch["boxes"][b, face[b, a]]
        sides = torch.cat([centers[a] - box[:2], box[2:] - centers[a]])
        raw[b, a, 1:5] = (sides / strides[a]).log()
        raw[b, a, 5:] = ((batch["points"][b, face[b, a]] - centers[a]) / strides[a]).flatten()
    return raw, positive


def test_losses_are_zero_where_all_is_right_and_by_hand_where_not():
    recipe = detector_recipe(3)
    batch = {"image": torch.zeros(3, 3, 96, 96), "boxes": recipe.boxes, "points": recipe.points}
    raw, positive = perfect(batch)
    right = detector.losses(Told(raw), batch)
    assert {k: float(v.detach()) for k, v in right.items()} == pytest.approx(
        {"score": 0, "box": 0, "points": 0}, abs=1e-4
    )
    # All five points of every face off by 0.1 of its longer side, to the right.
    _, strides = detector.anchors(96, 96)
    off = raw.clone()
    off[..., 5::2] += 0.1 * 48 / strides[:, None]
    found = detector.losses(Told(off), batch)
    assert float(found["points"].detach()) == pytest.approx(4 * (0.1 - 0.025) / 2, rel=1e-3)
    # What cells without a face say of boxes and points counts nothing, and gets no gradient.
    wild = raw.clone()
    wild[..., 1:][~positive] = 3.0
    network = Told(wild)
    losses = detector.losses(network, batch)
    assert float(losses["box"].detach()) == pytest.approx(0, abs=1e-4)
    sum(losses.values()).backward()
    assert torch.isfinite(network.said.grad).all()
    assert not network.said.grad[..., 1:][~positive].any()


def test_pictures_without_a_face_have_a_score_alone():
    recipe = detector_recipe(2)
    batch = {
        "image": torch.zeros(1, 3, 96, 96),
        "boxes": recipe.boxes[:1],
        "points": recipe.points[:1],
    }
    network = Told(torch.zeros(1, 144 + 36 + 9, 15))
    losses = detector.losses(network, batch)
    assert float(losses["box"].detach()) == float(losses["points"].detach()) == 0
    assert float(losses["score"].detach()) == pytest.approx(189 * 0.125 * np.log(2), rel=1e-4)
    sum(losses.values()).backward()
    assert torch.isfinite(network.said.grad).all()


def test_a_mirror_turns_boxes_and_swaps_points():
    recipe = detector_recipe(9)
    batch = {"image": recipe.frames, "boxes": recipe.boxes, "points": recipe.points}
    out = detector.augment(batch, torch.Generator().manual_seed(0))
    assert out["image"].shape == (9, 3, 96, 96)
    turned = [k for k in range(1, 9) if float(out["boxes"][k, 0, 0]) != 28.0]
    assert 0 < len(turned) < 8
    for k in turned:
        assert out["boxes"][k, 0].tolist() == [95 - 60, 24, 95 - 28, 72]
        assert out["points"][k, 0].tolist() == [
            [95 - 52, 40],
            [95 - 36, 40],
            [95 - 44, 50],
            [95 - 50, 60],
            [95 - 38, 60],
        ]
