"""A data set of noise with labels, and a CLIP of a few numbers, for tests of training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from train.data.samples import IDENTITY, UNKNOWN
from train.factors import FACTORS

TINY = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {"context_length": 64, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


class FakeFaces:
    """``people`` with ``pictures`` each; the red channel tells of glasses, the rest is noise."""

    def __init__(self, people: int = 6, pictures: int = 4, size: int = 40, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        count = people * pictures
        self.name = f"fake{seed}"
        self.people = tuple(f"p{k}" for k in range(people))
        self.reads = 0
        self._image = rng.integers(0, 256, (count, 3, size, size), np.uint8)
        self._factors = rng.integers(0, 2, (count, len(FACTORS)), np.uint8)
        self._factors[rng.random(self._factors.shape) < 0.2] = UNKNOWN
        self._factors[:, self.glasses] = np.arange(count) % 2
        self._image[:, 0] = np.where(self._factors[:, self.glasses, None, None] == 1, 250, 5)
        self._person = np.repeat(np.arange(people), pictures)
        self._head = rng.normal(0, 0.1, (count, 2)).astype(np.float32)
        self._identity = rng.normal(size=(people, IDENTITY)).astype(np.float32)

    glasses = [f.name for f in FACTORS].index("glasses")

    def __len__(self) -> int:
        return len(self._image)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        self.reads += 1
        return {"image": torch.from_numpy(self._image[index]), "index": torch.tensor(index)}

    def labels(self) -> dict[str, np.ndarray]:
        return {
            "gaze": np.zeros((len(self), 2), np.float32),
            "head": self._head.copy(),
            "person": self._person.copy(),
            "factors": self._factors.copy(),
        }

    def identities(self) -> np.ndarray:
        return self._identity.copy()

    def signature(self) -> str:
        return f"{self.name}-{len(self)}".ljust(16, "-")

    def without_identity(self) -> FakeFaces:
        """The same faces of people whose coefficients are unknown."""
        self._identity[:] = np.nan
        return self

    def without_factors(self) -> FakeFaces:
        """The same faces with no factor known."""
        self._factors[:] = UNKNOWN
        return self


def tiny_clip_folder(folder: Path, *, seed: int = 0, custom_text: bool = False) -> Path:
    """Write a CLIP of random weights as ``train.clip.pretrain`` does; returns its folder."""
    from safetensors.torch import save_file

    from train.clip.clip_models import CONFIG, WEIGHTS, build_clip

    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": TINY | ({"custom_text": True} if custom_text else {})}
    torch.manual_seed(seed)
    model = build_clip(config)
    (folder / CONFIG).write_text(json.dumps(config))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)
    return folder
