"""Rendered people, views, the cache and the check of data sets, on tiny folders."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import tarfile
import warnings

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

h5py = pytest.importorskip("h5py", reason="training tests need the extra [train]")
pytest.importorskip("matplotlib", reason="training tests need the extra [train]")

from clipgaze_sdk.geometry import (  # noqa: E402
    angle_between,
    vector_from_angles,
)
from tests.train.made_data import (  # noqa: E402
    MPII_HEADER,
    NAMES,
    broken_gaze360,
    make_gaze360,
    make_mpii,
    make_rendered,
    make_xgaze,
    mpii_row,
    picture,
    record,
    spread,
)
from train.data.__main__ import main  # noqa: E402
from train.data.cache import CachedDataset, cached  # noqa: E402
from train.data.check import arrow  # noqa: E402
from train.data.registry import READERS, open_dataset  # noqa: E402
from train.data.samples import (  # noqa: E402
    EYE_POINTS,
    UNKNOWN,
    BrokenSample,
    DataError,
    DataWarning,
)
from train.data.views import split_people  # noqa: E402
from train.factors import FACTORS  # noqa: E402
from train.synth.outputs.shards import add_member, jpeg  # noqa: E402

# Rendered people


def test_rendered_labels_and_factors(rendered):
    data = open_dataset(f"rendered:{rendered}")
    assert len(data) == 8
    assert data.people == ("3-0", "3-1")
    item = data[6]
    gaze, head = spread(4, 1)
    np.testing.assert_allclose(item["gaze"].numpy(), gaze[2], atol=1e-6)
    np.testing.assert_allclose(item["head"].numpy(), head[2], atol=1e-6)
    factors = dict(zip(NAMES, item["factors"].tolist(), strict=True))
    assert factors.pop("bald") == UNKNOWN
    assert factors.pop("smile") == 1
    assert set(factors.values()) == {0}
    assert item["identity"].tolist() == [1.5] * 100
    assert data.identities()[:, 0].tolist() == [0.5, 1.5]
    assert np.abs(item["image"].permute(1, 2, 0).numpy().astype(int) - picture(6)).mean() < 3
    assert data.where(6) == (str(rendered / "shard-00001.tar"), "003-00000006")


def test_rendered_broken_shards(tmp_path):
    root = make_rendered(tmp_path, shards=4)
    whole = (root / "shard-00001.tar").read_bytes()
    (root / "shard-00001.tar").write_bytes(whole[: len(whole) // 2])
    (root / "shard-00002.tar").unlink()
    with tarfile.open(root / "shard-00003.tar", "w") as tar:
        add_member(tar, "003-00000012.jpg", jpeg(picture(12)))
        add_member(tar, "003-00000012.json", b"{}")
        add_member(tar, "003-00000013.json", json.dumps(record("3-3", (0, 0), (0, 0))).encode())
        bad = record("3-3", (0.1, 99), (0, 0))
        add_member(tar, "003-00000014.jpg", b"no picture")
        add_member(tar, "003-00000014.json", json.dumps(bad).encode())
        add_member(tar, "003-00000015.jpg", b"no picture")
        add_member(
            tar,
            "003-00000015.json",
            json.dumps(bad | {"crop_gaze_pitch_yaw_rad": [0.0, 0.1]}).encode(),
        )
    with pytest.warns(DataWarning):
        data = open_dataset(f"rendered:{root}")
    said = "\n".join(str(problem) for problem in data.problems)
    assert "shard-00001.tar: damaged after" in said
    assert "shard-00002.tar: missing; run its `write` command again" in said
    assert "shard-00003.tar, row 003-00000012: there is no person" in said
    assert "row 003-00000013: there is no jpg" in said
    assert "row 003-00000014: crop_gaze_pitch_yaw_rad is [0.1, 99.0]; expected" in said
    with pytest.raises(BrokenSample, match=r"003-00000015: .*does not decode"):
        data.picture(len(data) - 1)
    with pytest.warns(DataWarning, match="the next sample stands in"):
        assert data[len(data) - 1]["index"] == 0


def test_rendered_products_and_manifests(tmp_path):
    root = make_rendered(tmp_path / "a", product="frames")
    with pytest.raises(DataError, match="holds frames; expected crops"):
        open_dataset(f"rendered:{root}")
    (root / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        open_dataset(f"rendered:{root}")
    (root / "manifest.json").write_text('{"product": "crops", "shards": []}')
    with pytest.raises(DataError, match="has no finished shard"):
        open_dataset(f"rendered:{root}")
    (root / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"holds no manifest\.json but shard-00000\.tar"):
        open_dataset(f"rendered:{root}")


# Specs, people, parts and several as one


def test_specs_that_cannot_be(tmp_path, xgaze, rendered):
    for spec, said in (
        ("gaze360", "is not NAME:PATH"),
        ("columbia:/x", "no data set is called 'columbia'; expected one of eth_xgaze, gaze360"),
        (f"gaze360:{tmp_path / 'no'}", "does not exist; gaze360 is a folder with Label/"),
        (f"gaze360:{rendered / 'manifest.json'}", "is a file; gaze360 is a folder"),
        (f"gaze360:{tmp_path}", "expected Label/.*; found nothing"),
        (f"gaze360:{xgaze}", "found test/, train/, train_test_split.json. This looks like eth_x"),
        (f"rendered:{rendered.parent}", f"Did you mean rendered:{rendered}"),
        (f"eth_xgaze:{xgaze / 'train'}", f"Did you mean eth_xgaze:{xgaze}"),
        (f"eyediap:{rendered}?undo_scaling=1", "eyediap has no option 'undo_scaling'; it has"),
        (f"rendered:{rendered}?strict=yes", "strict is 'yes'; expected 0 or 1"),
        (f"rendered:{rendered}?people=9-9", "no person 9-9; people: 3-0, 3-1"),
        (f"rendered:{rendered}?people=", "none given"),
        (f"rendered:{rendered}?domains=lab,car", "no domain car; it has lab, phone, street"),
    ):
        with pytest.raises(DataError, match=said):
            open_dataset(spec)
    with pytest.raises(DataError, match="no data set to join"):
        open_dataset([])


def test_recognising_tells_the_data_sets_apart(tmp_path, xgaze, rendered):
    roots = {
        "eth_xgaze": xgaze,
        "rendered": rendered,
        "gaze360": make_gaze360(tmp_path / "g"),
        "mpiifacegaze": make_mpii(tmp_path / "m"),
    }
    for name, root in roots.items():
        assert [n for n, reader in READERS.items() if reader.recognises(root)] == [name]


def test_people_are_chosen(tmp_path, xgaze):
    assert open_dataset(f"eth_xgaze:{xgaze}?people=subject0001").people == ("subject0001",)
    root = make_mpii(tmp_path, ("p00", "p01", "p02"))
    (root / "Label" / "p00.label").write_text("damaged")  # not read, as nobody asks for it
    data = open_dataset(f"mpiifacegaze:{root}", people=["p02", "p01"])
    assert data.counts() == {"p01": 3, "p02": 3}


def test_domains_are_chosen(rendered):
    every = open_dataset(f"rendered:{rendered}")
    data = open_dataset(f"rendered:{rendered}?domains=street,phone")
    assert len(every) == 8
    keys = [int(str(data.where(k)[1])[4:]) for k in range(len(data))]
    assert keys == [1, 2, 5, 6]


def test_subsets_keep_their_people_alone(rendered):
    data = open_dataset(f"rendered:{rendered}")
    part = data.subset([7, 5])
    assert part.people == ("3-1",)
    assert part[0]["index"] == 0
    assert part[0]["person"] == 0
    assert torch.equal(part[0]["image"], data[7]["image"])
    assert part.labels()["gaze"].tolist() == data.labels()["gaze"][[7, 5]].tolist()
    assert part.identities()[0, 0] == 1.5
    assert part.where(1) == data.where(5)
    assert part.indices.tolist() == [7, 5]
    assert len(data.subset(data.labels()["person"] == 0)) == 4
    with pytest.raises(DataError, match="indices 0 to 8 of 8 samples"):
        data.subset([0, 8])
    with pytest.raises(DataError, match="rendered has no usable sample"):
        data.subset([])


def test_split_people_shares_nobody(tmp_path):
    data = open_dataset(f"mpiifacegaze:{make_mpii(tmp_path, [f'p{n:02d}' for n in range(10)])}")
    parts = split_people(data, (0.7, 0.2, 0.1), seed=1)
    assert [len(part.people) for part in parts] == [7, 2, 1]
    assert sorted(p for part in parts for p in part.people) == list(data.people)
    assert [p.people for p in split_people(data, (0.7, 0.2, 0.1), seed=1)] == [
        p.people for p in parts
    ]
    assert split_people(data, (0.7, 0.2, 0.1), seed=2)[0].people != parts[0].people
    assert [len(p.people) for p in split_people(data, (0.99, 0.01), seed=0)] == [9, 1]
    with pytest.raises(DataError, match="sum to 1"):
        split_people(data, (0.7, 0.2), seed=0)
    with pytest.raises(DataError, match="1 people, too few for 2 parts"):
        split_people(data.subset([0]), (0.5, 0.5), seed=0)


def test_joined_data_sets_keep_people_apart(tmp_path, rendered):
    other = make_rendered(tmp_path / "other", shards=1)
    gaze360 = make_gaze360(tmp_path / "g")
    data = open_dataset([f"rendered:{rendered}", f"gaze360:{gaze360}", f"rendered:{other}"])
    assert len(data) == 13
    assert data.people == (
        "rendered#1/3-0",
        "rendered#1/3-1",
        "gaze360/rec_000/000003",
        "rendered#3/3-0",
    )
    assert data.labels()["person"].tolist() == [0] * 4 + [1] * 4 + [2] + [3] * 4
    item = data[8]
    assert item["index"] == 8
    assert item["gaze"].tolist() == pytest.approx([-0.3962, 0.7455])
    assert item["identity"].isnan().all()
    assert data[9]["identity"][0] == 0.5
    assert torch.equal(data[9]["image"], open_dataset(f"rendered:{other}")[0]["image"])
    assert data.where(12) == (str(other / "shard-00000.tar"), "003-00000003")


# Caching and workers


def test_cache_holds_the_same_and_is_made_once(tmp_path, rendered, monkeypatch):
    data = open_dataset(f"rendered:{rendered}")
    once = cached(data, tmp_path)
    assert isinstance(once, CachedDataset)
    assert np.load(once.folder / "images.npy", mmap_mode="r").shape == (8, 3, 224, 224)
    assert [p.name for p in tmp_path.iterdir()] == [once.folder.name]
    monkeypatch.setattr(type(data), "_picture", None)  # nothing is decoded again
    again = cached(data, tmp_path)
    monkeypatch.undo()
    for index in range(8):
        a, b = data[index], again[index]
        assert a.keys() == b.keys()
        for key in a:
            assert torch.equal(a[key].nan_to_num(9), b[key].nan_to_num(9)), key
    assert again.people == data.people
    assert again.where(6) == data.where(6)
    assert cached(again, tmp_path) is again
    assert len(pickle.dumps(again)) < 200_000


def test_cache_follows_its_files(tmp_path):
    root = make_rendered(tmp_path / "crops", shards=1)
    data = open_dataset(f"rendered:{root}")
    first = cached(data, tmp_path / "cache")
    os.utime(root / "shard-00000.tar", (1, 1))
    second = cached(open_dataset(f"rendered:{root}"), tmp_path / "cache")
    assert first.folder != second.folder
    parts = [cached(data.subset(rows), tmp_path / "cache") for rows in ([0, 1], [2, 3])]
    assert parts[0].folder != parts[1].folder
    assert torch.equal(parts[1][0]["image"], data[2]["image"])
    (second.folder / "images.npy").write_bytes(b"damaged")
    assert torch.equal(
        cached(open_dataset(f"rendered:{root}"), tmp_path / "cache")[1]["image"], data[1]["image"]
    )


def test_cache_leaves_out_broken_pictures_and_says_so(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(f"gaze360:{broken_gaze360(tmp_path / 'g')}")
    with pytest.warns(DataWarning, match=r"problems: 1; the first: .*12\.jpg does not decode"):
        once = cached(data, tmp_path / "cache")
    assert len(once) == len(data) - 1
    assert len(once.problems) == 6
    assert once.problems[-1].row == 13
    assert [once.where(k)[1] for k in range(len(once))] == [
        line for line in (data.where(k)[1] for k in range(len(data))) if line != 13
    ]
    broken = next(k for k in range(len(data)) if data.where(k)[1] == 13)
    assert once[broken]["gaze"].tolist() == data.labels()["gaze"][broken + 1].tolist()
    data.strict = True
    with pytest.raises(DataError, match=r"12\.jpg"):
        cached(data, tmp_path / "cache")


def test_a_failed_cache_leaves_nothing(tmp_path, rendered, monkeypatch):
    data = open_dataset(f"rendered:{rendered}")
    (tmp_path / "x.partial").mkdir()  # of who knows whom: left alone

    def interrupted(row):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached(data, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.partial"]
    monkeypatch.setattr("train.data.cache.shutil.disk_usage", lambda _: Free())
    with pytest.raises(DataError, match=r"need 0\.0 GB, 0\.0 GB are free"):
        cached(data, tmp_path)


class Free:
    free = 1000


def test_leftovers_of_dead_processes_are_removed(tmp_path, rendered):
    host = socket.gethostname().replace(".", "-")
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        check=True,
        capture_output=True,
        text=True,
    )
    names = [f"old.{host}.{process.stdout.strip()}.partial", f"busy.{host}.{os.getpid()}.partial"]
    for name in names:
        (tmp_path / name).mkdir()
    cached(open_dataset(f"rendered:{rendered}"), tmp_path)
    assert [p.name for p in tmp_path.glob("*.partial")] == names[1:]


def test_workers_that_are_spawned_read_all_formats(tmp_path, xgaze, rendered):
    data = open_dataset(
        [
            f"eth_xgaze:{xgaze}?people=subject0000",
            f"rendered:{rendered}",
            f"gaze360:{make_gaze360(tmp_path / 'g')}",
        ]
    )
    data[0]  # an open HDF5 file must not be pickled
    both = open_dataset(f"rendered:{rendered}"), cached(data, tmp_path / "cache")
    from train.data.views import Joined

    everything = Joined([data, *both])
    loader = DataLoader(everything, batch_size=16, num_workers=2, multiprocessing_context="spawn")
    batches = list(loader)
    index = torch.cat([batch["index"] for batch in batches])
    assert index.tolist() == list(range(len(everything)))
    first = batches[0]
    assert {key: (value.dtype, tuple(value.shape[1:])) for key, value in first.items()} == {
        "image": (torch.uint8, (3, 224, 224)),
        "gaze": (torch.float32, (2,)),
        "head": (torch.float32, (2,)),
        "person": (torch.int64, ()),
        "identity": (torch.float32, (100,)),
        "factors": (torch.uint8, (len(FACTORS),)),
        "points": (torch.float32, (len(EYE_POINTS), 2)),
        "openness": (torch.float32, (2,)),
        "sight_gaze": (torch.float32, (2,)),
        "seen_head": (torch.float32, (2,)),
        "seen_eyes": (torch.float32, (2, 2)),
        "rims": (torch.float32, (2, 8, 2)),
        "classes": (torch.uint8, (112, 224)),
        "index": (torch.int64, ()),
    }
    images = torch.cat([batch["image"] for batch in batches])
    assert all(torch.equal(images[k], everything[k]["image"]) for k in (0, 31, 38, 40, 60))


# python -m train.data check


def test_check_of_a_good_data_set(xgaze, tmp_path, capsys):
    assert main(["check", f"eth_xgaze:{xgaze}", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "60 samples of 2 people; 60 pictures read" in said
    assert "nothing is wrong" in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["wrong"] == []
    assert report["people"] == {"subject0000": 30, "subject0001": 30}
    assert report["correlation"]["yaw"] > 0.5
    assert report["angles_rad"]["gaze pitch"]["max"] < 0.7
    assert cv2.imread(str(tmp_path / "contact_sheet.png")).shape == (1280, 1280, 3)
    assert cv2.imread(str(tmp_path / "angles.png")).std() > 1


def test_check_says_what_is_wrong_and_where(tmp_path, capsys):
    root = broken_gaze360(tmp_path / "g")
    (root / "Image" / "train" / "Face" / "2.jpg").write_bytes(
        jpeg(np.full((224, 224, 3), 9, np.uint8))
    )
    assert main(["check", f"gaze360:{root}?strict=1", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert "train.label, row 7: 2DGaze says" in said
    assert "train.label, row 13:" in said
    assert "train.label, row 3: the picture is of one colour" in said
    assert "things that are wrong: 7" in said
    assert len(json.loads((tmp_path / "out" / "report.json").read_text())["wrong"]) == 7
    assert (tmp_path / "out" / "contact_sheet.png").is_file()


def test_check_of_what_cannot_be_opened(tmp_path, capsys):
    assert main(["check", f"gaze360:{tmp_path / 'no'}", "--out", str(tmp_path / "out")]) == 1
    assert "does not exist" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["report.json"]
    root = make_gaze360(tmp_path / "g", rows=["0.6258,-0.3859,-0.6778 -0.7455,0.3962"])
    assert main(["check", f"gaze360:{root}"]) == 1
    assert "yaw -0.7455" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([])


def test_check_finds_a_negated_head(tmp_path, capsys):
    root = make_xgaze(tmp_path)
    for path in (root / "train").iterdir():
        with h5py.File(path, "a") as file:
            file["face_head_pose"][:] = -file["face_head_pose"][:]
    assert main(["check", f"eth_xgaze:{root}", "--images", "5"]) == 1
    said = capsys.readouterr().out
    assert "gaze and head go against each other in yaw" in said
    assert "5 of 60 pictures were read" in said


def test_check_tells_of_mirrored_rows_and_scaling(tmp_path, capsys):
    root = make_mpii(tmp_path)
    assert main(["check", f"mpiifacegaze:{root}", "--undo-scaling"]) == 0
    said = capsys.readouterr().out
    assert "undo_scaling=1: 6 samples" in said
    assert "mean yaw of 4 pictures as taken" in said
    assert "agree with 3DGaze" in said


def test_check_tells_of_mirrored_heads_that_cannot_be(tmp_path, capsys):
    gaze, head = spread(200)
    head[2::3, 1] *= 0.01
    rows = [
        mpii_row("p00", n % 3 + 1, gaze[n], head[n], "right" if n % 3 == 2 else "left")
        for n in range(200)
    ]
    make_mpii(tmp_path, ("p00",))
    (tmp_path / "Label" / "p00.label").write_text("\n".join([MPII_HEADER, *rows]))
    assert main(["check", f"mpiifacegaze:{tmp_path}", "--images", "3"]) == 0
    assert "what mirrored 2DHead is wrong in this copy" in capsys.readouterr().out


def test_check_counts_factors(rendered, tmp_path):
    assert main(["check", f"rendered:{rendered}", "--out", str(tmp_path)]) == 0
    factors = json.loads((tmp_path / "report.json").read_text())["factors"]
    assert factors["smile"] == {"on": 8, "known": 8}
    assert factors["bald"] == {"on": 0, "known": 0}


@pytest.mark.parametrize(
    ("pitch_yaw", "tip"),
    [((0.0, 0.5), (-1, 0)), ((0.0, -0.5), (1, 0)), ((0.5, 0.0), (0, -1)), ((-0.5, 0.0), (0, 1))],
)
def test_arrows_follow_the_convention(pitch_yaw, tip):
    """Positive yaw points to the image's left, positive pitch up."""
    image = np.zeros((101, 101, 3), np.uint8)
    arrow(image, np.array(pitch_yaw, np.float32), 40, (255, 255, 255))
    rows, columns = np.nonzero(image[..., 0])
    middle = np.array([columns.mean() - 50, rows.mean() - 50])
    assert middle @ np.array(tip) > 3
    assert abs(middle @ np.array(tip)[::-1]) < 1.5


def test_mirror_convention_of_the_vectors():
    gaze, _ = spread(5)
    mirrored = vector_from_angles(gaze * (1, -1))
    np.testing.assert_allclose(
        angle_between(mirrored, vector_from_angles(gaze) * (-1, 1, 1)), 0, atol=1e-6
    )
