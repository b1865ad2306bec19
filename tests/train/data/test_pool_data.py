"""Pools of rendered crops as a data set, and what shards of the same renderer say of the eyes."""

from __future__ import annotations

import json
import pickle
import tarfile

import numpy as np
import pytest
import torch

from tests.train.made_data import make_gaze360, make_rendered, picture, spread
from train.data.cache import cached
from train.data.registry import looks_like, open_dataset
from train.data.samples import DataError
from train.factors import FACTORS
from train.synth.outputs.pool import ARRAYS, CropPool, PoolSettings, make_pool
from train.synth.outputs.shards import add_member

SETTINGS = PoolSettings(
    seed=3, domains=("lab", "street"), size=12, pictures_per_person=2, renderer_version=2
)


def fill(pool: CropPool, rows) -> None:
    gaze, head = spread(12)
    for row in rows:
        values = {name: np.full(shape, row, kind) for name, (shape, kind) in ARRAYS.items()}
        number = pool.settings.domain_number(row)
        pool.write(
            row,
            values
            | {"image": picture(row).transpose(2, 0, 1), "gaze": gaze[row], "head": head[row]}
            | {"sight_gaze": gaze[row] + 0.1, "person": row // 2, "domain": number}
            | {"identity": np.full(100, row // 2), "factors": np.full(len(FACTORS), 255)},
        )


@pytest.fixture
def pool(tmp_path):
    pool = make_pool(tmp_path / "pool", SETTINGS)
    fill(pool, (0, 1, 4, 5, 6, 11))
    return pool


def test_a_pool_is_the_rows_that_were_whole(pool):
    data = open_dataset(f"pool:{pool.folder}")
    assert looks_like(pool.folder) == ["pool"]
    assert len(data) == 6
    assert data.people == ("3-0", "3-2", "3-3", "3-5")
    assert data.labels()["person"].tolist() == [0, 0, 1, 1, 2, 3]
    assert data.identities()[:, 0].tolist() == [0, 2, 3, 5]
    assert data.where(2) == (str(pool.folder / "image.npy"), 4)
    sample = data[2]
    gaze, _ = spread(12)
    assert sample["gaze"].numpy() == pytest.approx(gaze[4])
    assert sample["sight_gaze"].numpy() == pytest.approx(gaze[4] + 0.1, abs=1e-6)
    assert np.array_equal(sample["image"].numpy(), picture(4).transpose(2, 0, 1))
    assert np.array_equal(data.picture(2), picture(4))
    for key, shape in (("seen_head", (2,)), ("seen_eyes", (2, 2)), ("rims", (2, 8, 2))):
        assert torch.equal(sample[key], torch.full(shape, 4.0))
        assert torch.equal(torch.from_numpy(data.labels()[key][2]), sample[key])
    assert torch.equal(sample["classes"], torch.full((112, 224), 4, dtype=torch.uint8))
    sample["image"][:] = 0  # a copy: the pool stays as it is
    assert pool.arrays["image"][4].any()


def test_rows_that_are_made_later_are_not_seen_until_it_is_opened_again(pool):
    data = open_dataset(f"pool:{pool.folder}")
    before = data.signature()
    fill(pool, (7, 2))
    assert len(data) == 6
    assert data.signature() == before
    again = open_dataset(f"pool:{pool.folder}")
    assert len(again) == 8
    assert again.signature() != before
    assert again.rows.tolist() == [0, 1, 2, 4, 5, 6, 7, 11]


def test_parts_of_a_pool(pool):
    of = f"pool:{pool.folder}"
    assert open_dataset(f"{of}?domains=street").rows.tolist() == [6, 11]
    assert open_dataset(f"{of}?people=3-5,3-0").rows.tolist() == [0, 1, 11]
    assert open_dataset(f"{of}?people=3-5,3-0").people == ("3-0", "3-5")
    part = open_dataset(of).subset([3, 5])
    assert part[1]["classes"][0, 0] == 11
    assert part.people == ("3-2", "3-5")
    copied = pickle.loads(pickle.dumps(part))
    assert len(pickle.dumps(part)) < 60_000
    assert torch.equal(copied[1]["image"], part[1]["image"])
    with pytest.raises(DataError, match="has no domain phone; it has lab, street"):
        open_dataset(f"{of}?domains=phone")


def test_pools_are_not_copied_into_caches(pool, tmp_path):
    data = open_dataset(f"pool:{pool.folder}")
    assert cached(data, tmp_path / "c") is data
    part = data.subset([1])
    assert cached(part, tmp_path / "c") is part
    other = open_dataset(f"gaze360:{make_gaze360(tmp_path / 'g')}")
    both = open_dataset([f"pool:{pool.folder}", f"gaze360:{tmp_path / 'g'}"])
    assert both[3]["classes"][0, 0] == 5
    assert not both[6]["classes"].any()
    assert both[6]["rims"].isnan().all()
    assert cached(both, tmp_path / "c") is not both
    assert np.array_equal(cached(both, tmp_path / "c")[6]["image"], other[0]["image"])


def test_pools_that_cannot_be_read(tmp_path, pool):
    empty = make_pool(tmp_path / "empty", SETTINGS)
    with pytest.raises(DataError, match=r"no row of .*empty is whole yet"):
        open_dataset(f"pool:{empty.folder}")
    (pool.folder / "rims.npy").write_bytes(b"cut short")
    with pytest.raises(DataError, match=r"pool: .*rims\.npy cannot be read"):
        open_dataset(f"pool:{pool.folder}")
    with pytest.raises(DataError, match=r"is not the root of pool.*Did you mean pool:"):
        open_dataset(f"pool:{tmp_path}")


def test_shards_say_what_run_time_sees_where_they_know(tmp_path):
    root = make_rendered(tmp_path, shards=2)
    known = {
        "crop_sight_gaze_pitch_yaw_rad": [0.1, -0.2],
        "crop_seen_head_pitch_yaw_rad": [0.3, 0.4],
        "seen_eyes_px": [[70, 90], [150, 91]],
        "iris_rims_px": np.arange(32.0).reshape(2, 8, 2).tolist(),
    }
    path = root / "shard-00001.tar"
    with tarfile.open(path) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            if name.endswith("json"):
                data = json.dumps(json.loads(data) | known).encode()
            add_member(tar, name, data)
    data = open_dataset(f"rendered:{root}")
    assert data[0]["sight_gaze"].isnan().all()
    assert data[0]["rims"].isnan().all()
    assert data[5]["sight_gaze"].tolist() == pytest.approx([0.1, -0.2])
    assert data[5]["seen_head"].tolist() == pytest.approx([0.3, 0.4])
    assert data[5]["seen_eyes"].tolist() == [[70, 90], [150, 91]]
    assert data[5]["rims"].flatten().tolist() == list(range(32))
    assert not data[5]["classes"].any()
    kept = cached(data, tmp_path / "cache")
    assert torch.equal(kept[5]["rims"], data[5]["rims"])
