"""Tiny folders in the true formats of the data sets that are read, for tests."""

from __future__ import annotations

import json
import tarfile

import cv2
import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="training tests need the extra [train]")
pytest.importorskip("matplotlib", reason="training tests need the extra [train]")

from clipgaze_sdk.geometry import (  # noqa: E402
    vector_from_angles,
)
from train.factors import FACTORS  # noqa: E402
from train.synth.outputs.shards import add_member, jpeg  # noqa: E402

NAMES = [f.name for f in FACTORS]
GAZE360_HEADER = "Face Left Right Origin 3DGaze 2DGaze"
GAZE360_SAMPLE = "0.6258,-0.3859,-0.6778 0.7455,-0.3962"
MPII_HEADER = "Face Left Right Origin WhichEye 3DGaze 3DHead 2DGaze 2DHead Rmat Smat GazeOrigin"
EYEDIAP_HEADER = "Face Left Right metapath 3DGaze 3DHead 2DGaze 2DHead Rvec Svec GazeOrigin"


def picture(seed, size=224):
    """Smooth and coloured, red above all, so that swapped channels are seen."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 60, (7, 7, 3), np.uint8) + np.array([180, 90, 10], np.uint8)
    return cv2.resize(coarse.astype(np.uint8), (size, size), interpolation=cv2.INTER_LINEAR)


def is_red(image):
    return bool(image[0].float().mean() > image[1].float().mean() > image[2].float().mean())


def spread(count, seed=0):
    """(N, 2) gaze and head that go together, as people's do."""
    rng = np.random.default_rng(seed)
    head = rng.uniform(-0.4, 0.4, (count, 2))
    return (head + rng.uniform(-0.2, 0.2, (count, 2))).astype(np.float32), head.astype(np.float32)


def commas(values):
    return ",".join(str(float(v)) for v in values)


def save_jpg(path, seed, size=224):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(picture(seed, size)))


def gaze360_row(split, number, tail, person="000003"):
    names = " ".join(f"{split}/{part}/{number}.jpg" for part in ("Face", "Left", "Right"))
    return f"{names} rec_000/head/{person}/{number:06d}.jpg {tail}"


def make_gaze360(root, split="train", rows=(GAZE360_SAMPLE,), pictures=True):
    lines = [gaze360_row(split, k + 1, tail) for k, tail in enumerate(rows)]
    (root / "Label").mkdir(parents=True, exist_ok=True)
    (root / "Label" / f"{split}.label").write_text("\n".join([GAZE360_HEADER, *lines]) + "\n")
    for k in range(len(rows) if pictures else 0):
        save_jpg(root / "Image" / split / "Face" / f"{k + 1}.jpg", k)
    return root


def gaze360_tail(pitch_yaw):
    stored = vector_from_angles(pitch_yaw) * (-1, -1, 1)
    return f"{commas(stored)} {commas(pitch_yaw[::-1])}"


def broken_gaze360(root):
    """15 good rows and four bad ones, one more whose picture does not decode."""
    rows = [gaze360_tail(gaze) for gaze in spread(20)[0]]
    rows[3] = "0.1,0.2 0.1,0.2"
    rows[5] = "0.6258,-0.3859,-0.6778 -0.7455,0.3962"
    rows[7] = "nan,nan,nan nan,nan"
    make_gaze360(root, rows=rows)
    faces = root / "Image" / "train" / "Face"
    (faces / "10.jpg").unlink()
    (faces / "12.jpg").write_bytes(b"no picture")
    label = root / "Label" / "train.label"
    label.write_text(label.read_text() + "train/Face/21.jpg too few\n")
    return root


def mpii_row(person, number, gaze, head, eye="left", smat="1.0,1.0,1.2"):
    names = " ".join(f"{person}/{part}/{number}.jpg" for part in ("face", "left", "right"))
    return (
        f"{names} day01/{number:04d}.jpg {eye} {commas(vector_from_angles(gaze))} 0.1,0.2,0.0 "
        f"{commas(gaze[::-1])} {commas(head[::-1])} 0.0,0.1,0.0 {smat} 1.0,2.0,600.0"
    )


def make_mpii(root, people=("p00", "p01"), each=3, **options):
    for k, person in enumerate(people):
        gaze, head = spread(each, k)
        rows = [
            mpii_row(person, n + 1, gaze[n], head[n], "right" if n % 3 == 2 else "left", **options)
            for n in range(each)
        ]
        (root / "Label").mkdir(parents=True, exist_ok=True)
        text = "\n".join([MPII_HEADER, *rows]) + "\n"
        (root / "Label" / f"{person}.label").write_text(text)
        for n in range(each):
            save_jpg(root / "Image" / person / "face" / f"{n + 1}.jpg", 10 * k + n)
    return root


def make_xgaze(root, people=2, each=30):
    names = [f"subject{n:04d}.h5" for n in range(people)]
    for split in ("train", "test"):
        (root / split).mkdir(parents=True, exist_ok=True)
    splits = {"train": names, "test": ["subject0099.h5"], "test_person_specific": []}
    (root / "train_test_split.json").write_text(json.dumps(splits))
    for n, name in enumerate([*names, "subject0099.h5"]):
        gaze, head = spread(each, n)
        with h5py.File(root / ("train" if name in names else "test") / name, "w") as file:
            bgr = np.stack([picture(100 * n + k)[..., ::-1] for k in range(each)])
            file["face_patch"] = bgr
            if name in names:
                file["face_gaze"] = gaze
            file["face_head_pose"] = head
            file["face_mat_norm"] = np.tile(np.eye(3, dtype=np.float32), (each, 1, 1))
            file["cam_index"] = np.ones((each, 1), np.int32)
            file["frame_index"] = np.zeros((each, 1), np.int32)
    return root


def record(person, gaze, head, on=("smile",), hidden=("bald",)):
    return {
        "person": person,
        "identity": [float(person[-1]) + 0.5] * 100,
        "factors": {name: name in on for name in NAMES},
        "shown": [name for name in NAMES if name not in hidden],
        "crop_gaze_pitch_yaw_rad": [round(float(v), 7) for v in gaze],
        "crop_head_pitch_yaw_rad": [round(float(v), 7) for v in head],
    }


def make_rendered(root, shards=2, each=4, seed=3, product="crops"):
    root.mkdir(parents=True, exist_ok=True)
    entries = []
    for shard in range(shards):
        gaze, head = spread(each, shard)
        path = root / f"shard-{shard:05d}.tar"
        with tarfile.open(path, "w") as tar:
            for n in range(each):
                key = f"{seed:03d}-{shard * each + n:08d}"
                labels = record(f"{seed}-{shard}", gaze[n], head[n])
                labels["domain"] = ("lab", "street", "phone")[n % 3]
                add_member(tar, f"{key}.jpg", jpeg(picture(shard * each + n)))
                add_member(tar, f"{key}.json", json.dumps(labels).encode())
        entries.append({"name": path.name, "count": each})
    manifest = {"product": product, "seed": seed, "factors": NAMES, "shards": entries}
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root
