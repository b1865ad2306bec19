"""Pre-training of the face CLIP on rendered crops and captions made of their factors.

The work of ``python -m train.clip.pretrain``, which tells what is the paper's and what is ours.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from train.clip.clip_models import (
    CONFIG,
    FACE_CLIP,
    WEIGHTS,
    Clip,
    Config,
    build_clip,
    drop_unknown_tokens,
    encode_embedded,
    end_positions,
    load_weights,
    prepared,
    read_config,
    text_tower,
)
from train.clip.prompts import proxy_loss, side_weights
from train.clip.zero_shot import zero_shot
from train.commands import device_of
from train.data.registry import open_dataset
from train.data.samples import UNKNOWN
from train.data.tables import GazeDataset, batch_rows, held_out_people, jittered, small_crops
from train.factors import FACTORS, PROMPT, is_shown
from train.loop.devices import one_device
from train.loop.training_loop import (
    Batch,
    Learner,
    LoopOptions,
    RunOptions,
    Scalars,
    TrainingLoop,
    Untouched,
)
from train.loop.weight_cards import CARD, commit_to_begin, write_card, write_halves
from train.synth.outputs.captions import caption, phrases

MOST_SCALE = math.log(100)
"""CLIP's own bound of the logarithm of its scale."""


@dataclass(frozen=True)
class Options:
    """How the face CLIP is trained."""

    source: tuple[str, ...]
    out: Path
    cache: Path
    config: Path = FACE_CLIP
    steps: int = 1500
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: int = 100
    factor_weight: float = 10.0
    """Of the single-factor sentences' loss; 0 trains with captions alone."""
    held_out: float = 0.1
    """Share of people kept for evaluation."""
    seed: int = 0
    device: str = "cpu"
    threads: int = 2
    max_minutes: float | None = None
    """Stop after this time; the same command goes on."""
    workers: int = 0
    init: Path | None = None
    """Folder of a finished model whose weights to start from: a second leg.  With the same seed,
    the same people stay held out."""

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.threads) < 1 or self.batch < 2:
            raise ValueError(
                f"steps {self.steps}, batch {self.batch}, threads {self.threads}: expected at "
                "least 1, and a batch of at least 2 to contrast"
            )

    def fixed(self) -> dict[str, Any]:
        """What may not change when a run goes on."""
        free = ("out", "cache", "device", "threads", "max_minutes", "workers", "config", "init")
        return {k: v for k, v in asdict(self).items() if k not in free}


@dataclass(frozen=True, slots=True)
class Faces:
    """Small crops with their factors and people."""

    image: NDArray[np.uint8]
    factors: NDArray[np.uint8]
    person: NDArray[np.int64]

    def pictured(self, rows: NDArray[np.int64]) -> Tensor:
        """uint8 (B, 3, S, S)."""
        return torch.from_numpy(np.ascontiguousarray(self.image[rows]))


def true_factors(known: NDArray[np.uint8]) -> dict[str, bool]:
    """Factors (K,) of a data set as the captions of synth take them: all on or off.

    What is unknown is taken as off, except where something else could then be said that the data
    set denies: that is hidden, or doubtful, because of one that is on but hidden itself.
    """
    on = {f.name: bool(v == 1) for f, v in zip(FACTORS, known, strict=True)}
    said = {f.name: bool(v != UNKNOWN) for f, v in zip(FACTORS, known, strict=True)}
    for this in FACTORS:
        if said[this.name] or not is_shown(on, this.name):
            continue
        for other in (*this.hidden_by, *this.doubtful_with):
            trial = {**on, other: True}
            if not said[other] and not is_shown(trial, other) and not is_shown(trial, this.name):
                on = trial
                break
    return on


def sentences(rng: np.random.Generator) -> list[str]:
    """2 K sentences: the positive ones of all factors, then the negative ones.

    Half of them in the table's own words, else in a synonym.
    """
    texts = []
    for value in (True, False):
        for this in FACTORS:
            words = phrases(this.name, value)
            pick = 0 if rng.random() < 0.5 else int(rng.integers(len(words)))
            texts.append(PROMPT.format(words[pick]))
    return texts


class ClipLearner(Learner):
    """The face CLIP and its losses: of captions, and of single-factor sentences in pairs."""

    model: Any

    def __init__(
        self, model: nn.Module, weights: NDArray[np.float32], factor_weight: float
    ) -> None:
        from open_clip.loss import ClipLoss

        super().__init__(model)
        self.contrast, self.factor_weight = ClipLoss(), factor_weight
        self.weights: Tensor
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)

    def optimizer_of(
        self, turn: int, options: LoopOptions, *, fused: bool
    ) -> torch.optim.Optimizer:
        """AdamW; biases, norms, positions and rarely seen tokens do not decay."""
        decay: list[nn.Parameter] = []
        keep: list[nn.Parameter] = []
        for name, value in self.model.named_parameters():
            plain = value.ndim < 2 or "embedding" in name
            (keep if plain else decay).append(value)
        groups: list[dict[str, Any]] = [
            {"params": decay, "weight_decay": options.weight_decay},
            {"params": keep, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=options.learning_rate, fused=fused)

    def forward(self, given: Untouched, step: int, turn: int = 0) -> tuple[Tensor, Scalars]:
        """The sum of the losses, and each of them."""
        batch = given.batch
        pixels = prepared(batch["image"], self.model.visual.preprocess_cfg)
        with torch.autocast(pixels.device.type, dtype=torch.bfloat16):
            seen = self.model.encode_image(pixels.contiguous(memory_format=torch.channels_last))
        seen = functional.normalize(seen.float(), dim=-1)
        scale = self.model.logit_scale.exp()
        losses = {"contrast": self.contrast(seen, self._texts(batch["captions"]), scale)}
        if self.factor_weight:
            positive, negative = self._texts(batch["pairs"]).chunk(2)
            both = positive[None], negative[None]
            loss = proxy_loss(seen, *both, batch["factors"], 1 / scale, self.weights)
            losses["factors"] = self.factor_weight * loss
        total = torch.stack(list(losses.values())).sum()
        named = {name: value.detach() for name, value in losses.items()}
        return total, named | {"scale": scale.detach()}

    def _texts(self, tokens: Tensor) -> Tensor:
        tower = text_tower(self.model)
        with torch.autocast(tokens.device.type, dtype=torch.bfloat16):
            features = encode_embedded(
                tower, tower.token_embedding(tokens), end_positions(tower, tokens)
            )
        return functional.normalize(features.float(), dim=-1)


class Pretraining(TrainingLoop):
    """Crops with new captions at each step; all that is random follows from seed and step."""

    leaves_model = False

    def __init__(
        self, given: Options, faces: Faces, rows: NDArray[np.int64], signature: str
    ) -> None:
        from open_clip import SimpleTokenizer

        self.given, self.faces, self.rows = given, faces, rows
        self.clip_config: Config = read_config(given.config)
        torch.manual_seed(given.seed)
        self.model = build_clip(self.clip_config)
        table = text_tower(self.model).token_embedding.weight
        self.known_tokens = torch.zeros(len(table), dtype=torch.bool)
        config = given.fixed() | {"data": signature, "architecture": self.clip_config}
        if given.init is not None:
            start_from(self.model, given.init)
            self.known_tokens = (table.detach() != 0).any(1)
            config["init"] = hashlib.sha256((given.init / WEIGHTS).read_bytes()).hexdigest()
        self.tokenizer = SimpleTokenizer()
        given.out.mkdir(parents=True, exist_ok=True)
        super().__init__(
            one_device(given.device),
            ClipLearner(self.model, side_weights(faces.factors[rows]), given.factor_weight),
            given.out,
            options=LoopOptions(
                steps=given.steps,
                batch=given.batch,
                learning_rate=given.learning_rate,
                weight_decay=given.weight_decay,
                clip_norm=1.0,
                ema=0.0,
                seed=given.seed,
            ),
            run=RunOptions(max_minutes=given.max_minutes or 0.0, tensorboard=False),
            config=config,
            card={},
        )

    def rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine to 0."""
        o = self.given
        if step < o.warm_up:
            return o.learning_rate * (step + 1) / o.warm_up
        done = (step - o.warm_up) / max(o.steps - o.warm_up, 1)
        return o.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def batches(self) -> Iterator[Batch]:
        """Jittered crops, and the tokens of their captions and of all factors' sentences."""
        o = self.given
        for step in range(self.step, self.steps):
            rng = np.random.default_rng([o.seed, step, 23])
            rows = self.rows[batch_rows(o.seed, step, len(self.rows), o.batch)]
            factors = self.faces.factors[rows]
            captions = [caption(rng, true_factors(known)) for known in factors]
            yield {
                "image": jittered(rng, self.faces.pictured(rows)),
                "captions": self._tokens(captions),
                "pairs": self._tokens(sentences(rng)),
                "factors": torch.from_numpy(factors),
            }

    def _tokens(self, texts: list[str]) -> Tensor:
        tower = text_tower(self.model)
        tokens: Tensor = self.tokenizer(texts, context_length=tower.context_length)
        return tokens

    def to_device(self, batch: Batch) -> Batch:
        """Moved alone."""
        return {k: v.to(self.fabric.device) for k, v in batch.items()}

    def one_step(self, batch: Batch) -> None:
        """With CLIP's bound of the scale."""
        super().one_step(batch)
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MOST_SCALE)

    def learnt_tokens(self) -> Tensor:
        """(V,) which tokens' embeddings a gradient ever reached, here or in an earlier leg."""
        table = text_tower(self.model).token_embedding.weight
        state: dict[str, Tensor] = self.optimizers[0].optimizer.state[table]
        moved = state.get("exp_avg_sq", torch.zeros_like(table))
        return self.known_tokens | (moved > 0).any(1).cpu()


def start_from(model: nn.Module, folder: Path) -> None:
    """Load a finished model's weights; raises :class:`ValueError` for another architecture's."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {WEIGHTS}; give the --out of a finished "
            "`python -m train.clip.pretrain`"
        )
    try:
        load_weights(model, path)
    except RuntimeError as error:
        raise ValueError(
            f"{path} is of another architecture than --config's: {str(error).splitlines()[-1]}"
        ) from None


def pretrain(options: Options, dataset: GazeDataset) -> Path:
    """Train, write the model's folder and return it.  Goes on where a killed run was."""
    began = commit_to_begin(options.out)
    torch.set_num_threads(options.threads)
    faces, train_rows, test_rows = _faces(options, dataset)
    loop = Pretraining(options, faces, train_rows, dataset.signature())
    loop.run()
    return _write(options, dataset, loop, test_rows, began)


def _faces(
    options: Options, dataset: GazeDataset
) -> tuple[Faces, NDArray[np.int64], NDArray[np.int64]]:
    """The data set's crops at the model's size, and rows of people to train on and to test on."""
    labels = dataset.labels()
    if (labels["factors"] == UNKNOWN).all():
        raise ValueError(
            f"{dataset.name} tells no factor, so it has no captions; give rendered crops: "
            "--source rendered:DIR"
        )
    size = build_clip(read_config(options.config)).visual.image_size
    size = size if isinstance(size, int) else size[0]
    image = small_crops(dataset, options.cache, size, workers=options.workers)
    faces = Faces(image, labels["factors"], labels["person"])
    test = np.isin(faces.person, held_out_people(faces.person, options.held_out, options.seed))
    train_rows, test_rows = np.flatnonzero(~test), np.flatnonzero(test)
    if len(train_rows) < options.batch:
        raise ValueError(
            f"{len(train_rows)} crops to train on are fewer than a batch of {options.batch}; "
            "render more or lower --batch"
        )
    return faces, train_rows, test_rows


def _write(
    options: Options,
    dataset: GazeDataset,
    loop: Pretraining,
    test_rows: NDArray[np.int64],
    began: str | None,
) -> Path:
    from open_clip import SimpleTokenizer

    model, out = loop.model, options.out
    # What was never in a caption is as random as it began; 0 says so, and is left out.
    with torch.no_grad():
        text_tower(model).token_embedding.weight[~loop.learnt_tokens()] = 0
    write_halves(model, out / WEIGHTS)
    drop_unknown_tokens(out / WEIGHTS)
    config = {
        "model_cfg": loop.clip_config.get("model_cfg", loop.clip_config),
        "preprocess_cfg": {k: model.visual.preprocess_cfg[k] for k in _PREPROCESS},
    }
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    # Figures are of what was written, halves and all.
    written = build_clip(config)
    load_weights(written, out / WEIGHTS)
    clip = Clip(written, SimpleTokenizer(), str(out)).to(options.device)
    figures = zero_shot(clip, loop.faces.image, loop.faces.factors, test_rows)
    about = _about(options, dataset, loop) | {
        "trained_on_crops": len(loop.rows),
        "held_out_crops": len(test_rows),
        "held_out_people": len(np.unique(loop.faces.person[test_rows])),
        "figures": {"zero_shot": figures},
    }
    write_card(out / WEIGHTS, dataset, about, began)
    return out


def _earlier_leg(init: Path | None) -> dict[str, Any] | None:
    """What the model was that a second leg started from, with its own earlier leg."""
    if init is None:
        return None
    card = json.loads((init / CARD).read_text())
    kept = ("command", "steps", "minutes", "commit", "sha256", "started_from")
    return {key: card.get(key) for key in kept}


_PREPROCESS = ("mean", "std", "interpolation", "resize_mode")


def _about(options: Options, dataset: GazeDataset, loop: Pretraining) -> dict[str, Any]:
    """What the card says."""
    import open_clip

    return {
        "name": "face CLIP",
        "trained_on": f"{dataset.name}: {len(dataset)} rendered crops of "
        f"{len(dataset.people)} people, with captions made of their factors",
        "manifest_sha256": [manifest_sha256(s) for s in options.source],
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in options.fixed().items()},
        "steps": loop.step,
        "started_from": _earlier_leg(options.init),
        "finished": loop.step >= loop.steps,
        "minutes": round(loop.seconds / 60, 2),
        "open_clip": open_clip.__version__,
        "intended_use": "training of gaze networks: texts that describe rendered faces",
        "limits": "knows the factors of train/factors.py alone, and rendered faces; its zero-shot "
        "figures use sentences that it was trained with, on people that it was not",
    }


def manifest_sha256(source: str) -> str | None:
    """Hash of ``manifest.json`` of a rendered source ``rendered:DIR``; None where there is none."""
    path = Path(source.partition(":")[2].partition("?")[0]) / "manifest.json"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def run(args: argparse.Namespace) -> int:
    """Train as the command says, and print the figures; returns the exit code."""
    given = {**vars(args), "source": tuple(args.source), "device": device_of(args.device)}
    try:
        options = Options(**given)
        out = pretrain(options, open_dataset(options.source))
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    card = json.loads((out / CARD).read_text())
    figures = card["figures"]["zero_shot"]
    print(
        f"wrote {out} ({card['bytes'] / 1e6:.1f} MB) after {card['steps']} steps; zero-shot "
        f"balanced accuracy on held-out people {figures['balanced']}"
    )
    return 0
