"""CLIP-Gaze (AAAI 2024, arXiv 2403.05124): features kept from what text says is not gaze."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from train.gaze import losses
from train.gaze.methods.base import Method, TensorBatch
from train.gaze.models import GazeModel, Outputs
from train.loop.training_loop import Scalars

PROMPTS = ("hand", "coop", "cocoop", "pco")
"""Kinds of ``train.clip.prompts``."""


@dataclass(frozen=True, slots=True)
class ClipGazeOptions:
    """Weights, temperature and strides; the values are ours."""

    prompts: str = "pco"
    """Which prompts describe the factors: written by hand (``hand``: CLIP-Gaze⁻), or with learnt
    context that is free (``coop``), of each picture (``cocoop``, slow) or of the person
    (``pco``)."""
    distil: float = 1.0
    """λ₁, of L_d."""
    separate: float = 1.0
    """λ₂, of L_ir."""
    rank: float = 1.0
    """λ₃, of L_re."""
    temperature: float = 0.05
    """Of the softmax that weighs the factors."""
    strides: tuple[int, ...] = losses.STRIDES
    """Of L_re: see :data:`train.gaze.losses.STRIDES`."""
    tie: float = losses.TIE
    """Of L_re: cosines of gazes that differ by no more have no order."""
    centred: bool = False
    """L_ir and L_re in our form, which no constant feature makes small: ``train.gaze.losses``."""

    def __post_init__(self) -> None:
        if self.prompts not in PROMPTS:
            raise ValueError(f"prompts are {self.prompts!r}; expected one of {', '.join(PROMPTS)}")
        if not 0 <= self.tie < 2:
            raise ValueError(f"tie is {self.tie}; expected a difference of cosines, such as 0.01")
        if self.temperature <= 0 or not self.strides or min(self.strides) < 1:
            raise ValueError(
                f"temperature {self.temperature} and strides {self.strides}; expected a "
                "temperature above 0 and strides of at least 1"
            )


class ImageFeatures(Protocol):
    """CLIP's image features of a batch."""

    def features(self, batch: TensorBatch) -> Tensor:
        """(B, width), without gradient."""
        ...


class TextFeatures(Protocol):
    """CLIP's text features of the factors, as they hold for each person.

    ``train.clip.prompts.PersonTextFeatures`` is one; :class:`PersonTexts` keeps a table of it.
    """

    def features(self, person: Tensor, image_features: Tensor | None = None) -> Tensor:
        """(B, K, width) of people (B,); or (K, width) where they are the same for everybody."""
        ...


class CachedImages:
    """Image features by the samples' index: ``table`` (N, width), NaN where unknown.

    They are of the pictures as stored: augmentation changes what the CNN sees, and the CNN shall
    still find the same description (ours).
    """

    def __init__(self, table: Tensor) -> None:
        known = ~table.isnan().all(-1)
        if table.ndim != 2 or not known.any() or not torch.isfinite(table[known]).all():
            raise ValueError(
                f"image features have shape {tuple(table.shape)} or are not finite; expected "
                "(samples, CLIP's width) of finite numbers, or rows of NaN where they are unknown: "
                "make the cache again"
            )
        self.table = table

    def features(self, batch: TensorBatch) -> Tensor:
        """Looked up."""
        device = batch["gaze"].device
        return self.table[batch["index"].to(self.table.device)].to(
            device, torch.float32, non_blocking=True
        )


class PersonTexts:
    """Text features ``table`` (P, K, width) by person; P = 1 where nothing depends on them."""

    def __init__(self, table: Tensor) -> None:
        if table.ndim != 3 or not torch.isfinite(table).all():
            raise ValueError(
                f"text features have shape {tuple(table.shape)} or are not finite; expected "
                "(people or 1, factors, CLIP's width) of finite numbers"
            )
        self.table = F.normalize(table.float(), dim=-1)

    def features(self, person: Tensor, image_features: Tensor | None = None) -> Tensor:
        """Looked up, on the people's device."""
        if self.table.device != person.device:
            self.table = self.table.to(person.device, non_blocking=True)
        return self.table[0] if len(self.table) == 1 else self.table[person]


@dataclass(frozen=True, slots=True)
class ClipTeacher:
    """What CLIP says, in training only."""

    images: ImageFeatures
    texts: TextFeatures
    name: str
    """Of CLIP and prompts, for the card."""

    def of(self, batch: TensorBatch) -> dict[str, Tensor]:
        """``image_features`` (B, width) and ``text_features`` (K, width) or (B, K, width)."""
        with torch.no_grad():
            images = self.images.features(batch)
            texts = self.texts.features(batch["person"], images)
        return {"image_features": images, "text_features": texts.to(images.device)}


class ClipGaze(Method):
    """L_g + λ₁ L_d + λ₂ L_ir + λ₃ L_re.

    L_d is of the pictures whose image features are known (ours), and L_re compares the images of
    all processes.  Features of a twin are of the picture as it is, which is what CLIP saw.  Logged
    beside the losses, as they tell known failures:

    - ``factors`` is exp of the entropy of W, the number of factors that it looks at (all of them:
      the temperature is too high);
    - ``alike`` is the mean cosine of different images' f_re (1: one constant feature that is far
      from every text), and ``directions`` how many directions they vary along, (Σλ)² / Σλ² of their
      covariance's eigenvalues;
    - ``distil_others`` is L_d with another picture's description in the place of its own: where it
      is no higher than ``distil``, nothing of the picture was distilled.
    """

    needs_clip: ClassVar[bool] = True

    def __init__(self, model: GazeModel, options: ClipGazeOptions) -> None:
        super().__init__(model)
        self.options = options

    def terms(self, out: Outputs, error: Tensor, batch: TensorBatch) -> tuple[Tensor, Scalars]:
        """The four terms; one whose weight is 0 is not computed."""
        o = self.options
        total, scalars = error.mean(), {}
        texts = batch["text_features"]
        parts: dict[str, Callable[[], Tensor]] = {
            "distil": lambda: losses.distil(out.f, batch["image_features"]),
            "separate": lambda: losses.separate(
                out.f, out.f_re, texts, o.temperature, centred=o.centred
            ),
            "rank": lambda: losses.rank(
                self.gather(out.f_re),
                self.gather(batch["gaze"]),
                o.strides,
                o.tie,
                centred=o.centred,
            ),
        }
        for (name, part), weight in zip(parts.items(), (o.distil, o.separate, o.rank), strict=True):
            if weight:
                value = part()
                total = total + weight * value
                scalars[name] = value.detach()
        with torch.no_grad():
            weights = losses.factor_weights(out.f, texts, o.temperature)
            scalars["factors"] = torch.special.entr(weights).sum(-1).exp().mean()
            mean = F.normalize(out.f_re, dim=-1).mean(0)
            size = len(out.f_re)
            scalars["alike"] = (mean.square().sum() * size - 1) / max(size - 1, 1)
            apart = out.f_re - out.f_re.mean(0)
            products = apart @ apart.T
            spread = products.square().sum().clamp(min=1e-30)
            scalars["directions"] = products.trace().square() / spread
            if o.distil:
                others = batch["image_features"].roll(1, 0)
                scalars["distil_others"] = losses.distil(out.f, others)
        return total, scalars
