"""What CLIP says of a data set, made ready for training: image features, texts per person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.clip.clip_models import Clip, cached_features, load_clip
from train.clip.prompts import HandWritten, PersonTextFeatures, Prompts, load_prompts
from train.data.tables import GazeDataset
from train.gaze.methods.clip_gaze import (
    CachedImages,
    ClipGazeOptions,
    ClipTeacher,
    PersonTexts,
    TextFeatures,
)

_PEOPLE_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """Which CLIP, which prompts, and where its features are kept."""

    clip: str
    """As :func:`train.clip.clip_models.load_clip` takes it."""
    cache: Path
    prompts: Path | None = None
    """Folder that ``python -m train.clip.tune_prompts`` wrote, for learnt prompts."""
    device: str = "cpu"
    workers: int = 0
    identity: Path | None = None
    """Folder that ``python -m train.clip.identity`` wrote, for photographs and PCO's prompts."""


def make_teacher(
    source: GazeDataset, method: ClipGazeOptions, options: TeacherOptions
) -> ClipTeacher:
    """Features of every picture (cached on disk) and the texts' features of every person.

    Raises :class:`ValueError` where prompts are missing, or of another kind than the recipe's, or
    somebody's identity that they need is unknown.
    """
    kind = method.prompts
    if kind != "hand" and options.prompts is None:
        raise ValueError(
            f"prompts of kind {kind} are learnt: give their folder (--prompts), made by "
            "`python -m train.clip.tune_prompts`, or set prompts=hand"
        )
    clip = load_clip(options.clip, device=options.device)
    prompts: Prompts
    if options.prompts is None or kind == "hand":
        prompts = HandWritten(clip)
    else:
        prompts = load_prompts(options.prompts, clip).to(options.device)
        if prompts.kind != kind:
            raise ValueError(
                f"{options.prompts} holds prompts of kind {prompts.kind}; the recipe's are {kind}: "
                f"give others, or set prompts={prompts.kind}"
            )
    if kind == "cocoop" and not _whole(source).all():
        raise ValueError(
            f"some pictures of {source.name} are eye bands, of which CLIP sees too little for "
            "prompts of kind cocoop; leave them out, or take another kind"
        )
    images = CachedImages(_features(clip, source, options))
    name = f"{clip.name} ({clip.fingerprint}), prompts {kind}"
    return ClipTeacher(images, _texts(source, prompts, options), name)


def _whole(source: GazeDataset) -> NDArray[np.bool_]:
    """(N,) whether pictures are more than an eye band."""
    return np.asarray(source.labels().get("whole", np.ones(len(source))), bool)


def _features(clip: Clip, source: GazeDataset, options: TeacherOptions) -> Tensor:
    """(N, width) of every picture; NaN of eye bands, in which CLIP sees too little of a face."""
    whole = _whole(source)
    if not whole.any():
        raise ValueError(
            f"{source.name} has eye bands alone, of which CLIP sees too little; add whole crops: "
            "`python -m train.synth write --product crops`"
        )
    part = source if whole.all() else source.subset(np.flatnonzero(whole))
    known = cached_features(clip, part, options.cache, workers=options.workers)
    table = np.full((len(whole), clip.width), np.nan, np.float16)
    table[whole] = known
    return torch.from_numpy(table)


def _texts(source: GazeDataset, prompts: Prompts, options: TeacherOptions) -> TextFeatures:
    """A table by person, which spares every step a look at the CPU; CoCoOp's cannot be one."""
    if prompts.kind == "cocoop":
        return PersonTextFeatures(prompts)
    if prompts.kind != "pco":
        return PersonTexts(PersonTextFeatures(prompts).features(torch.zeros(1).long())[None])
    from train.clip.identity_regressor import identities_of

    # Nobody asks for people without crops; their coefficients may be unknown.
    known = np.nan_to_num(identities_of(source, options.identity, device=options.device))
    personal = PersonTextFeatures(prompts, torch.from_numpy(known))
    people = torch.arange(len(source.people)).split(_PEOPLE_AT_ONCE)
    return PersonTexts(torch.cat([personal.features(some) for some in people]))
