"""Prompts: texts of the gaze-irrelevant factors, written by hand or with learnt context.

Every kind gives the features of a positive and a negative text per factor by one interface,
:meth:`Prompts.features`.  Hand-written texts are ``An image of a face with {c}.``; learnt ones
``[v_1] ... [v_M] {c}.``, where the context v is free (CoOp), or shifted by a Meta-Net of the
picture (CoCoOp) or of the person's identity (personalised context optimisation, PCO).

Ours: the list of factors with its negative phrases, the same context for both sides, M = 4, and a
hidden layer of 32 in PCO's Meta-Net.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from train.clip.clip_models import Clip
from train.data.samples import IDENTITY, UNKNOWN
from train.factors import DIMENSIONS, FACTORS, PROMPT, Dimension, Factor
from train.loop.weight_cards import read_halves

Kind = Literal["hand", "coop", "cocoop", "pco"]

PERSONAL: tuple[Dimension, ...] = ("appearance", "wearable")
"""Dimensions whose prompts are personalised in gaze training; image quality's are fixed."""

CONTEXT = 4
WRITTEN = PROMPT.partition(" {")[0]
"""What hand-written prompts say before a factor's words."""
HIDDEN = 32
CONTEXT_STD = 0.02
_AT_ONCE = 4
"""Conditions whose prompts are encoded together where no gradient is needed."""


def factor_rows(dimensions: Sequence[Dimension]) -> list[int]:
    """Rows of :data:`~train.factors.FACTORS` of some dimensions, in the table's order."""
    unknown = set(dimensions) - set(DIMENSIONS)
    if unknown or not dimensions:
        raise ValueError(f"dimensions are {list(dimensions)}; expected some of {list(DIMENSIONS)}")
    return [i for i, f in enumerate(FACTORS) if f.dimension in dimensions]


class UnknownWords(UserWarning):
    """A CLIP that was trained on few pictures lacks words of a factor, which then says little."""


class Prompts(nn.Module):
    """What all kinds share: which factors they speak of."""

    kind: Kind

    def __init__(self, clip: Clip, dimensions: Sequence[Dimension]) -> None:
        super().__init__()
        self.dimensions = tuple(dimensions)
        self.rows = factor_rows(dimensions)
        """(K,) rows of the table, for picking labels."""
        self.factors: tuple[Factor, ...] = tuple(FACTORS[i] for i in self.rows)
        # Not a submodule: CLIP's weights are no part of what is learnt, moved or saved.
        self._clip = (clip,)
        for factor in self.factors:
            if unknown := clip.unknown_words([f"{factor.positive}.", f"{factor.negative}."]):
                warnings.warn(
                    f"{clip.name} has never seen {', '.join(map(repr, unknown))}, so it hardly "
                    f"tells {factor.name}; train it on captions with these words",
                    UnknownWords,
                    stacklevel=3,
                )

    @property
    def clip(self) -> Clip:
        """The frozen model that encodes the texts."""
        return self._clip[0]

    def features(
        self, identity: Tensor | None = None, image_features: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positive and negative text features (P, K, width), rows of length 1.

        ``identity`` (P, 100) conditions PCO, ``image_features`` (P, width) CoCoOp; what a kind does
        not need it ignores, and P is 1 where nothing conditions.
        """
        raise NotImplementedError


class HandWritten(Prompts):
    """``An image of a face with {c}.``, nothing learnt."""

    kind: Kind = "hand"

    def __init__(self, clip: Clip, dimensions: Sequence[Dimension] = DIMENSIONS) -> None:
        super().__init__(clip, dimensions)
        for side in ("positive", "negative"):
            texts = [PROMPT.format(getattr(f, side)) for f in self.factors]
            self.register_buffer(
                side, clip.encode_text(texts, unknown_too=True)[None], persistent=False
            )

    def features(
        self, identity: Tensor | None = None, image_features: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.get_buffer("positive"), self.get_buffer("negative")


class CoOp(Prompts):
    """Free context vectors before the words; v ~ N(0, 0.02²) to begin with, or given words'."""

    kind: Kind = "coop"

    def __init__(
        self,
        clip: Clip,
        dimensions: Sequence[Dimension] = DIMENSIONS,
        *,
        context: int = CONTEXT,
    ) -> None:
        super().__init__(clip, dimensions)
        if context < 1:
            raise ValueError(f"context is {context} vectors; expected at least 1")
        words = [f.positive for f in self.factors] + [f.negative for f in self.factors]
        # The X hold the places of the context vectors; each is one token, known or not.
        tokens = clip.tokenize([" ".join(["X"] * context + [w]) + "." for w in words])
        embedded = clip.embed(tokens)
        self.register_buffer("start", embedded[:, :1], persistent=False)
        self.register_buffer("words", embedded[:, 1 + context :], persistent=False)
        self.register_buffer("end", clip.end_of(tokens), persistent=False)
        self.context = nn.Parameter(torch.empty(context, clip.token_width, device=clip.device))
        nn.init.normal_(self.context, std=CONTEXT_STD)

    @torch.no_grad()
    def start_from_words(self) -> None:
        """Set the context to the hand-written prompts' words, so that features are theirs (ours).

        The context must be as long as they are, :func:`written_context`.  A Meta-Net begins with
        shifts of 0.
        """
        tokens = self.clip.tokenize([WRITTEN])
        end = int(self.clip.end_of(tokens))
        if end - 1 != len(self.context):
            raise ValueError(
                f"the context has {len(self.context)} vectors; {WRITTEN!r} has {end - 1} tokens: "
                f"give context={end - 1}"
            )
        self.context.copy_(self.clip.embed(tokens)[0, 1:end])
        meta = getattr(self, "meta", None)
        if meta is not None:
            nn.init.zeros_(meta[-1].weight)
            nn.init.zeros_(meta[-1].bias)

    def shift(self, identity: Tensor | None, image_features: Tensor | None) -> Tensor | None:
        """π (P, token_width) of :meth:`features`' conditions; None where nothing conditions."""
        return None

    def features(
        self, identity: Tensor | None = None, image_features: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        shift = self.shift(identity, image_features)
        context = self.context[None] if shift is None else self.context + shift[:, None]
        if torch.is_grad_enabled():
            both = self._encoded(context)
        else:
            both = torch.cat([self._encoded(c) for c in context.split(_AT_ONCE)])
        positive, negative = both.split(len(self.factors), dim=1)
        return positive, negative

    def _encoded(self, context: Tensor) -> Tensor:
        """(P, 2 K, width) of contexts (P, M, token_width)."""
        start, words = self.get_buffer("start"), self.get_buffer("words")
        people, texts = len(context), len(words)
        whole = torch.cat(
            [
                start.expand(people, -1, -1, -1),
                context[:, None].expand(-1, texts, -1, -1),
                words.expand(people, -1, -1, -1),
            ],
            dim=2,
        ).flatten(0, 1)
        end = self.get_buffer("end").expand(people, -1).flatten()
        features: Tensor = self.clip.encode_tokens(whole, end).unflatten(0, (people, texts))
        return features


class CoCoOp(CoOp):
    """Context shifted by a Meta-Net of the image feature, which therefore may tell of gaze."""

    kind: Kind = "cocoop"

    def __init__(
        self,
        clip: Clip,
        dimensions: Sequence[Dimension] = DIMENSIONS,
        *,
        context: int = CONTEXT,
    ) -> None:
        super().__init__(clip, dimensions, context=context)
        self.meta = meta_net(clip.width, max(clip.width // 16, 1), clip.token_width).to(clip.device)

    def shift(self, identity: Tensor | None, image_features: Tensor | None) -> Tensor:
        moved: Tensor = self.meta(_condition("image_features", image_features, self.clip.width))
        return moved


class PCO(CoOp):
    """Context shifted by a Meta-Net of the identity coefficients: v_i(f_m) = v_i + h(f_m)."""

    kind: Kind = "pco"

    def __init__(
        self,
        clip: Clip,
        dimensions: Sequence[Dimension] = DIMENSIONS,
        *,
        context: int = CONTEXT,
    ) -> None:
        super().__init__(clip, dimensions, context=context)
        self.meta = meta_net(IDENTITY, HIDDEN, clip.token_width).to(clip.device)

    def shift(self, identity: Tensor | None, image_features: Tensor | None) -> Tensor:
        moved: Tensor = self.meta(_condition("identity", identity, IDENTITY))
        return moved


def written_context(clip: Clip) -> int:
    """Number of tokens of the hand-written prompts before a factor's words."""
    return int(clip.end_of(clip.tokenize([WRITTEN]))) - 1


def meta_net(given: int, hidden: int, width: int) -> nn.Sequential:
    """Linear → ReLU → Linear, as CoCoOp has it."""
    return nn.Sequential(nn.Linear(given, hidden), nn.ReLU(), nn.Linear(hidden, width))


def _condition(name: str, value: Tensor | None, width: int) -> Tensor:
    if value is None or value.ndim != 2 or value.shape[1] != width:
        what = None if value is None else tuple(value.shape)
        raise ValueError(f"{name} is {what}; these prompts need (P, {width})")
    if not torch.isfinite(value).all():
        raise ValueError(
            f"{name} of some person is unknown (NaN); coefficients of photographs come from "
            "`python -m train.clip.identity`"
        )
    return value


def make_prompts(
    kind: Kind, clip: Clip, dimensions: Sequence[Dimension] = DIMENSIONS, *, context: int = CONTEXT
) -> Prompts:
    """Prompts of a kind; ``context`` is the number of learnt vectors."""
    if kind == "hand":
        return HandWritten(clip, dimensions)
    if kind == "coop":
        return CoOp(clip, dimensions, context=context)
    if kind == "cocoop":
        return CoCoOp(clip, dimensions, context=context)
    if kind == "pco":
        return PCO(clip, dimensions, context=context)
    raise ValueError(f"kind is {kind!r}; expected one of {', '.join(get_args(Kind))}")


def truth_probability(
    image_features: Tensor, positive: Tensor, negative: Tensor, temperature: float
) -> Tensor:
    """p_k (B, K) that factor k is on, by the proxy task's softmax over its two texts.

    p_k = exp(sim(f_v, f_k)/τ) / (exp(sim(f_v, f_k)/τ) + exp(sim(f_v, f̄_k)/τ)), for image features
    (B, width) and text features (B, K, width) or (1, K, width), all of length 1.
    """
    return torch.sigmoid(_logit(image_features, positive, negative, temperature))


def _logit(
    image: Tensor, positive: Tensor, negative: Tensor, temperature: float | Tensor
) -> Tensor:
    return torch.einsum("bd,bkd->bk", image, (positive - negative).expand(len(image), -1, -1)) / (
        temperature
    )


def proxy_loss(
    image_features: Tensor,
    positive: Tensor,
    negative: Tensor,
    factors: Tensor,
    temperature: float | Tensor,
    weight: Tensor | None = None,
) -> Tensor:
    """Mean of −log p of the true side over the known factors; 0 where none is known.

    ``factors`` is (B, K) uint8 with 255 for unknown.  ``weight`` (K, 2) of (off, on), see
    :func:`side_weights`, makes rare sides count as much as frequent ones (ours).
    """
    logit = _logit(image_features, positive, negative, temperature)
    known = factors != UNKNOWN
    on = factors == 1
    loss = functional.softplus(torch.where(on, -logit, logit))
    share = known.to(loss.dtype)
    if weight is not None:
        share = share * torch.where(on, weight[:, 1], weight[:, 0])
    return (loss * share).sum() / share.sum().clamp(min=1e-9)


def side_weights(factors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(K, 2) weights of (off, on) that make both sides of each factor weigh 1/2; 0 if one lacks.

    ``factors`` is (N, K), 255 for unknown.
    """
    counts = np.stack([(factors == side).sum(0) for side in (0, 1)], axis=1).astype(np.float64)
    total = counts.sum(1, keepdims=True)
    both = (counts > 0).all(1, keepdims=True)
    return np.where(both, total / (2 * np.maximum(counts, 1)), 0).astype(np.float32)


class PersonTextFeatures:
    """f_k^ir of every factor in gaze training, computed once a person.

    Appearance and wearable come from ``personal`` prompts, image quality from hand-written ones.
    The texts are the positive ones, in the table's order.
    """

    def __init__(self, personal: Prompts, identities: Tensor | None = None) -> None:
        """``identities`` is (people, 100), a row per index of the data set's people (for PCO)."""
        if personal.kind == "pco" and identities is None:
            raise ValueError("PCO's prompts need the identities of people; got None")
        self.personal = personal
        self.identities = identities
        rest = [d for d in DIMENSIONS if d not in personal.dimensions]
        self.fixed = HandWritten(personal.clip, rest) if rest else None
        rows = personal.rows + (self.fixed.rows if self.fixed else [])
        self._order = np.argsort(rows).tolist()
        self._known: dict[int, Tensor] = {}

    @torch.no_grad()
    def features(self, person: Tensor, image_features: Tensor | None = None) -> Tensor:
        """(K, width) where all people have the same, else (B, K, width), of people (B,).

        CoCoOp's depend on each picture, so they need ``image_features`` (B, width) and are not
        kept: slow, for the comparison alone.
        """
        if self.personal.kind == "cocoop":
            return self._whole(self.personal.features(image_features=image_features)[0])
        if self.personal.kind != "pco":
            return self._one(0)
        people = person.tolist()
        self._learn(sorted({p for p in people if p not in self._known}))
        return torch.stack([self._known[p] for p in people]).to(person.device).float()

    def _one(self, key: int) -> Tensor:
        if key not in self._known:
            self._known[key] = self._whole(self.personal.features()[0])[0]
        return self._known[key]

    def _learn(self, people: list[int]) -> None:
        if not people or self.identities is None:
            return
        identity = self.identities[people].to(self.personal.clip.device)
        whole = self._whole(self.personal.features(identity=identity)[0])
        # Halves, as there may be thousands of people.
        self._known |= dict(zip(people, whole.half(), strict=True))

    def _whole(self, personal: Tensor) -> Tensor:
        if self.fixed is None:
            return personal
        fixed = self.fixed.features()[0].expand(len(personal), -1, -1)
        return torch.cat([personal, fixed], dim=1)[:, self._order]


def save_prompts(prompts: Prompts, folder: Path) -> None:
    """Write ``prompts.safetensors`` and ``prompts.json`` (kind, dimensions, context, CLIP)."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in prompts.state_dict().items()}
    save_file(tensors, folder / "prompts.safetensors")
    about = {
        "kind": prompts.kind,
        "dimensions": list(prompts.dimensions),
        "factors": [f.name for f in prompts.factors],
        "context": len(prompts.context) if isinstance(prompts, CoOp) else 0,
        "clip": prompts.clip.name,
        "clip_fingerprint": prompts.clip.fingerprint,
    }
    (folder / "prompts.json").write_text(json.dumps(about, indent=2) + "\n")


def load_prompts(folder: Path, clip: Clip) -> Prompts:
    """Prompts that ``python -m train.clip.tune_prompts`` wrote, frozen.

    Raises :class:`FileNotFoundError` where there are none, and :class:`ValueError` where they were
    learnt with other CLIP weights or another table of factors.
    """
    path = folder / "prompts.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no prompts.json; make it by `python -m train.clip.tune_prompts`"
        )
    about: Mapping[str, object] = json.loads(path.read_text())
    if about["clip_fingerprint"] != clip.fingerprint:
        raise ValueError(
            f"{folder} was learnt with other weights than {clip.name}'s: those of {about['clip']}"
        )
    dimensions: Sequence[Dimension] = about["dimensions"]  # type: ignore[assignment]
    prompts = make_prompts(
        about["kind"],  # type: ignore[arg-type]
        clip,
        dimensions,
        context=max(int(str(about["context"])), 1),
    )
    if about["factors"] != [f.name for f in prompts.factors]:
        raise ValueError(f"{folder} was learnt with another table of factors; tune prompts again")
    prompts.load_state_dict(read_halves(folder / "prompts.safetensors"))
    return prompts.eval().requires_grad_(False)
