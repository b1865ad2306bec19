"""The ablation: its plan, its tables, what it refuses, and the whole path on dots."""

from __future__ import annotations

import json
import os

import pytest

pytest.importorskip("lightning", reason="training tests need the extra [train]")
pytest.importorskip("open_clip", reason="training tests need the extra [train]")
pytest.importorskip("matplotlib", reason="training tests need the extra [train]")

from tests.train.fake_runs import dots
from train.ablation import runs as ablation_runs
from train.ablation.__main__ import main
from train.ablation.dots import write_dots
from train.ablation.plan import FULL, MAIN, PRESETS, WITHOUT_RANK, WITHOUT_SEPARATE, make_plan
from train.ablation.report import HELD_OUT, error_table, means, published, published_table, shared
from train.ablation.runs import AblationError, label_of, locked, some_people, specs_below
from train.gaze.recipes import changed, find_recipe


def test_the_plan_has_the_papers_tables():
    variants, tables = make_plan(PRESETS["report"])
    assert [t.title for t in tables] == ["Methods", "Losses", "Prompts", "Dimensions of factors"]
    assert [len(t.lines) for t in tables] == [5, 8, 5, 7]
    assert {line.variant for t in tables for line in t.lines} == set(variants)
    assert {FULL, WITHOUT_SEPARATE, WITHOUT_RANK, *MAIN} <= set(variants)
    assert variants[WITHOUT_SEPARATE].settings == {"separate": "0"}
    assert tables[1].lines[0].cells == ("✓", "", "", "")
    assert tables[1].lines[-1].variant == FULL
    for variant in variants.values():
        for preset in PRESETS.values():
            changed(find_recipe(variant.recipe), {**preset.recipe, **variant.settings})


def test_tries():
    variants, tables = make_plan(PRESETS["smoke"], ["weak=clip_gaze,separate=0.1,rank=0.5"])
    assert variants["try-weak"].settings == {"separate": "0.1", "rank": "0.5"}
    assert tables[-1].lines[0].cells[0] == "weak"
    with pytest.raises(ValueError, match="NAME=METHOD"):
        make_plan(PRESETS["smoke"], ["weak=nothing"])


def test_published_figures_stand_only_beside_the_same_data():
    assert published("clip_gaze", "E→M") == 6.41
    assert published("cdg", "G→D") == 7.27
    assert published("erm", "E→D") == 7.74
    assert published("clip_gaze_minus", "E→M") is None
    assert published("clip_gaze", "lab→laptop") is None
    assert "None of the tables" in published_table(["lab→laptop"])
    assert "Columns E→M" in published_table(["E→M"])


def result(seed, value, *, target="E→M"):
    spread = {"mean": value, "std": None, "values": [value]}
    figures = {"error_deg": spread, "last_epochs_deg": None, "mean_deg": value}
    return {"seed": seed, "data": {target: figures, HELD_OUT: figures}}


def test_tables_average_over_the_seeds_that_all_lines_have():
    _, tables = make_plan(PRESETS["smoke"])
    results = {FULL: [result(0, 6.0), result(1, 8.0)], "erm": [result(0, 7.0), result(1, 9.0)]}
    text = error_table(tables[0], results, ["E→M"])
    assert "| **CLIP-Gaze** | 7.00 ± 1.41 | 6.41 | 7.00 ± 1.41 | 7.00 ± 1.41 | 2 |" in text
    assert "| CDG | – | 6.73 | – | – | 0 |" in text
    results[WITHOUT_RANK] = [result(0, 6.5)]
    assert len(shared(tables[1], results)[FULL]) == 1
    assert "| ✓ | ✓ | ✓ | ✓ | 6.00 |" in error_table(tables[1], results, ["E→M"])
    assert means(results, "erm", ["E→M"]) == [7.0, 9.0]


def test_names_of_data(tmp_path):
    assert label_of("eth_xgaze:/data/xgaze") == "E"
    assert label_of(f"rendered:{tmp_path}/laptop?strict=1") == "laptop"


def test_folders_of_data(tmp_path):
    write_dots(tmp_path / "lab", people=1, pictures=1)
    with pytest.raises(AblationError, match="lab; expected `source`"):
        specs_below(tmp_path)
    write_dots(tmp_path / "source-a", people=1, pictures=1)
    write_dots(tmp_path / "source-b", people=1, pictures=1)
    sources, targets = specs_below(tmp_path)
    assert [s.rpartition("/")[2] for s in sources] == ["source-a", "source-b"]
    assert targets == (f"rendered:{tmp_path}/lab",)


def test_some_people_are_whole(tmp_path):
    data = dots(tmp_path / "dots", people=6, pictures=4)
    some = some_people(data, 10)
    assert (len(some), len(some.people)) == (12, 3)
    assert some_people(data, 0) is data


def test_a_lock_is_one_processs(tmp_path):
    pytest.importorskip("fcntl", reason="locks are the system's")
    with locked(tmp_path / "a") as first, locked(tmp_path / "a", wait=False) as second:
        assert (first, second) == (True, False)
    with locked(tmp_path / "a", wait=False) as again:
        assert again


def refused(arguments, capsys):
    assert main(arguments) == 2
    return capsys.readouterr().err


def test_what_is_refused_before_anything_runs(tmp_path, capsys):
    out = ["--preset", "report", "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert "no data" in refused(out, capsys)
    write_dots(tmp_path / "data" / "source", people=4, pictures=1, seed=1)
    write_dots(tmp_path / "data" / "lab", people=4, pictures=1, seed=1)
    data = ["--data", str(tmp_path / "data")]
    assert "no CLIP" in refused([*out, *data], capsys)
    assert "4 people of the source" in refused([*out, *data, "--clip", "x"], capsys)
    assert "no variant best" in refused([*out, *data, "--only", "best"], capsys)
    assert "NAME=VALUE" in refused([*out, *data, "--set", "steps"], capsys)
    assert not (tmp_path / "out" / "runs").exists()


def test_the_whole_path_on_dots_and_again(tmp_path, monkeypatch, capsys):
    command = ["--preset", "smoke", "--out", str(tmp_path), "--device", "cpu"]
    assert main([*command, "--max-minutes", "0"]) == 0
    assert "0 of 16 runs are done" in capsys.readouterr().out
    # Some of the runs first, as if it had been killed then.
    assert main([*command, "--only", "erm"]) == 0
    assert "2 of 16 runs are done" in capsys.readouterr().out
    first = (tmp_path / "runs" / "erm" / "seed0" / "done.json").read_bytes()
    assert main(command) == 0
    assert "16 of 16 runs are done" in capsys.readouterr().out
    assert (tmp_path / "runs" / "erm" / "seed0" / "done.json").read_bytes() == first
    text = (tmp_path / "report.md").read_text()
    for part in ("## Methods", "## Losses", "## Prompts", "## Dimensions", "## Few labels"):
        assert part in text
    assert "no figure means anything" in text
    assert "PCO tells attributes better than CoOp's" in text
    assert f"python -m train.ablation --preset smoke --out {tmp_path}" in text
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["columns"] == ["source→bright", "source→dim"]
    assert len(report["results"][FULL]) == 2
    for picture in report["pictures"]:
        assert (tmp_path / picture).stat().st_size > 5000
    assert "starts from the same weights" in text
    base = json.loads((tmp_path / "base" / "model.json").read_text())["sha256"]
    for card in tmp_path.glob("runs/*/*/model.json"):
        assert json.loads(card.read_text())["init_sha256"] == base
    # Every variant trained something of its own.
    weights = [p.read_bytes() for p in sorted(tmp_path.glob("runs/*/seed0/model.safetensors"))]
    assert len({hash(w) for w in weights}) == len(weights) == 11
    assert not list(tmp_path.glob("runs/*/*/state.safetensors"))

    def never(*args, **kwargs):
        raise AssertionError("a run that is done was made again")

    monkeypatch.setattr(ablation_runs, "train_one", never)
    monkeypatch.setattr(ablation_runs, "tune_prompts", never)
    os.remove(tmp_path / "report.md")
    assert main(command) == 0
    assert "## Does it do what it claims?" in (tmp_path / "report.md").read_text()
    assert "steps: began with 2, now 3" in refused([*command, "--set", "steps=3"], capsys)
