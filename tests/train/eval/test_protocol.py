"""The protocol: errors by hand, bins, seeds, last epochs, and what is refused."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("lightning", reason="training tests need the extra [train]")
pytest.importorskip("matplotlib", reason="training tests need the extra [train]")

from tests.train.fake_runs import dots, fake_run
from train.eval import assess as command
from train.eval.protocol import (
    ProtocolError,
    assess,
    errors_deg,
    figures,
    grid,
    predict,
    rings,
    same_but_seed,
    spearman,
    spread,
    trivial,
    uncertainty,
)
from train.eval.protocol_report import cell, markdown, table, write_heat_map
from train.gaze.checkpoints import load_model

RAD = np.pi / 180


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dots(tmp_path_factory.mktemp("dots"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [fake_run(folder / f"seed{s}", seed=s, epochs=2) for s in (0, 1)]


def test_errors_are_angles_between_directions():
    predicted = np.array([[0, 0], [0, 90], [30, 0], [0, 179], [0.001, 0]]) * RAD
    truth = np.array([[0, 0], [0, 0], [0, 0], [0, -179], [0, 0]]) * RAD
    assert errors_deg(predicted, truth) == pytest.approx([0, 90, 30, 2, 0.001], abs=1e-9)


def test_errors_keep_unknown_rows_and_refuse_other_shapes():
    predicted = np.array([[0.1, 0.2], [np.nan, 0]])
    assert np.isnan(errors_deg(predicted, np.zeros((2, 2)))).tolist() == [False, True]
    with pytest.raises(ProtocolError, match=r"\(2, 2\).*\(3, 2\)"):
        errors_deg(predicted, np.zeros((3, 2)))


def test_grid_counts_every_image_in_its_cell():
    angles = np.array([[1, 1], [2, 3], [-1, 1], [10, 12]], np.float32) * RAD
    found = grid(angles, np.array([2.0, 4.0, 5.0, 7.0]))
    assert found["pitch_edges_deg"] == [-10, 0, 10, 20]
    assert found["yaw_edges_deg"] == [0, 10, 20]
    assert found["mean_deg"] == [[5.0, None], [3.0, None], [None, 7.0]]
    assert found["images"] == [[1, 0], [2, 0], [0, 1]]
    assert grid(np.full((2, 2), np.nan), np.ones(2)) is None


def test_rings_are_of_the_angle_from_the_line_of_sight():
    angles = np.array([[0, 5], [12, 0], [0, -15], [0, 170]]) * RAD
    found = rings(angles, np.array([1.0, 2.0, 4.0, 8.0]), (0, 10, 20, 180))
    assert found["0 to 10"] == {"mean_deg": 1.0, "images": 1}
    assert found["10 to 20"] == {"mean_deg": 3.0, "images": 2}
    assert found["20 to 180"] == {"mean_deg": 8.0, "images": 1}


def test_figures_count_images_and_people():
    labels = {
        "gaze": np.zeros((4, 2)),
        "head": np.full((4, 2), np.nan),
        "person": np.array([0, 0, 0, 1]),
    }
    found = figures(np.array([1.0, 2.0, 3.0, 10.0]), labels, ("a", "b", "nobody"))
    assert found["mean_deg"] == 4.0
    assert found["mean_of_people_deg"] == 6.0
    assert found["per_person"] == {
        "a": {"mean_deg": 2.0, "images": 3},
        "b": {"mean_deg": 10.0, "images": 1},
    }
    assert found["by_head"] is None
    assert found["by_head_angle"] == {}
    with pytest.raises(ProtocolError, match="no image"):
        figures(np.full(4, np.nan), labels, ("a", "b"))


def test_spread_and_spearman():
    assert spread([1.0, 3.0]) == {"mean": 2.0, "std": pytest.approx(2**0.5), "values": [1.0, 3.0]}
    assert spread([5.0])["std"] is None
    assert spread([])["mean"] is None
    assert spearman(np.array([1, 2, 3, 10]), np.array([0, 5, 6, 7])) == pytest.approx(1)
    assert spearman(np.array([1, 2, 3]), np.array([3, 2, 1])) == pytest.approx(-1)
    assert spearman(np.ones(3), np.arange(3)) is None


def test_trivial_answers_and_uncertainty():
    labels = {"gaze": np.array([[0, -10], [0, 10]]) * RAD, "head": np.zeros((2, 2))}
    found = trivial(labels)
    assert found["always_the_mean_gaze_deg"] == pytest.approx(10)
    assert found["head_as_gaze_deg"] == pytest.approx(10)
    told = uncertainty(np.array([3.0, 4.0]), np.log(np.array([3.0, 4.0]) * RAD))
    assert told["rank_correlation"] == pytest.approx(1)
    assert told["stated_deg"] == pytest.approx(told["found_deg"]) == pytest.approx(12.5**0.5)


def test_predictions_are_the_models_own_in_order(data, runs):
    model = load_model(runs[0])
    said = predict(model, data, batch=7, features=True)
    whole = predict(model, data, batch=100)
    assert said.gaze == pytest.approx(whole.gaze, abs=1e-4)
    assert said.f.shape == said.f_re.shape == (len(data), 16)
    assert said.log_sigma.shape == (len(data),)
    last = model(data[len(data) - 1]["image"][None]).gaze.detach().numpy()[0]
    assert said.gaze[-1] == pytest.approx(last, abs=1e-4)


class WithoutOne:
    """Its third picture cannot be read: the fourth stands in, as data sets do."""

    def __init__(self, data):
        self.data, self.name, self.people = data, data.name, data.people
        self.problems = ["shard 7, row 3: broken"]

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.data[index + (index == 2)]

    def labels(self):
        return self.data.labels()

    def signature(self):
        return self.data.signature()


def test_no_picture_counts_twice(data, runs):
    broken = WithoutOne(data)
    said = predict(load_model(runs[0]), broken)
    assert np.isnan(said.gaze).all(1).nonzero()[0].tolist() == [2]
    with pytest.raises(ProtocolError, match=r"1 of 24 images.*shard 7, row 3.*--allow-broken"):
        assess(runs[:1], broken)
    found = assess(runs[:1], broken, allow_broken=True, last_epochs=False)
    assert (found["images"], found["not_measured"]) == (23, 1)
    assert "1 images could not be read" in markdown(found)


def test_seeds_and_last_epochs_are_averaged(data, runs):
    found = assess(runs, data)
    gaze = data.labels()["gaze"]

    def mean(run, name):
        return errors_deg(predict(load_model(run, name), data).gaze, gaze).mean()

    ends = [mean(run, "model") for run in runs]
    assert found["error_deg"]["mean"] == pytest.approx(np.mean(ends))
    assert found["error_deg"]["std"] == pytest.approx(np.std(ends, ddof=1))
    epochs = [[mean(run, f"epoch-00{k}") for k in (1, 2)] for run in runs]
    assert found["last_epochs_deg"]["mean"] == pytest.approx(np.mean(epochs))
    within = found["last_epochs_deg"]["within"]["seed0"]
    assert within == pytest.approx(np.std(epochs[0], ddof=1))
    assert found["mean_deg"] == pytest.approx(np.mean(ends))
    assert sum(p["images"] for p in found["per_person"].values()) == len(data)
    assert not found["seen_in_training"]


def test_only_seeds_of_one_configuration_are_averaged(runs, tmp_path):
    assert [card["seed"] for card in same_but_seed(runs)] == [0, 1]
    other = fake_run(tmp_path / "other", seed=3, method="clip_gaze_minus")
    with pytest.raises(ProtocolError, match="prompts: began with 'pco', now 'hand'"):
        same_but_seed([runs[0], other])
    with pytest.raises(ProtocolError, match="occur twice"):
        same_but_seed([runs[0], runs[0]])
    with pytest.raises(ProtocolError, match=r"not a finished run.*nothing"):
        same_but_seed([tmp_path / "nowhere"])


def test_tables():
    assert cell(None) == "–"
    assert cell(6.414, 0.125) == "6.41 ± 0.12"
    assert table(("a", "b"), [("x", "1")]) == "| a | b |\n|---|---:|\n| x | 1 |"


def test_the_command_writes_figures_and_pictures(data, runs, tmp_path, capsys):
    spec = f"rendered:{data.files()[0].parent}"
    given = ["--run", *map(str, runs), "--data", spec, "--workers", "0", "--device", "cpu"]
    assert command.main([*given, "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())[spec]
    assert f"{report['error_deg']['mean']:.2f}" in capsys.readouterr().out
    text = (tmp_path / "report.md").read_text()
    assert "mean of the last 2 epochs" in text
    picture = next(tmp_path.glob("heat-*.png"))
    assert f"({picture.name})" in text
    assert cv2.imread(str(picture)).std() > 10
    assert command.main([*given[:-4], "rendered:/nowhere", "--out", str(tmp_path)]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_both_plots_of_angles_run_the_same_way(tmp_path, monkeypatch):
    """What looks to the image's left has a positive yaw, and is drawn on the left."""
    from matplotlib.figure import Figure

    from train.data.check import write_scatter

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    angles = np.radians(np.array([[5.0, 30.0], [-5.0, 30.0], [0.0, -20.0]], np.float32))
    write_scatter({"gaze": angles, "head": angles}, tmp_path / "angles.png")
    errors = np.array([4.0, 5.0, 6.0])
    report = {"by_gaze": grid(angles, errors), "by_head": grid(angles, errors)}
    write_heat_map(report, tmp_path / "heat.png")
    for figure in drawn:
        for axes in figure.axes[:2]:
            figure.draw_without_rendering()
            left, right = (axes.transData.transform((yaw, 0.0))[0] for yaw in (30.0, -20.0))
            assert left < right
            assert axes.get_xlabel() == "yaw [°], positive to the image's left"
            low, high = (axes.transData.transform((0.0, pitch))[1] for pitch in (-5.0, 5.0))
            assert low < high
    assert len(drawn) == 2
