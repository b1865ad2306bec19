"""What CLIP says of rows that come while a run trains, by the weights that ship: for CLIP-Gaze."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.clip.clip_models import Clip, load_clip
from train.clip.prompts import HandWritten, PersonTextFeatures, load_prompts
from train.gaze.methods.clip_gaze import ClipGazeOptions, ClipTeacher
from train.loop.training_loop import FitError
from train.loop.weight_cards import SHIPPED
from train.runs.gpu.rows import PoolRows
from train.synth.outputs.pool import IDENTITY

_AT_ONCE = 64
"""People whose texts, or tens of pictures which, are described at once."""


class GrowingFeatures:
    """Image features by a row's place, and text features by its person; both grow with the rows."""

    def __init__(self, rows: PoolRows, method: ClipGazeOptions, clip: Clip, prompts: Path) -> None:
        device = rows.store.device
        settings = rows.pool.settings
        people = -(-settings.size // settings.pictures_per_person)
        self.rows, self.clip, self._described = rows, clip, 0
        self._identities = torch.zeros(people, IDENTITY)
        self._known = np.zeros(people, bool)
        self.table = torch.zeros(rows.store.capacity, clip.width, dtype=torch.half, device=device)
        if method.prompts == "hand":
            self._texts = PersonTextFeatures(HandWritten(clip))
        elif method.prompts == "pco":
            personal = load_prompts(prompts, clip).to(device)
            self._texts = PersonTextFeatures(personal, self._identities)
        else:
            raise FitError(
                f"prompts={method.prompts} are not among the weights that ship; set prompts=pco, "
                "or prompts=hand"
            )
        first = self._texts.features(torch.zeros(1, dtype=torch.long))
        self.personal = first.ndim == 3
        shape = first.shape[-2:]
        self.texts = first.half().to(device)
        if self.personal:
            self.texts = torch.zeros(people, *shape, dtype=torch.half, device=device)

    def learn(self) -> None:
        """Describe the rows that are on the device and were not described."""
        first, last = self._described, len(self.rows)
        images = self.rows.store["image"]
        for start in range(first, last, 8 * _AT_ONCE):
            part = slice(start, min(start + 8 * _AT_ONCE, last))
            self.table[part].copy_(self.clip.encode_images(images[part]))
        if self.personal and last > first:
            self._learn_people(self.rows.where[first:last])
        self._described = last

    def _learn_people(self, rows: NDArray[np.int64]) -> None:
        arrays = self.rows.pool.arrays
        people, place = np.unique(np.asarray(arrays["person"][rows]), return_index=True)
        new = ~self._known[people]
        people, place = people[new], place[new]
        if not len(people):
            return
        identities = np.asarray(arrays["identity"][rows[place]], np.float32)
        self._identities[people] = torch.from_numpy(identities)
        for some in torch.from_numpy(people).split(_AT_ONCE):
            self.texts[some.to(self.texts.device)] = self._texts.features(some).to(self.texts)
        self._known[people] = True


class RowImages:
    """Image features by a row's place."""

    def __init__(self, features: GrowingFeatures) -> None:
        self._of = features

    def features(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, width) by ``index``, which is a place on the device."""
        return self._of.table[batch["index"]].float()


class RowTexts:
    """Texts of the factors, by a row's person."""

    def __init__(self, features: GrowingFeatures) -> None:
        self._of = features

    def features(self, person: Tensor, image_features: Tensor | None = None) -> Tensor:
        """(B, K, width), or (K, width) where they are the same for everybody."""
        texts = self._of.texts
        return texts[person].float() if self._of.personal else texts.float()


def shipped_clip(device: torch.device) -> Clip:
    """The face CLIP of ``train/weights``."""
    return load_clip(str(SHIPPED / "face_clip"), device=device)


def growing_teacher(
    rows: PoolRows, method: ClipGazeOptions, clip: Clip
) -> tuple[ClipTeacher, GrowingFeatures]:
    """A teacher for rows of a pool, and what is to :meth:`GrowingFeatures.learn` of new ones.

    Raises :class:`~train.loop.training_loop.FitError` for prompts that do not ship.
    """
    features = GrowingFeatures(rows, method, clip, SHIPPED / "prompts_pco")
    name = f"{clip.name} ({clip.fingerprint}), prompts {method.prompts}"
    return ClipTeacher(RowImages(features), RowTexts(features), name), features
