"""What a run's states say of more training."""

from __future__ import annotations

import pytest

from tests.train.fake_runs import dots
from train.eval import learning_curve
from train.eval.error_by_steps import Point, logged, slope, state_model
from train.gaze.fitting import train_one
from train.gaze.recipes import changed, find_recipe
from train.loop.training_loop import RunOptions

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.*"),
]


def test_a_power_law_is_found_again():
    points = [Point(n, 20.0 * (n / 1000) ** -0.25) for n in (1000, 2000, 4000, 8000)]
    exponent, factor = slope(points)
    assert exponent == pytest.approx(-0.25)
    assert factor * 16000**exponent == pytest.approx(10.0)
    with pytest.raises(ValueError, match="at least 2"):
        slope(points[:1])


def test_it_measures_and_plots_a_run(tmp_path, capsys):
    source = dots(tmp_path / "dots")
    settings = {"backbone": "small", "width": "16", "band": "true", "batch": "4", "steps": "4"}
    quiet = RunOptions(accelerator="cpu", progress=False, tensorboard=False, log_every=2)
    train_one(changed(find_recipe("erm"), settings), source, tmp_path / "run", options=quiet)
    steps, errors = logged(tmp_path / "run")
    assert steps.tolist() == [8, 16]
    assert (errors > 0).all()
    model, seen = state_model(tmp_path / "run" / "state.safetensors")
    assert seen == 16
    assert not model.training
    arguments = ["--run", str(tmp_path / "run"), "--data", f"rendered:{tmp_path / 'dots'}"]
    arguments += ["--out", str(tmp_path / "curve.png")]
    assert learning_curve.main(arguments) == 0
    assert "16 image-steps" in capsys.readouterr().out
    assert (tmp_path / "curve.png").stat().st_size > 5000
