"""Training on idle cores: what comes next, one at a time, stops and bounds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from train.runs import long_running, stages
from train.runs.long_run import main
from train.runs.long_running import (
    DIARY,
    LongRunError,
    check_room,
    comparison_table,
    locked,
    remove_old_pools,
    used_bytes,
    worker_of,
)
from train.runs.plan import EYES, PlanError, read_plan
from train.runs.stages import Places, next_stage

PLAN = {
    "domains": "lab",
    "seed": 5,
    "held_out_seed": 6,
    "held_out_rows": 2,
    "method": "erm",
    "settings": {"backbone": "eyes", "width": "16", "landmarks": "1", "batch": "2"},
    "generations": [{"rows": 3, "image_steps": 8}, {"rows": 4, "image_steps": 4}],
    "comparison": {
        "after": 0,
        "image_steps": 4,
        "variants": {"twin": {"backbone": "twin", "half": "true", "band": "true"}, "heat": {}},
        "seeds": {"heat": 2},
    },
}


@pytest.fixture
def plan_path(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN))
    return path


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many rows pools are said to have."""
    there: dict[str, int] = {}
    monkeypatch.setattr(
        stages, "missing_rows", lambda folder, wanted: max(wanted - there.get(folder.name, 0), 0)
    )
    return there


def finish(run: Path) -> None:
    run.mkdir(parents=True)
    (run / "model.safetensors").touch()
    (run / "held_out.json").write_text("{}")


def test_the_plan_that_ships_can_be_read_and_fits_its_bound(tmp_path):
    plan = read_plan(EYES)
    assert plan.recipe(0).backbone == "eyes"
    assert plan.recipe(0).steps * plan.recipe(0).batch == plan.generations[0].image_steps
    assert plan.recipe(1, Path("before")).init == "before"
    check_room(plan, Places(tmp_path), 20.0)
    with pytest.raises(LongRunError, match=r"the plan needs .* GB, and --most-gb is 1"):
        check_room(plan, Places(tmp_path), 1.0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"generations": []}, "expected one or more, growing"),
        ({"generations": [{"rows": 4, "image_steps": 1}, {"rows": 2, "image_steps": 1}]}, "grow"),
        ({"held_out_seed": 5}, "both 5"),
        ({"colour": "red"}, "is no plan"),
        ({"domains": "all,lab"}, "no domain 'all'"),
        ({"settings": {"hat": "1"}}, "no option 'hat'"),
        ({"comparison": PLAN["comparison"] | {"after": 2}}, "the comparison is after generation 2"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changed, said, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN | changed))
    with pytest.raises(PlanError, match=said):
        read_plan(path)


def test_stages_come_in_turn(plan_path, rows, tmp_path):
    plan, places = read_plan(plan_path), Places(tmp_path / "run")
    held_out, pool = places.held_out.name, places.pool.name
    stage = next_stage(plan, places)
    assert (stage.kind, stage.generation) == ("render", 0)
    assert "6" in stage.command[stage.command.index("--seed") + 1 :]
    rows[held_out] = 2
    rows[pool] = 1
    stage = next_stage(plan, places)
    assert stage.about == f"1 of 3 rows of {pool}"
    assert stage.command[stage.command.index("--size") + 1] == "4"
    rows[pool] = 3
    stage = next_stage(plan, places)
    assert (stage.kind, stage.generation) == ("train", 0)
    assert "steps=4" in stage.command
    assert not any("init=" in part for part in stage.command)
    assert f"pool:{places.pool}?first=3" in stage.command
    run = places.generation(0)
    run.mkdir(parents=True)
    (run / "model.safetensors").touch()
    assert next_stage(plan, places) == stage  # its figures are not there yet
    shutil.rmtree(run)
    finish(places.generation(0))
    for name, seed in (("twin", 0), ("heat", 0), ("heat", 1)):
        stage = next_stage(plan, places)
        assert (stage.kind, stage.about) == ("compare", f"{name}, seed {seed}")
        assert f"seed={seed}" in stage.command
        assert ("half=true" in stage.command) == (name == "twin")
        finish(stage.run)
    assert next_stage(plan, places).kind == "render"
    rows[pool] = 4
    stage = next_stage(plan, places)
    assert f"init={places.generation(0)}" in stage.command
    assert "steps=2" in stage.command
    finish(places.generation(1))
    assert next_stage(plan, places) is None


def test_the_table_says_mean_and_range(plan_path):
    lines = [
        {"run": "heat-0", "open_deg": 8.0, "iris_px": 1.5},
        {"run": "heat-1", "open_deg": 9.0, "iris_px": 1.5},
        {"run": "twin-0", "open_deg": 14.0},
    ]
    table = comparison_table(read_plan(plan_path), lines).splitlines()
    assert table[2].startswith("| twin | 1 | 14.00 |")
    assert table[3].startswith("| heat | 2 | 8.50 (8.00 to 9.00) |  | 1.50 (1.50 to 1.50) |")


def test_there_are_never_two_at_once(tmp_path):
    assert worker_of(tmp_path) is None
    with locked(tmp_path):
        assert worker_of(tmp_path) == os.getpid()
        with pytest.raises(LongRunError, match="is at work in"), locked(tmp_path):
            pass
    assert worker_of(tmp_path) is None


def test_a_killed_worker_holds_no_lock(tmp_path):
    source = (
        "import sys, time; from pathlib import Path; from train.runs.long_running import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert worker_of(tmp_path) == child.pid
        child.kill()
    assert worker_of(tmp_path) is None


def test_what_a_killed_worker_started_holds_the_lock_and_ends(tmp_path):
    source = (
        "import sys; from pathlib import Path; from train.runs import long_running as l\n"
        "waits = 'import time; print(1, flush=True); time.sleep(600)'\n"
        "with l.locked(Path(sys.argv[1])) as lock, l._Child(lock) as child:\n"
        "    child.run(['-c', waits])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"1\n"  # of the child
        assert worker_of(tmp_path) == worker.pid
        worker.kill()
        # The pipe closes when the child, which has it too, is gone.
        assert worker.stdout.read() == b""
    _wait(lambda: worker_of(tmp_path) is None, 10)


def test_nothing_left_to_do_is_no_failure(plan_path, rows, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CLIPGAZE_FACEKIT", str(tmp_path))
    folder = tmp_path / "run"
    places = Places(folder)
    for number in range(2):
        finish(places.generation(number))
    for name, seed in (("twin", 0), ("heat", 0), ("heat", 1)):
        finish(places.compared(name, seed))
    assert main(["start", "--folder", str(folder), "--plan", str(plan_path)]) == 0
    assert "at work in" in (told := capsys.readouterr().out) or "nothing is left" in told


def test_pools_of_other_renderers_go(tmp_path):
    places = Places(tmp_path)
    for path in (places.pool, places.held_out, tmp_path / "pool-v0", tmp_path / "generation-v0-1"):
        path.mkdir()
        (path / "file").write_bytes(b"x" * 5000)
    assert used_bytes(tmp_path) >= 20_000
    assert remove_old_pools(places) == ["pool-v0"]
    assert {p.name for p in tmp_path.iterdir()} == {
        places.pool.name,
        places.held_out.name,
        "generation-v0-1",
    }


def test_a_failed_stage_ends_the_run_and_is_noted(plan_path, monkeypatch, capsys, tmp_path):
    failing = stages.Stage("render", 0, ["-c", "raise SystemExit(3)"], "nothing", tmp_path)
    monkeypatch.setattr(long_running, "next_stage", lambda plan, places: failing)
    monkeypatch.setattr(long_running, "_be_modest", lambda: None)
    folder = tmp_path / "run"
    assert main(["work", "--folder", str(folder), "--plan", str(plan_path)]) == 1
    lines = [json.loads(line) for line in (folder / DIARY).read_text().splitlines()]
    assert [line["event"] for line in lines] == ["begin", "render", "failed"]
    assert lines[-1]["code"] == 3
    assert main(["status", "--folder", str(folder), "--plan", str(plan_path)]) == 0
    told = capsys.readouterr().out
    assert "failed (code 3, stage render)" in told
    assert "output.txt says why" in told


def test_it_does_not_start_without_a_face_model(plan_path, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("CLIPGAZE_FACEKIT", raising=False)
    folder = tmp_path / "run"
    assert main(["start", "--folder", str(folder), "--plan", str(plan_path)]) == 2
    assert "CLIPGAZE_FACEKIT is not set" in capsys.readouterr().err
    assert main(["stop", "--folder", str(folder)]) == 0
    assert "no long run is at work" in capsys.readouterr().out


@pytest.mark.slow
def test_it_renders_trains_stops_and_goes_on(
    plan_path, facekit_folder, monkeypatch, capsys, tmp_path
):
    """The whole of it: started, stopped in the midst, started again, and finished."""
    monkeypatch.setenv("CLIPGAZE_FACEKIT", str(facekit_folder))
    folder = tmp_path / "run"
    given = ["--folder", str(folder), "--plan", str(plan_path)]
    assert main(["start", *given]) == 0
    _wait(lambda: _events(folder)[-1:] == ["train"] or "failed" in _events(folder))
    assert main(["start", *given]) == 2
    assert "at work in" in capsys.readouterr().err
    assert main(["stop", *given]) == 0
    assert worker_of(folder) is None
    assert _events(folder)[-1] == "stop"
    assert main(["start", *given]) == 0
    _wait(lambda: _events(folder)[-1] in ("end", "failed"))
    events = _events(folder)
    assert events[-1] == "end", (folder / "output.txt").read_text()[-2000:]
    assert events.count("generation") == 2
    assert events.count("compared") == 3
    main(["status", *given])
    told = capsys.readouterr().out
    assert "generation 1: finished, 4 of 4 images" in told
    assert "| heat | 2 |" in told
    assert "generation 1, people never trained on: held_out_deg" in told


def _events(folder: Path) -> list[str]:
    path = folder / DIARY
    return (
        [json.loads(line)["event"] for line in path.read_text().splitlines()]
        if path.is_file()
        else []
    )


def _wait(done, seconds: float = 400.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_sigterm_asks_loops_to_stop():
    from train.loop import stopping

    assert not stopping.asked()
    with stopping.on_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        assert stopping.asked()
    assert not stopping.asked()
