"""Readers of published data sets, on tiny folders in the true formats."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

h5py = pytest.importorskip("h5py", reason="training tests need the extra [train]")
pytest.importorskip("matplotlib", reason="training tests need the extra [train]")

from clipgaze_sdk.geometry import (  # noqa: E402
    angles_from_vector,
    vector_from_angles,
)
from tests.train.made_data import (  # noqa: E402
    EYEDIAP_HEADER,
    GAZE360_SAMPLE,
    MPII_HEADER,
    broken_gaze360,
    commas,
    gaze360_tail,
    is_red,
    make_gaze360,
    make_mpii,
    make_xgaze,
    mpii_row,
    picture,
    save_jpg,
    spread,
)
from train.data.registry import open_dataset  # noqa: E402
from train.data.samples import (  # noqa: E402
    UNKNOWN,
    BrokenSample,
    DataError,
    DataWarning,
    Problem,
)
from train.factors import FACTORS  # noqa: E402
from train.synth.outputs.shards import jpeg  # noqa: E402

# Gaze360


def test_gaze360_sample_row(tmp_path):
    data = open_dataset(f"gaze360:{make_gaze360(tmp_path)}")
    item = data[0]
    assert item["gaze"].tolist() == pytest.approx([-0.3962, 0.7455])
    ours = angles_from_vector(np.array([-0.6258, 0.3859, -0.6778]))
    assert item["gaze"].tolist() == pytest.approx(ours, abs=1e-3)
    assert item["head"].isnan().all()
    assert item["identity"].shape == (100,)
    assert item["identity"].isnan().all()
    assert (item["factors"] == UNKNOWN).all()
    assert item["factors"].shape == (len(FACTORS),)
    assert data.people == ("rec_000/000003",)
    assert item["image"].dtype == torch.uint8
    assert item["image"].shape == (3, 224, 224)
    assert is_red(item["image"])


def test_gaze360_backwards_and_splits(tmp_path):
    root = make_gaze360(tmp_path, "test", [gaze360_tail(np.array([0.1, 2.9]))])
    make_gaze360(tmp_path, "train")
    assert open_dataset(f"gaze360:{root}?split=test")[0]["gaze"][1] == pytest.approx(2.9)
    assert open_dataset(f"gaze360:{root}")[0]["gaze"][1] == pytest.approx(0.7455)
    with pytest.raises(DataError, match=r"no split 'val'.*found train, test"):
        open_dataset(f"gaze360:{root}?split=val")


@pytest.mark.parametrize(
    ("change", "guess"),
    [
        (lambda yaw, pitch: (-yaw, -pitch), "both signs are negated"),
        (lambda yaw, pitch: (-yaw, pitch), "the sign of yaw is negated"),
        (lambda yaw, pitch: (yaw, -pitch), "the sign of pitch is negated"),
        (lambda yaw, pitch: (pitch, yaw), r"2DGaze is \(pitch, yaw\)"),
    ],
)
def test_wrong_signs_are_refused_with_both_values(tmp_path, change, guess):
    rows = []
    for gaze in spread(20)[0]:
        vector, angles = gaze360_tail(gaze).split()
        yaw, pitch = (float(v) for v in angles.split(","))
        rows.append(f"{vector} {commas(change(yaw, pitch))}")
    with pytest.raises(DataError, match=rf"(?s)2DGaze says yaw .*but 3DGaze .*is yaw.*{guess}"):
        open_dataset(f"gaze360:{make_gaze360(tmp_path, rows=rows)}")


def test_both_values_are_those_of_the_row(tmp_path):
    root = make_gaze360(tmp_path, rows=["0.6258,-0.3859,-0.6778 -0.7455,0.3962"])
    with pytest.raises(DataError) as caught:
        open_dataset(f"gaze360:{root}")
    for value in (
        "row 2",
        "yaw -0.7455, pitch 0.3962",
        "0.6258,-0.3859,-0.6778",
        "yaw 0.7455, pitch -0.3962",
    ):
        assert value in str(caught.value)


def test_degrees_are_refused(tmp_path):
    vector, _ = GAZE360_SAMPLE.split()
    root = make_gaze360(tmp_path, rows=[f"{vector} 42.7,-22.7"])
    with pytest.raises(DataError, match=r"row 2: pitch -22\.7 and yaw 42\.7 are no angles in rad"):
        open_dataset(f"gaze360:{root}")


# Broken rows and pictures


def test_broken_rows_are_reported_and_left_out(tmp_path):
    root = broken_gaze360(tmp_path)
    with pytest.warns(DataWarning, match="left out what is broken, problems: 5"):
        data = open_dataset(f"gaze360:{root}")
    assert len(data) == 16
    label = str(root / "Label" / "train.label")
    assert {p.file for p in data.problems} == {label}
    why = {p.row: p.why for p in data.problems}
    assert why.keys() == {5, 7, 9, 11, 22}
    assert why[5] == "3DGaze is '0.1,0.2'; expected 3 numbers with commas"
    assert "2DGaze says yaw -0.7455" in why[7]
    assert "length nan" in why[9]
    assert why[11] == f"no picture {root / 'Image' / 'train' / 'Face' / '10.jpg'}"
    assert why[22] == "3 columns; expected 6, as in the header"
    with pytest.raises(DataError, match="problems in all: 5; strict is on"):
        open_dataset(f"gaze360:{root}?strict=1")


def test_broken_pictures_are_replaced_and_counted_or_raise(tmp_path):
    root = broken_gaze360(tmp_path)
    with pytest.warns(DataWarning):
        data = open_dataset(f"gaze360:{root}")
    broken = next(k for k in range(len(data)) if data.where(k)[1] == 13)
    before = len(data.problems)
    with pytest.warns(DataWarning, match=r"12\.jpg does not decode as a picture; the next"):
        item = data[broken]
    assert item["index"] == broken + 1
    assert item["gaze"].tolist() == data.labels()["gaze"][broken + 1].tolist()
    data[broken]  # told once
    assert len(data.problems) == before + 1
    assert data.problems[-1].row == 13
    data.strict = True
    with pytest.raises(BrokenSample, match=r"train\.label, row 13: .*12\.jpg") as caught:
        data[broken]
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problem == caught.value.problem


def test_pictures_are_resized_and_must_be_square(tmp_path):
    root = make_gaze360(tmp_path, rows=[GAZE360_SAMPLE] * 2)
    faces = root / "Image" / "train" / "Face"
    save_jpg(faces / "1.jpg", 0, 300)
    (faces / "2.jpg").write_bytes(jpeg(picture(1)[:100]))
    data = open_dataset(f"gaze360:{root}", strict=True)
    small = data[0]["image"].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(small - picture(0)).mean() < 4
    with pytest.raises(BrokenSample, match="is 224x100; expected a square face crop"):
        data[1]
    for index in (-1, 2):
        with pytest.raises(IndexError, match="of 2 samples of gaze360"):
            data[index]


# GazeHub's MPIIFaceGaze and EyeDiap


def test_mpiifacegaze_order_people_and_mirrored_rows(tmp_path):
    data = open_dataset(f"mpiifacegaze:{make_mpii(tmp_path)}")
    labels = data.labels()
    assert data.people == ("p00", "p01")
    assert data.counts() == {"p00": 3, "p01": 3}
    gaze, head = spread(3, 1)
    np.testing.assert_allclose(labels["gaze"][3:], gaze, atol=1e-6)
    np.testing.assert_allclose(labels["head"][3:], head, atol=1e-6)
    assert labels["mirrored"].tolist() == [False, False, True] * 2
    assert labels["person"].tolist() == [0, 0, 0, 1, 1, 1]
    labels["gaze"][:] = 0  # a copy
    assert data.labels()["gaze"].any()


@pytest.mark.parametrize("smat", ["1.0,1.0,1.2", "1.0,0,0,0,1.0,0,0,0,1.2"])
def test_undo_scaling(tmp_path, smat):
    """20 degrees, turned by S·R with S = 1.2, became 16.9."""
    true = np.radians([[0.0, 20.0], [-12.0, -15.0]])
    scaled = angles_from_vector(vector_from_angles(true) * (1, 1, 1.2)).astype(np.float32)
    assert np.degrees(scaled[0, 1]) == pytest.approx(16.9, abs=0.05)
    rows = [mpii_row("p00", n + 1, scaled[n], (0, 0), smat=smat) for n in range(2)]
    make_mpii(tmp_path, ("p00",))
    (tmp_path / "Label" / "p00.label").write_text("\n".join([MPII_HEADER, *rows]))
    stored = open_dataset(f"mpiifacegaze:{tmp_path}").labels()["gaze"]
    undone = open_dataset(f"mpiifacegaze:{tmp_path}?undo_scaling=1").labels()["gaze"]
    np.testing.assert_allclose(stored, scaled, atol=1e-6)
    np.testing.assert_allclose(undone, true, atol=1e-6)


def test_undo_scaling_needs_a_scale(tmp_path):
    root = make_mpii(tmp_path, ("p00",), smat="1.0,1.0")
    with pytest.raises(DataError, match=r"no usable row .*Smat is '1.0,1.0'; expected 3 numbers"):
        open_dataset(f"mpiifacegaze:{root}?undo_scaling=1")


def test_which_eye_must_be_left_or_right(tmp_path):
    root = make_mpii(tmp_path, ("p00",))
    label = root / "Label" / "p00.label"
    label.write_text(label.read_text().replace(" right ", " both "))
    with pytest.warns(DataWarning):
        data = open_dataset(f"mpiifacegaze:{root}")
    assert data.problems == [Problem(str(label), 4, "WhichEye is 'both'; expected left or right")]
    assert len(data) == 2


def test_eyediap_sample_row(tmp_path):
    for person in ("p2", "p10"):
        row = (
            f"{person}/face/1.jpg {person}/left/1.jpg {person}/right/1.jpg 1_A_DS_1 "
            "0.1408,-0.3197,-0.9370 0.1,0.2,0.3 -0.1492,0.3254 0.3,0.2 0,0,0 1,1,1 1,2,3"
        )
        (tmp_path / "Label").mkdir(exist_ok=True)
        (tmp_path / "Label" / f"{person}.label").write_text(f"{EYEDIAP_HEADER}\n{row}\n")
        save_jpg(tmp_path / "Image" / person / "face" / "1.jpg", 1)
    data = open_dataset(f"eyediap:{tmp_path}")
    assert data.people == ("p2", "p10")
    assert data[0]["gaze"].tolist() == pytest.approx([0.3254, -0.1492])
    assert data[0]["head"].tolist() == pytest.approx([0.2, 0.3])
    assert data.labels()["gaze"][0] == pytest.approx(
        angles_from_vector(np.array([0.1408, -0.3197, -0.9370])), abs=1e-3
    )


def test_header_must_be_the_data_sets(tmp_path):
    root = make_mpii(tmp_path)
    label = root / "Label" / "p01.label"
    label.write_text(label.read_text().replace("2DGaze", "Gaze2D"))
    with pytest.raises(DataError, match=r"no column 2DGaze; expected `Face Left.*found `Face"):
        open_dataset(f"mpiifacegaze:{root}")


# ETH-XGaze and MPIIFaceGaze_normalized


def test_xgaze_is_as_stored_but_for_the_channels(xgaze):
    data = open_dataset(f"eth_xgaze:{xgaze}")
    assert data.people == ("subject0000", "subject0001")
    gaze, head = spread(30, 1)
    item = data[33]
    np.testing.assert_array_equal(item["gaze"].numpy(), gaze[3])
    np.testing.assert_array_equal(item["head"].numpy(), head[3])
    np.testing.assert_array_equal(item["image"].permute(1, 2, 0).numpy(), picture(103))
    assert data.where(33) == (str(xgaze / "train" / "subject0001.h5"), 3)
    assert item["person"] == 1
    assert item["index"] == 33


def test_xgaze_test_split_has_no_labels(xgaze):
    with pytest.raises(DataError, match="does not publish the labels of split 'test'"):
        open_dataset(f"eth_xgaze:{xgaze}?split=test")
    with pytest.raises(DataError, match=r"no split 'val'; found train, test, test_person_specific"):
        open_dataset(f"eth_xgaze:{xgaze}?split=val")


def test_xgaze_broken_files(tmp_path):
    root = make_xgaze(tmp_path, people=4, each=4)
    (root / "train" / "subject0000.h5").write_bytes(b"not HDF5")
    (root / "train" / "subject0001.h5").unlink()
    with h5py.File(root / "train" / "subject0002.h5", "a") as file:
        file["face_gaze"][1] = np.nan
    with pytest.warns(DataWarning, match="problems: 3"):
        data = open_dataset(f"eth_xgaze:{root}")
    why = {os.path.basename(p.file): (p.row, p.why) for p in data.problems}
    assert why["subject0000.h5"][1].startswith("not readable as HDF5")
    assert why["subject0001.h5"] == (None, "listed in train_test_split.json, but not there")
    assert why["subject0002.h5"] == (1, "gaze (pitch, yaw) is (nan, nan); expected radians")
    assert data.counts() == {"subject0002": 3, "subject0003": 4}
    assert data.where(1) == (str(root / "train" / "subject0002.h5"), 2)


def test_mpii_normalized(tmp_path):
    for n, person in enumerate(("p00", "p13")):
        gaze, head = spread(4, n)
        label = np.hstack([gaze, head, np.zeros((4, 12))])
        with h5py.File(tmp_path / f"{person}.mat", "w") as file:
            bgr = np.stack([picture(k, 448)[..., ::-1] for k in range(4)])
            file["Data/data"] = bgr.transpose(0, 3, 1, 2)
            file["Data/label"] = label
    data = open_dataset(f"mpii_normalized:{tmp_path}")
    item = data[5]
    assert data.people == ("p00", "p13")
    gaze, head = spread(4, 1)
    np.testing.assert_array_equal(item["gaze"].numpy(), gaze[1])
    np.testing.assert_array_equal(item["head"].numpy(), head[1])
    assert is_red(item["image"])
    assert np.abs(item["image"].permute(1, 2, 0).numpy().astype(int) - picture(1)).mean() < 2
