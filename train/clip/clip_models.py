"""CLIP models through open_clip, frozen: features of pictures, of texts, and of token embeddings.

A model is named by ``NAME:PRETRAINED`` of open_clip (``ViT-B-16:openai``), by ``NAME:FILE`` for
weights in a .safetensors file, by the folder of a model that ``python -m train.clip.pretrain``
wrote, or by ``NAME:`` for random weights (tests).

OpenAI's weights, and some others, were trained with QuickGELU in the place of GELU, which no shape
tells.  For a file of a name that has both, say which: a name that ends in ``-quickgelu``,
``NAME:FILE?quick_gelu=true`` (or ``false``), or ``quick_gelu`` in the file's own metadata.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from train.data.tables import Column, GazeDataset, column
from train.loop.weight_cards import read_halves

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
TOKENS, ROWS = "token_embedding.weight", "token_embedding.rows"
"""The embeddings of tokens, and which ones a file holds; the others are 0, as nothing was learnt
of them."""
FACE_CLIP = Path(__file__).with_name("face_clip.json")
"""Architecture of the face CLIP, as open_clip's own model configurations."""

Config = dict[str, Any]


class Clip(nn.Module):
    """A frozen CLIP with its own pre-processing.  All features are rows of length 1.

    Attributes:
        name: what it was loaded by.
        width: size of the joint space.
        context_length: most tokens of a text, with its start and end marks.
        token_width: size of a token's embedding.
        logit_scale: logarithm of what CLIP multiplies cosines by.
    """

    def __init__(
        self, model: Any, tokenizer: Any, name: str, *, known: Tensor | None = None
    ) -> None:
        """``known`` (vocabulary,) says which tokens it has learnt; None: all."""
        super().__init__()
        self.model: Any = model.eval().requires_grad_(False)
        self.name = name
        self._known = known
        self._tokenizer = tokenizer
        self._text = text_tower(model)
        self.context_length = int(self._text.context_length)
        self.token_width = int(self._text.token_embedding.embedding_dim)
        self.logit_scale = float(model.logit_scale)
        self.preprocess: Config = dict(model.visual.preprocess_cfg)
        with torch.no_grad():
            self.width = int(self._encoded(self.tokenize([""])).shape[-1])

    @property
    def temperature(self) -> float:
        """τ = 1 / exp(logit_scale)."""
        return float(np.exp(-self.logit_scale))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        weight: Tensor = self._text.token_embedding.weight
        return weight.device

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of weights and pre-processing: what features depend on."""
        digest = hashlib.blake2b(json.dumps(self.preprocess, sort_keys=True).encode())
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def train(self, mode: bool = True) -> Clip:
        """Stays in evaluation mode, whatever it is part of."""
        return super().train(False)

    @torch.no_grad()
    def encode_images(self, image: Tensor) -> Tensor:
        """(B, width) of uint8 RGB pictures (B, 3, H, W) of any size."""
        features = self.model.encode_image(prepared(image.to(self.device), self.preprocess))
        return functional.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def encode_text(self, texts: list[str], *, unknown_too: bool = False) -> Tensor:
        """(K, width) of texts.

        Raises :class:`ValueError` for words that the model never saw, which are as if left out,
        but for ``unknown_too``.
        """
        if not unknown_too and (unknown := self.unknown_words(texts)):
            raise ValueError(
                f"{self.name} has never seen {', '.join(map(repr, unknown))}; use words of the "
                "captions that it was trained on, or train it on captions with these"
            )
        return self._encoded(self.tokenize(texts))

    def tokenize(self, texts: list[str]) -> Tensor:
        """(K, context_length) token numbers with start and end marks.

        Raises :class:`ValueError` for a text that is too long, which open_clip would cut.
        """
        # One token more than fits tells a text that would be cut from one that just fits.
        tokens = self._tokenizer(texts, context_length=self.context_length + 1)
        end = self.end_of(tokens)
        if int(end.max()) >= self.context_length:
            text = texts[int(end.argmax())]
            raise ValueError(
                f"{text!r} has more than {self.context_length} tokens, the most that {self.name} "
                "reads; use fewer words or a shorter context"
            )
        kept: Tensor = tokens[:, : self.context_length].to(self.device)
        return kept

    def unknown_words(self, texts: list[str]) -> list[str]:
        """Words that the model never saw, in their order."""
        if self._known is None:
            return []
        words = list(dict.fromkeys(word for text in texts for word in text.split()))
        tokens = [self._tokenizer([word])[0] for word in words]
        known = [self._known[t[: int(self.end_of(t[None]))]].all() for t in tokens]
        return [w for w, k in zip(words, known, strict=True) if not k]

    def end_of(self, tokens: Tensor) -> Tensor:
        """(N,) where each text's end mark stands."""
        return end_positions(self._text, tokens)

    @torch.no_grad()
    def embed(self, tokens: Tensor) -> Tensor:
        """(N, L, token_width) embeddings of token numbers, without positions."""
        found: Tensor = self._text.token_embedding(tokens)
        return found

    def encode_tokens(self, token_embeddings: Tensor, end: Tensor) -> Tensor:
        """(N, width) of texts given as embeddings (N, L, token_width), without positions.

        ``end`` (N,) is where each text's end mark stands.  The gradient flows to the embeddings;
        the weights are frozen.
        """
        features = encode_embedded(self._text, token_embeddings, end)
        return functional.normalize(features.float(), dim=-1)

    def _encoded(self, tokens: Tensor) -> Tensor:
        return self.encode_tokens(self._text.token_embedding(tokens), self.end_of(tokens))


def text_tower(model: nn.Module) -> Any:
    """What holds the text encoder's parts: the model itself (``CLIP``) or its ``text``.

    Raises :class:`ValueError` for towers that do not read a text at its end mark (SigLIP, CoCa,
    towers of Hugging Face): there is no place for context vectors in CoOp's way.
    """
    tower = getattr(model, "text", model)
    pool = getattr(tower, "pool_type", getattr(tower, "text_pool_type", None))
    if pool not in ("argmax", "eos") or getattr(tower, "cls_emb", None) is not None:
        raise ValueError(
            f"the text tower {type(tower).__name__} (pooling {pool!r}) does not read a text at its "
            "end mark; choose a CLIP such as ViT-B-16 or ViT-B-32"
        )
    return tower


def end_positions(tower: Any, tokens: Tensor) -> Tensor:
    """(N,) where the end mark of each row of token numbers stands, as the tower pools it."""
    if getattr(tower, "pool_type", getattr(tower, "text_pool_type", "argmax")) == "argmax":
        return tokens.argmax(-1)
    eos: int = getattr(tower, "eos_id", getattr(tower, "text_eos_id", 0))
    return torch.eq(tokens, torch.tensor(eos)).int().argmax(-1)


def encode_embedded(tower: Any, embeddings: Tensor, end: Tensor) -> Tensor:
    """(N, width) before normalisation, of open_clip's ``CLIP`` and ``TextTransformer`` alike.

    Embeddings plus positions → blocks → final norm → token at the end mark → projection.  Where
    attention is causal, what follows the last end mark changes nothing and is left out.
    """
    mask = tower.attn_mask
    if mask is not None:
        length = int(end.max()) + 1
        embeddings, mask = embeddings[:, :length], mask[:length, :length]
    kind = tower.transformer.get_cast_dtype()
    x: Tensor = embeddings.to(kind) + tower.positional_embedding[: embeddings.shape[1]].to(kind)
    x = tower.ln_final(tower.transformer(x, attn_mask=mask))
    x = x[torch.arange(len(x), device=x.device), end]
    projection = tower.text_projection
    if projection is None:
        return x
    found: Tensor = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return found


def prepared(image: Tensor, preprocess: Mapping[str, Any]) -> Tensor:
    """Float (B, 3, h, w) of uint8 (B, 3, H, W): cut to shape, resized with antialias, normalised.

    The numbers are those of open_clip's own transform for this model (size, mean, std,
    interpolation).  Raises :class:`ValueError` for pictures that are not uint8 RGB.
    """
    if image.dtype != torch.uint8 or image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(
            f"pictures are {image.dtype} of shape {tuple(image.shape)}; expected uint8 (B, 3, H, W)"
        )
    size = preprocess["size"]
    height, width = (size, size) if isinstance(size, int) else size
    pixels = image.float()
    if preprocess.get("resize_mode") != "squash":
        pixels = _cut_to_ratio(pixels, height, width)
    if pixels.shape[-2:] != (height, width):
        mode = preprocess.get("interpolation", "bicubic")
        mode = mode if mode in ("bilinear", "bicubic") else "bicubic"
        pixels = functional.interpolate(pixels, size=(height, width), mode=mode, antialias=True)
    pixels = pixels.clamp(0, 255) / 255
    mean, std = (pixels.new_tensor(preprocess[k])[:, None, None] for k in ("mean", "std"))
    return (pixels - mean) / std


def _cut_to_ratio(pixels: Tensor, height: int, width: int) -> Tensor:
    """The middle of the pictures that has the ratio height : width."""
    rows, columns = pixels.shape[-2:]
    keep_rows = min(rows, round(columns * height / width))
    keep_columns = min(columns, round(rows * width / height))
    top, left = (rows - keep_rows) // 2, (columns - keep_columns) // 2
    return pixels[..., top : top + keep_rows, left : left + keep_columns]


def load_clip(spec: str, *, device: str | torch.device = "cpu") -> Clip:
    """A frozen CLIP: ``NAME:PRETRAINED``, ``NAME:`` or the folder of a model.

    Raises :class:`FileNotFoundError` or :class:`ValueError` for what there is not, with what to
    give instead, and :class:`RuntimeError` where weights cannot be had without a network.
    """
    if Path(spec).exists():
        return _from_path(Path(spec)).to(device)
    name, colon, pretrained = spec.partition(":")
    if not colon:
        raise FileNotFoundError(
            f"there is no file or folder {spec}; give NAME:PRETRAINED such as ViT-B-16:openai, or "
            "the folder of a model made by `python -m train.clip.pretrain`"
        )
    return (_pretrained(name, pretrained) if pretrained else _random(name)).to(device)


def build_clip(config: Config) -> Any:
    """open_clip's model of a configuration, trainable, with random weights.

    ``config`` is as in ``open_clip_config.json`` (``model_cfg``, ``preprocess_cfg``) or the
    ``model_cfg`` alone, as in :data:`FACE_CLIP`.
    """
    from dataclasses import asdict

    from open_clip.model import CLIP, CustomTextCLIP, set_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg

    architecture = copy.deepcopy(config.get("model_cfg", config))
    if "hf_model_name" in architecture["text_cfg"] or "multimodal_cfg" in architecture:
        raise ValueError("models with a text tower of Hugging Face, and CoCa, are not supported")
    # The towers' sizes are open_clip's to check; it raises TypeError for unknown ones.
    kind = CustomTextCLIP if architecture.pop("custom_text", False) else CLIP
    model = kind(**architecture)
    preprocess = asdict(PreprocessCfg()) | config.get("preprocess_cfg", {})
    set_model_preprocess_cfg(model, preprocess | {"size": model.visual.image_size})
    return model


def read_config(path: Path) -> Config:
    """The configuration of a model; raises :class:`ValueError` where it is none."""
    try:
        config: Config = json.loads(path.read_text())
        architecture = config.get("model_cfg", config)
        missing = {"embed_dim", "vision_cfg", "text_cfg"} - architecture.keys()
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a configuration of open_clip ({error})") from None
    if missing:
        raise ValueError(f"{path} lacks {', '.join(sorted(missing))}; expected a CLIP of open_clip")
    return config


def _from_path(path: Path) -> Clip:
    from open_clip import SimpleTokenizer
    from safetensors import SafetensorError

    folder = path if path.is_dir() else path.parent
    configs = [folder / name for name in (CONFIG, FACE_CLIP.name) if (folder / name).is_file()]
    weights = [path] if path.suffix == ".safetensors" else sorted(folder.glob("*.safetensors"))
    weights = [w for w in weights if w.name == WEIGHTS] or weights
    if not configs or len(weights) != 1:
        there = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise FileNotFoundError(
            f"{folder} holds {there}; expected {CONFIG} and {WEIGHTS}, as "
            "`python -m train.clip.pretrain` writes them"
        )
    model = build_clip(read_config(configs[0]))
    try:
        load_weights(model, weights[0])
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{weights[0]} does not fit {configs[0].name}: {reason}") from None
    known: Tensor = text_tower(model).token_embedding.weight.detach().any(1)
    return Clip(model, SimpleTokenizer(), str(path), known=known)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a model's file, whole or of :func:`drop_unknown_tokens`; float32 in memory.

    Raises :class:`RuntimeError` for weights of another architecture.
    """
    tensors = read_halves(path)
    if ROWS in tensors:
        table = torch.zeros_like(text_tower(model).token_embedding.weight)
        table[tensors.pop(ROWS).long()] = tensors[TOKENS]
        tensors[TOKENS] = table
    model.load_state_dict(tensors)


def drop_unknown_tokens(weights: Path) -> None:
    """Write a model's file again without the tokens whose embeddings are 0, which it never saw.

    Of 49,408 tokens the captions of rendered faces use a few hundred; the rest is two thirds of the
    file.  :func:`load_clip` reads such a file; open_clip itself does not.
    """
    from safetensors.torch import load, save_file

    tensors = load(weights.read_bytes())
    rows = tensors[TOKENS].any(1).nonzero()[:, 0]
    save_file(tensors | {TOKENS: tensors[TOKENS][rows], ROWS: rows.int()}, weights)
    weights.chmod(0o644)


def _known(name: str) -> None:
    import open_clip

    names = open_clip.list_models()
    if name.replace("/", "-") not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "see open_clip.list_models()"
        raise ValueError(f"open_clip knows no model {name!r}; {hint}")


def _random(name: str) -> Clip:
    import open_clip

    _known(name)
    # The same weights in every process, so that cached features stay valid.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_clip(open_clip.get_model_config(name.replace("/", "-")))
    return Clip(model, open_clip.get_tokenizer(name.replace("/", "-")), f"{name}:")


def _pretrained(name: str, pretrained: str) -> Clip:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    _known(name)
    name = name.replace("/", "-")
    file, _, activation = pretrained.partition("?")
    if Path(file).is_file():
        quick = _quick_gelu_of_file(name, Path(file), activation)
        return _created(name, file, quick, pretrained)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained.lower() not in tags:
        raise ValueError(
            f"open_clip has no weights {pretrained!r} of {name}, and there is no such file; it has "
            f"{', '.join(tags) or 'none'}"
        )
    # OpenAI's weights need the activation they were trained with; open_clip only warns.
    quick = bool(get_pretrained_cfg(name, pretrained).get("quick_gelu"))
    return _created(name, pretrained, quick, pretrained)


def _quick_gelu_of_file(name: str, path: Path, said: str) -> bool:
    """Whether weights in a file want QuickGELU; refuses to guess.

    ``said`` is what was given behind the file's name: ``quick_gelu=true``, ``=false`` or nothing.
    """
    import open_clip
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        raise ValueError(f"{path} is not a .safetensors file; weights are not unpickled")
    words = {"quick_gelu=true": True, "quick_gelu=false": False}
    if said.lower() in words:
        return words[said.lower()]
    if said:
        raise ValueError(f"{path}?{said}; expected ?quick_gelu=true or ?quick_gelu=false")
    if open_clip.get_model_config(name).get("quick_gelu"):
        return True
    with safe_open(path, framework="pt") as file:
        known = (file.metadata() or {}).get("quick_gelu", "").lower()
    if known in ("true", "false"):
        return bool(known == "true")
    if _has_quick_gelu_weights(name):
        raise ValueError(
            f"{path} does not say whether it was trained with QuickGELU, and of {name} there are "
            f"weights of both kinds (OpenAI's have it): give {name}:{path}?quick_gelu=true or "
            "?quick_gelu=false"
        )
    return False


def _has_quick_gelu_weights(name: str) -> bool:
    """Whether open_clip knows weights of this name that want QuickGELU."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    tags = open_clip.list_pretrained_tags_by_model(name)
    return any(get_pretrained_cfg(name, tag).get("quick_gelu") for tag in tags)


def _created(name: str, weights: str, quick: bool, given: str) -> Clip:
    """open_clip's model of this name with these weights: one of its tags, or a file."""
    import open_clip

    try:
        model = open_clip.create_model(name, pretrained=weights, force_quick_gelu=quick)
    except Exception as error:  # the hub's client raises many kinds
        raise RuntimeError(
            f"could not get the weights {name}:{given} ({error}); without a network give "
            "NAME:FILE.safetensors or the folder of a model"
        ) from error
    return Clip(model, open_clip.get_tokenizer(name), f"{name}:{given}")


def cached_features(
    clip: Clip, dataset: GazeDataset, folder: Path, *, batch: int = 64, workers: int = 0
) -> NDArray[np.float16]:
    """(N, width) float16 image features, memory-mapped; index it by a batch's ``index``.

    Computed at the first call.  The file's name covers the CLIP's weights and the data set, so all
    share one ``folder``; a call that was killed goes on where it was.
    """
    kind = Column((clip.width,), "float16", lambda items: clip.encode_images(items["image"]).half())
    path = folder / f"features-{clip.fingerprint}-{dataset.signature()[:16]}.npy"
    return column(dataset, path, kind, batch=batch, workers=workers)
