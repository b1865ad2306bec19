"""Networks, losses, the loop, and the way from a checkpoint into the SDK."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from clipgaze_sdk import GazeEstimator, ModelError
from clipgaze_sdk.geometry import vector_from_angles
from clipgaze_sdk.kernels import decode_detections
from export.conversion import TASKS, export, write_card
from train import gaze
from train.front import detector, landmarks
from train.front.mean import mean
from train.front.networks import STRIDES, GazeNetwork, LandmarkNetwork
from train.loop.simple import LoopOptions, load_average, train
from train.synth.outputs.disturb import noisy_landmarks


def test_output_names_and_shapes():
    out = GazeNetwork(8).eval()(torch.zeros(2, 3, 96, 224))
    assert {k: tuple(v.shape) for k, v in out.items()} == {"pitch_yaw": (2, 2), "log_sigma": (2,)}
    out = LandmarkNetwork(8).eval()(torch.zeros(2, 3, 128, 128))
    assert out["points"].shape == (2, 70, 2)
    assert out["openness"].shape == (2, 2)
    assert out["presence"].shape == (2,)


def test_uncertainty_does_not_touch_the_gaze():
    model = GazeNetwork(8)
    model(torch.randn(4, 3, 96, 224))["log_sigma"].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.body.parameters())
    assert model.sigma[0].weight.grad.abs().sum() > 0


def test_vectors_and_angles_agree_with_the_sdk():
    labels = torch.randn(50, 2, generator=torch.Generator().manual_seed(1)) * 0.5
    ours = gaze.vector(labels).numpy()
    assert ours == pytest.approx(vector_from_angles(labels.numpy()), abs=1e-6)
    straight = torch.tensor([[0.0, 0.0, -1.0]])
    assert float(gaze.angle(straight, straight)) == pytest.approx(0, abs=1e-5)
    assert float(gaze.angle(straight, -straight)) == pytest.approx(np.pi, abs=1e-5)
    same = straight.clone().requires_grad_()
    gaze.angle(same, straight).sum().backward()
    assert torch.isfinite(same.grad).all()


def test_gaze_mirror_negates_yaw():
    crops = torch.randint(0, 255, (64, 96, 224, 3), dtype=torch.uint8)
    labels = torch.tensor([[0.1, 0.3]]).repeat(64, 1)
    _, turned = gaze.augment(crops, labels, torch.Generator().manual_seed(0))
    assert set(turned[:, 1].sign().tolist()) == {-1.0, 1.0}
    assert torch.equal(turned[:, 0], labels[:, 0])
    assert torch.equal(turned[:, 1].abs(), labels[:, 1])


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
    images, moved, _, _, present = landmarks.augment(
        crops, points, seen, torch.zeros(24, 2), generator, poor_boxes=poor_boxes
    )
    checked = 0
    for image, point, there in zip(images, moved, present, strict=True):
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
        given = crops, middle, seen, torch.zeros(400, 2), generator
        _, moved, _, _, present = landmarks.augment(*given, poor_boxes=share)
        return moved[present][:, 0].norm(dim=1), present

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
    _, moved, shown, _, present = landmarks.augment(
        crops, points, seen, torch.zeros(40, 2), generator
    )
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
    batch = images, points, seen, torch.zeros(4, 2), present
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


def test_noise_on_landmarks_is_small_and_there():
    marks = np.random.default_rng(0).uniform(0, 100, (68, 2))
    moved = noisy_landmarks(np.random.default_rng(1), marks)
    shift = np.linalg.norm(moved - marks, axis=1)
    assert 0 < shift.mean() < 12


def small_run(folder, steps, total):
    """``steps`` steps of a schedule of ``total``."""

    def batch_of(generator):
        return torch.randn(8, 4, generator=generator), torch.randn(8, 1, generator=generator)

    def losses(model, batch):
        done.append(1)
        if len(done) > steps:
            raise KeyboardInterrupt
        return {"square": (model(batch[0]).float() - batch[1]).square().mean()}

    done: list[int] = []
    torch.manual_seed(5)
    model = torch.nn.Linear(4, 1)
    options = LoopOptions(folder, total, batch=8, threads=1)
    try:
        return train(model, batch_of, losses, options)
    except KeyboardInterrupt:
        return None


def test_a_killed_run_goes_on_exactly(tmp_path, monkeypatch):
    whole = small_run(tmp_path / "whole", 99, 6)
    monkeypatch.setattr("train.loop.simple.SAVE_EVERY_S", -1.0)  # a checkpoint at every step
    assert small_run(tmp_path / "parts", 3, 6) is None
    resumed = small_run(tmp_path / "parts", 99, 6)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The three networks with random weights, exported with cards."""
    folder = tmp_path_factory.mktemp("models")
    for name, task in TASKS.items():
        run = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        torch.save({"average": task.model().state_dict()}, run / "checkpoint.pt")
        (run / "log.jsonl").write_text('{"step": 0}\n')
        path = export(name, run, folder)
        write_card(name, path, run, trained_on="nothing", command="none", seed=0)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_exported_networks_run_in_the_sdk(exported):
    with GazeEstimator(exported) as estimator:
        result = estimator.estimate(np.zeros((240, 320, 3), np.uint8))
    assert result.image_size_px == (320, 240)
    card = json.loads((exported / "gaze.json").read_text())
    assert card["outputs"][0] == {"name": "pitch_yaw", "dtype": "float32", "shape": ["batch", 2]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_card_of_other_weights_is_refused(exported, tmp_path):
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "gaze.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="SHA-256"):
        GazeEstimator(tmp_path)


def test_average_loads_without_pickle(tmp_path):
    torch.save({"average": GazeNetwork(8).state_dict()}, tmp_path / "checkpoint.pt")
    assert not load_average(GazeNetwork(8), tmp_path).training


def test_the_mean_of_two_runs(tmp_path):
    for name, value in (("a", 1.0), ("b", 3.0)):
        (tmp_path / name).mkdir()
        average = {"weight": torch.full((2,), value), "count": torch.tensor(4)}
        torch.save({"average": average}, tmp_path / name / "checkpoint.pt")
    path = mean([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    found = torch.load(path, weights_only=True)["average"]
    assert found["weight"].tolist() == [2.0, 2.0]
    assert found["count"] == 4
    (tmp_path / "d").mkdir()
    torch.save({"average": {"weight": torch.zeros(3)}}, tmp_path / "d" / "checkpoint.pt")
    with pytest.raises(ValueError, match="another network"):
        mean([tmp_path / "a", tmp_path / "d"], tmp_path / "e")
    with pytest.raises(ValueError, match="at least 2"):
        mean([tmp_path / "a"], tmp_path / "e")
