"""Probes of features made by hand, and verdicts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="training tests need the extra [train]")
pytest.importorskip("sklearn", reason="training tests need the extra [train]")

from clipgaze_sdk.geometry import vector_from_angles
from tests.train.fake_runs import dots, fake_run
from train.data.samples import UNKNOWN
from train.eval import claims, features
from train.eval.feature_plots import placed, told
from train.eval.probes import (
    ProbeError,
    factor_probe,
    gaze_probe,
    order_of,
    split_people,
    spread_of,
)
from train.eval.protocol import ProtocolError
from train.eval.verdicts import check_claims, markdown, probed, read_metrics, verdicts
from train.factors import FACTORS
from train.gaze.checkpoints import load_model
from train.loop.weight_cards import write_weights

PEOPLE, PICTURES = 40, 20


@pytest.fixture(scope="module")
def world():
    """Gaze, one factor of people and one of pictures, and noise."""
    rng = np.random.default_rng(0)
    count = PEOPLE * PICTURES
    person = np.repeat(np.arange(PEOPLE), PICTURES)
    gaze = rng.uniform(-0.4, 0.4, (count, 2))
    factors = np.stack([rng.integers(0, 2, PEOPLE)[person], rng.random(count) < 0.3], 1)
    return person, gaze, factors.astype(np.uint8), rng.normal(size=(count, 12))


def test_people_are_kept_apart(world):
    split = split_people(world[0])
    assert not set(world[0][split.fit]) & set(world[0][split.test])
    assert (split.fit | split.test).all()
    assert (split.choose <= split.fit).all()
    with pytest.raises(ProbeError, match="at least 4 people"):
        split_people(np.array([0, 1, 2]))


def test_factors_that_are_there_are_found_however_faint(world):
    person, _, factors, noise = world
    split = split_people(person)
    x = np.hstack([noise, 1e-4 * factors + 5.0])
    found = factor_probe(x, factors, split, ("one", "two"))["factors"]
    assert found["one"] > 0.99
    assert found["two"] > 0.99


def test_factors_that_are_not_there_are_not(world):
    person, _, factors, noise = world
    split = split_people(person)
    assert 0.4 < factor_probe(noise, factors, split, ("one", "two"))["balanced"] < 0.6
    constant = np.ones((len(person), 3))
    assert factor_probe(constant, factors, split, ("one", "two"))["factors"]["two"] == 0.5


def test_what_only_tells_people_by_heart_does_not_pass(world):
    person, _, factors, _ = world
    by_heart = np.eye(PEOPLE)[person]
    found = factor_probe(by_heart, factors[:, :1], split_people(person), ("one",))
    assert found["balanced"] < 0.65


def test_unknown_and_rare_factors_are_left_out(world):
    person, _, factors, noise = world
    hidden = factors.copy()
    hidden[:, 0] = UNKNOWN
    hidden[:, 1] = 0
    hidden[:5, 1] = 1
    assert factor_probe(noise, hidden, split_people(person), ("one", "two"))["balanced"] is None


def test_gaze_is_told_from_features_that_hold_it(world):
    person, gaze, _, noise = world
    split = split_people(person)
    assert gaze_probe(np.hstack([noise, vector_from_angles(gaze)]), gaze, split) < 0.2
    assert gaze_probe(noise, gaze, split) > 10


def test_spread():
    rng = np.random.default_rng(1)
    assert spread_of(np.ones((9, 4)))["mean_cosine"] == pytest.approx(1)
    wide = spread_of(rng.normal(size=(4000, 8)))
    assert abs(wide["mean_cosine"]) < 0.01
    assert wide["effective_rank"] == pytest.approx(8, abs=0.1)
    line = spread_of(rng.normal(size=(100, 1)) * np.arange(1.0, 5.0))
    assert line["effective_rank"] == pytest.approx(1, abs=1e-6)
    two = np.array([[1.0, 0], [0, 1.0]])
    assert spread_of(two)["mean_cosine"] == pytest.approx(0)


def test_order(world):
    _, gaze, _, noise = world
    assert order_of(vector_from_angles(gaze), gaze) == pytest.approx(1)
    assert abs(order_of(noise, gaze)) < 0.05


def run_figures(before, after, gaze=(5.0, 5.0), cosine=0.3, rank=6.0, rho=0.5):
    def part(balanced, error):
        return {
            "factors": {"balanced": balanced},
            "gaze_deg": error,
            "spearman": rho,
            "mean_cosine": cosine,
            "effective_rank": rank,
        }

    return {"f": part(before, gaze[0]), "f_re": part(after, gaze[1])}


def test_verdicts_hold_where_they_should():
    good = [run_figures(0.75, 0.65), run_figures(0.74, 0.66)]
    without = [run_figures(0.75, 0.74, rho=0.4)] * 2
    found = verdicts(good, without, without)
    assert [v.passed for v in found] == [True] * 5
    assert "0.745 ± 0.007 → 0.655 ± 0.007" in found[0].measured


@pytest.mark.parametrize(
    ("bad", "number"),
    [
        (run_figures(0.75, 0.745), 0),
        (run_figures(0.75, 0.6, gaze=(5.0, 5.2)), 1),
        (run_figures(0.75, 0.6, cosine=0.99), 3),
        (run_figures(0.75, 0.6, rank=1.2), 3),
    ],
)
def test_verdicts_fail_where_they_should(bad, number):
    found = verdicts([run_figures(0.75, 0.6), bad])
    assert found[number].passed is False
    assert found[2].passed is None
    assert "**does not hold**" in markdown(found)


def prompt_figures(*values):
    return {"balanced": {"mean": float(np.mean(values)), "std": None, "runs": list(values)}}


def test_prompts_are_compared_seed_by_seed():
    metrics = {
        "hand": prompt_figures(0.6, 0.6),
        "coop": prompt_figures(0.66, 0.72),
        "shuffled": prompt_figures(0.65, 0.65),
        "pco": prompt_figures(0.7, 0.7),
    }
    found = verdicts([run_figures(0.7, 0.6)], prompts=metrics)[5:]
    assert [v.passed for v in found] == [True, False, True]


def test_metrics_of_prompt_tuning(tmp_path):
    with pytest.raises(ProtocolError, match=r"holds no metrics\.json"):
        read_metrics(tmp_path)
    path = tmp_path / "metrics.json"
    path.write_text("{}")
    with pytest.raises(ProtocolError, match="damaged"):
        read_metrics(tmp_path)
    path.write_text(json.dumps(prompt_figures(0.7) | {"kind": "pco", "seeds": [0]}))
    each = {f.name: {"balanced": 0.8 if f.scope == "identity" else 0.6} for f in FACTORS}
    (tmp_path / "seed0").mkdir()
    (tmp_path / "seed0" / "metrics.json").write_text(json.dumps({"test": {"factors": each}}))
    assert read_metrics(tmp_path)["of_identity"]["mean"] == pytest.approx(0.8)


def test_runs_are_probed_and_drawn(tmp_path, capsys):
    data = dots(tmp_path / "dots", people=16, pictures=8)
    run = fake_run(tmp_path / "run")
    found, figures = check_claims(probed(data, 120), {"main": [run]})
    assert figures["runs"]["main"][0]["images"] == 120
    assert set(figures["runs"]["main"][0]["f"]["factors"]["factors"]) <= {f.name for f in FACTORS}
    assert len(found) == 5
    spec = f"rendered:{tmp_path}/dots"
    plain = ["--data", spec, "--workers", "0", "--device", "cpu"]
    assert claims.main(["--run", str(run), *plain, "--out", str(tmp_path / "out")]) in (0, 1)
    assert "a linear probe" in (tmp_path / "out" / "claims.md").read_text()
    assert claims.main(["--run", str(run), *plain, "--prompts", "best=x"]) == 2
    assert "--prompts best=x" in capsys.readouterr().err
    picture = tmp_path / "few.png"
    few = ["--run", str(run), *plain, "--most", "20", "--out", str(picture)]
    assert features.main([*few, "--factor", "glasses"]) == 0
    assert picture.stat().st_size > 10_000
    assert features.main([*few, "--factor", "glases"]) == 2
    assert "did you mean glasses" in capsys.readouterr().err


def test_places_in_the_plane():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.eye(3), 30, 0) + rng.normal(size=(90, 3)) * 0.01
    place, by = placed(groups)
    assert by == "t-SNE"
    middles = place.reshape(3, 30, 2).mean(1)
    apart = np.linalg.norm(middles[0] - middles[1])
    assert apart > 3 * place.reshape(3, 30, 2).std(1).max()
    place, by = placed(groups[:3])
    assert (by, place.shape) == ("main components", (3, 2))


@pytest.mark.parametrize("value", [1.0, 0.0])
def test_collapsed_features_are_drawn_and_said(value):
    """t-SNE of these ended the process with a segmentation fault."""
    place, by = placed(np.full((60, 8), value))
    assert by == "main components"
    assert np.isfinite(place).all()
    assert told(np.full((60, 8), value)).startswith("collapsed, all images have one feature")
    rng = np.random.default_rng(0)
    near = np.ones((60, 8)) + 0.05 * rng.normal(size=(60, 8))
    assert told(near).startswith("nearly collapsed (mean cosine 0.99")
    line = np.outer(np.linspace(-1, 1, 60), np.ones(8)) + 1e-3 * rng.normal(size=(60, 8))
    assert "nearly collapsed" in told(line)
    assert "collapsed" not in told(rng.normal(size=(60, 8)))


@pytest.mark.parametrize("broken", [False, True])
def test_a_collapsed_run_is_drawn_with_what_is_wrong(broken, tmp_path, capsys):
    run = fake_run(tmp_path / "run")
    model = load_model(run)
    with torch.no_grad():
        model.separator[2].weight.zero_()
        if broken:
            model.separator[2].bias.fill_(float("nan"))
    card = json.loads((run / "model.json").read_text())
    write_weights(run, "model", model.state_dict(), card)
    dots(tmp_path / "dots", people=15, pictures=4)
    words = ["--run", str(run), "--data", f"rendered:{tmp_path / 'dots'}", "--workers", "0"]
    code = features.main([*words, "--out", str(tmp_path / "x.png"), "--device", "cpu"])
    said = capsys.readouterr()
    if broken:
        assert code == 2
        assert "0 of 60 images have finite features" in said.err
    else:
        assert code == 0
        assert "f_re, after M: collapsed, all images have one feature" in said.out
        assert (tmp_path / "x.png").stat().st_size > 5000
