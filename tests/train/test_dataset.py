"""Data sets of crops: the same items rendered or read, whatever the workers."""

from __future__ import annotations

import itertools
import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from clipgaze_sdk.geometry import vector_from_angles
from train.synth import write
from train.synth.dataset import (
    DOMAIN_NAMES,
    FACTOR_NAMES,
    PersonSampler,
    RenderedCrops,
    ShardedCrops,
)
from train.synth.write import WriteOptions, write_shards


@pytest.fixture(scope="module")
def folder(facekit_folder, studio, tmp_path_factory):
    """Five crops in three shards."""
    out = tmp_path_factory.mktemp("crops")
    options = WriteOptions(
        facekit_folder, out, "crops", 5, ("meeting",), 9, workers=1, shard_size=2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "_studio", lambda _: studio)
        write_shards(options)
    return out


@pytest.fixture
def rendered(facekit_folder, studio):
    crops = RenderedCrops(facekit_folder, 5, domains="meeting", seed=9)
    crops._own_studio = lambda: studio  # the session's, as a context takes a second to make
    return crops


def test_rendered_and_written_items_are_the_same(folder, rendered):
    written = ShardedCrops(folder)
    assert len(written) == len(rendered) == 5
    for index in (0, 4):
        a, b = rendered[index], written[index]
        assert a.keys() == b.keys()
        for name in a.keys() - {"image"}:
            assert (
                torch.equal(torch.as_tensor(a[name]), torch.as_tensor(b[name]))
                if (torch.is_tensor(a[name]))
                else a[name] == b[name]
            )
        assert (a["image"].float() - b["image"].float()).abs().mean() < 6


def test_items_are_tensors(rendered):
    item = rendered[3]
    shapes = {name: tuple(v.shape) for name, v in item.items() if torch.is_tensor(v)}
    assert shapes["image"] == (3, 224, 224)
    assert item["image"].dtype == torch.uint8
    assert shapes["gaze"] == shapes["head"] == shapes["openness"] == (2,)
    assert shapes["identity"] == (100,)
    assert shapes["factors"] == shapes["shown"] == (len(FACTOR_NAMES),)
    assert item["factors"].dtype == item["visible"].dtype == torch.bool
    assert shapes["landmarks"] == (70, 2)
    assert shapes["visible"] == (70,)
    assert item["index"] == 3
    assert item["person"] == 90_000_000
    assert DOMAIN_NAMES[item["domain"]] == "meeting"
    turn = item["crop_from_camera"]
    assert torch.allclose(turn @ turn.T, torch.eye(3), atol=1e-5)
    gaze = vector_from_angles(item["gaze"].double().numpy())
    assert gaze @ gaze == pytest.approx(1.0)
    with pytest.raises(IndexError, match="index 5 of 5"):
        rendered[5]


def test_workers_share_the_items(folder):
    loader = DataLoader(ShardedCrops(folder), batch_size=2, num_workers=2)
    batches = list(loader)
    assert sorted(int(i) for batch in batches for i in batch["index"]) == [0, 1, 2, 3, 4]
    assert batches[0]["image"].shape == (2, 3, 224, 224)


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_rendering_workers_make_the_same_items(facekit_folder, rendered, start):
    crops = RenderedCrops(facekit_folder, 2, domains="meeting", seed=9)
    pickle.loads(pickle.dumps(crops))
    loader = DataLoader(crops, batch_size=1, num_workers=1, multiprocessing_context=start)
    for index, batch in enumerate(loader):
        assert torch.equal(batch["image"][0], rendered[index]["image"])
        assert torch.equal(batch["gaze"][0], rendered[index]["gaze"])


def test_people_are_shuffled_together():
    sampler = PersonSampler(19, seed=1)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(19))
    assert first != second
    people = [i // 8 for i in first]
    assert sum(a != b for a, b in itertools.pairwise(people)) == 2
    assert first == list(PersonSampler(19, seed=1))


def test_what_is_not_crops_is_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="--product crops"):
        ShardedCrops(tmp_path)
    (tmp_path / "manifest.json").write_text('{"product": "clips", "shards": []}')
    with pytest.raises(ValueError, match="holds clips"):
        ShardedCrops(tmp_path)
    (tmp_path / "manifest.json").write_text((folder / "manifest.json").read_text())
    with pytest.raises(FileNotFoundError, match=r"misses shard-00000\.tar"):
        ShardedCrops(tmp_path)
    for path in folder.glob("*.tar"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match="is damaged"):
        ShardedCrops(tmp_path)
    with pytest.raises(ValueError, match="count is 0"):
        RenderedCrops(tmp_path, 0)
