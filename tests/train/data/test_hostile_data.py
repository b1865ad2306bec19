"""Labels and manifests that somebody spoilt, by accident or not: a DataError, or a row left out."""

from __future__ import annotations

import json
import tarfile
import warnings

import pytest

from tests.train.made_data import make_gaze360, make_rendered, make_xgaze, picture, record, spread
from train.data.__main__ import main
from train.data.registry import looks_like, open_dataset
from train.data.samples import DataError
from train.synth.outputs.shards import add_member, jpeg

LONG = "a" * 5000
DEEP = "[" * 100_000
MANIFESTS = {
    "deep": DEEP,
    "infinite count": '{"product": "crops", "shards": [{"name": "s.tar", "count": 1e999}]}',
    "endless count": '{"product": "crops", "shards": [{"name": "s.tar", "count": 1%s}]}'
    % ("0" * 400),
    "long name": json.dumps({"product": "crops", "shards": [{"name": f"{LONG}.tar", "count": 1}]}),
    "name elsewhere": '{"product": "crops", "shards": [{"name": "../s.tar", "count": 1}]}',
    "no name": '{"product": "crops", "shards": [{"name": 7, "count": 1}]}',
    "a list": "[]",
}


@pytest.mark.parametrize("text", MANIFESTS.values(), ids=MANIFESTS)
def test_a_spoilt_manifest_is_refused_by_its_name(tmp_path, text):
    make_rendered(tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json is damaged .*write the shards again"):
        open_dataset(f"rendered:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("identity", [10**400] * 100),
        ("identity", [1e300] * 100),
        ("crop_gaze_pitch_yaw_rad", [10**400, 0]),
        ("crop_gaze_pitch_yaw_rad", [float("nan"), 0]),
        ("crop_head_pitch_yaw_rad", [[0.1], 0.2]),
    ],
)
def test_a_spoilt_sample_is_left_out_and_named(tmp_path, name, value):
    make_rendered(tmp_path, shards=1, each=2)
    gaze, head = spread(2, 0)
    with tarfile.open(tmp_path / "shard-00000.tar", "w") as tar:
        for n, change in enumerate(({}, {name: value})):
            add_member(tar, f"{n}.jpg", jpeg(picture(n)))
            labels = record("3-0", gaze[n], head[n]) | change
            add_member(tar, f"{n}.json", json.dumps(labels).encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(f"rendered:{tmp_path}")
    assert len(data) == 1
    assert [problem.row for problem in data.problems] == ["1"]


def test_a_deep_sample_is_left_out(tmp_path):
    make_rendered(tmp_path, shards=1, each=1)
    with tarfile.open(tmp_path / "shard-00000.tar", "a") as tar:
        add_member(tar, "deep.jpg", jpeg(picture(1)))
        add_member(tar, "deep.json", DEEP.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(f"rendered:{tmp_path}")
    assert "too deep" in " ".join(map(str, data.problems))


@pytest.mark.parametrize("text", [DEEP, json.dumps({"train": [LONG]}), '{"train": ["../x.h5"]}'])
def test_a_spoilt_list_of_splits_is_refused(tmp_path, text):
    make_xgaze(tmp_path, people=1, each=2)
    (tmp_path / "train_test_split.json").write_text(text)
    with pytest.raises(DataError, match=r"train_test_split\.json is damaged"):
        open_dataset(f"eth_xgaze:{tmp_path}")


@pytest.mark.parametrize("face", [f"train/Face/{LONG}.jpg", f"train/{LONG}/1.jpg", "a\0b/1.jpg"])
def test_a_picture_whose_name_cannot_be_is_a_problem_of_its_row(tmp_path, face):
    make_gaze360(tmp_path)
    label = tmp_path / "Label" / "train.label"
    label.write_text(label.read_text().replace("train/Face/1.jpg", face, 1))
    with pytest.raises(DataError, match=r"no usable row in .*train\.label, row 2: no picture"):
        open_dataset(f"gaze360:{tmp_path}")


@pytest.mark.parametrize("name", ["rendered", "own", "gaze360", "eth_xgaze"])
def test_an_endless_path_is_refused(name):
    with pytest.raises(DataError, match=f"too long; {name} is a folder"):
        open_dataset(f"{name}:/{LONG}")


def test_a_path_alone_is_told_what_it_looks_like(tmp_path, capsys):
    folder = make_gaze360(tmp_path / "Gaze360")
    assert looks_like(folder) == ["gaze360"]
    assert main(["check", str(folder)]) == 1
    said = capsys.readouterr().out
    assert f"this looks like gaze360: try gaze360:{folder}" in said
    assert main(["check", LONG]) == 1
    assert "NAME is one of eth_xgaze, gaze360" in capsys.readouterr().out
