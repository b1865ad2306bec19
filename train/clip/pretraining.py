"""Pre-training of the face CLIP on rendered crops and captions made of their factors.

The work of ``python -m train.clip.pretrain``, which tells what is the paper's and what is ours.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from train.clip.clip_models import (
    CONFIG,
    FACE_CLIP,
    WEIGHTS,
    Clip,
    Config,
    build_clip,
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
from train.loop.states import SaveClock, load_state, log_line, save_state, trim_log
from train.loop.weight_cards import CARD, commit_to_begin, write_card, write_halves
from train.synth.outputs.captions import caption, phrases

MOST_SCALE = math.log(100)
"""CLIP's own bound of the logarithm of its scale."""

_LOG_EVERY = 20


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


class Trainer:
    """The model and one step of it; everything random follows from the seed and the step."""

    def __init__(self, options: Options, faces: Faces, train_rows: NDArray[np.int64]) -> None:
        from open_clip import SimpleTokenizer
        from open_clip.loss import ClipLoss

        self.options, self.faces, self.rows = options, faces, train_rows
        self.config: Config = read_config(options.config)
        torch.manual_seed(options.seed)
        self.model = build_clip(self.config)
        table = text_tower(self.model).token_embedding.weight
        known = torch.zeros(len(table), dtype=torch.bool)
        if options.init is not None:
            start_from(self.model, options.init)
            known = (table.detach() != 0).any(1)
        self.known_tokens = known
        self.model.to(options.device)
        self.tokenizer = SimpleTokenizer()
        self.contrast = ClipLoss()
        self.optimizer = torch.optim.AdamW(self._groups(), lr=options.learning_rate)
        weights = side_weights(faces.factors[train_rows])
        self.weights = torch.from_numpy(weights).to(options.device)

    def learnt_tokens(self) -> Tensor:
        """(V,) which tokens' embeddings a gradient ever reached, here or in an earlier leg."""
        table = text_tower(self.model).token_embedding.weight
        state: dict[str, Tensor] = self.optimizer.state[table]
        moved = state.get("exp_avg_sq", torch.zeros_like(table))
        return self.known_tokens | (moved > 0).any(1).cpu()

    def _groups(self) -> list[dict[str, Any]]:
        """Biases, norms, positions and rarely seen tokens do not decay."""
        decay: list[nn.Parameter] = []
        keep: list[nn.Parameter] = []
        for name, value in self.model.named_parameters():
            plain = value.ndim < 2 or "embedding" in name
            (keep if plain else decay).append(value)
        return [
            {"params": decay, "weight_decay": self.options.weight_decay},
            {"params": keep, "weight_decay": 0.0},
        ]

    def step(self, step: int) -> dict[str, float]:
        """One step; returns its losses."""
        o = self.options
        rng = np.random.default_rng([o.seed, step, 23])
        rows = self.rows[batch_rows(o.seed, step, len(self.rows), o.batch)]
        factors = self.faces.factors[rows]
        captions = [caption(rng, true_factors(known)) for known in factors]
        image = jittered(rng, self.faces.pictured(rows))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(o, step)
        self.model.train()
        losses = self._losses(image, captions, sentences(rng), torch.from_numpy(factors))
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(
                f"step {step}: the loss is {float(total)}; lower --learning-rate and start again"
            )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MOST_SCALE)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(
        self, image: Tensor, captions: list[str], pairs: list[str], factors: Tensor
    ) -> dict[str, Tensor]:
        device = self.options.device
        pixels = prepared(image.to(device), self.model.visual.preprocess_cfg)
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            seen = self.model.encode_image(pixels.contiguous(memory_format=torch.channels_last))
        seen = functional.normalize(seen.float(), dim=-1)
        scale = self.model.logit_scale.exp()
        losses = {"contrast": self.contrast(seen, self._texts(captions), scale)}
        if self.options.factor_weight:
            positive, negative = self._texts(pairs).chunk(2)
            both = positive[None], negative[None]
            loss = proxy_loss(seen, *both, factors.to(device), 1 / scale, self.weights)
            losses["factors"] = self.options.factor_weight * loss
        return losses

    def _texts(self, texts: list[str]) -> Tensor:
        tower = text_tower(self.model)
        tokens = self.tokenizer(texts, context_length=tower.context_length)
        tokens = tokens.to(self.options.device)
        with torch.autocast(torch.device(self.options.device).type, dtype=torch.bfloat16):
            features = encode_embedded(
                tower, tower.token_embedding(tokens), end_positions(tower, tokens)
            )
        return functional.normalize(features.float(), dim=-1)


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


def learning_rate(options: Options, step: int) -> float:
    """Linear warm-up, then half a cosine to 0."""
    if step < options.warm_up:
        return options.learning_rate * (step + 1) / options.warm_up
    done = (step - options.warm_up) / max(options.steps - options.warm_up, 1)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def pretrain(options: Options, dataset: GazeDataset) -> Path:
    """Train, write the model's folder and return it.  Goes on where a killed run was."""
    began = commit_to_begin(options.out)
    torch.set_num_threads(options.threads)
    faces, train_rows, test_rows = _faces(options, dataset)
    trainer = Trainer(options, faces, train_rows)
    fixed = options.fixed() | {"data": dataset.signature(), "architecture": trainer.config}
    if options.init is not None:
        fixed["init"] = hashlib.sha256((options.init / WEIGHTS).read_bytes()).hexdigest()
    options.out.mkdir(parents=True, exist_ok=True)
    about = load_state(options.out, trainer.model, trainer.optimizer, fixed)
    step, seconds = (int(about["step"]), float(about["seconds"])) if about else (0, 0.0)
    trim_log(options.out, step)
    started, clock = time.monotonic(), SaveClock()
    before = seconds
    sums: dict[str, float] = {}
    counted = 0
    bar = tqdm(total=options.steps, initial=step, disable=None, unit="step")

    def save() -> None:
        state = {"step": step, "seconds": seconds, "options": fixed}
        save_state(options.out, trainer.model, trainer.optimizer, state)

    while step < options.steps:
        if options.max_minutes is not None and time.monotonic() - started > (
            60 * options.max_minutes
        ):
            break
        for name, value in trainer.step(step).items():
            sums[name] = sums.get(name, 0.0) + value
        step, counted = step + 1, counted + 1
        seconds = before + time.monotonic() - started
        bar.update()
        if step % _LOG_EVERY == 0:
            line = {"step": step, "seconds": round(seconds, 1)}
            line["scale"] = round(float(trainer.model.logit_scale.detach().exp()), 2)
            log_line(options.out, line | {k: round(v / counted, 4) for k, v in sums.items()})
            sums, counted = {}, 0
        if clock.due():
            with clock.saving():
                save()
    bar.close()
    save()
    return _write(options, dataset, trainer, test_rows, step, seconds, began)


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
    trainer: Trainer,
    test_rows: NDArray[np.int64],
    step: int,
    seconds: float,
    began: str | None,
) -> Path:
    from open_clip import SimpleTokenizer

    model, out = trainer.model, options.out
    # What was never in a caption is as random as it began; 0 says so, and can be left out.
    with torch.no_grad():
        text_tower(model).token_embedding.weight[~trainer.learnt_tokens()] = 0
    write_halves(model, out / WEIGHTS)
    config = {
        "model_cfg": trainer.config.get("model_cfg", trainer.config),
        "preprocess_cfg": {k: model.visual.preprocess_cfg[k] for k in _PREPROCESS},
    }
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    # Figures are of what was written, halves and all.
    written = build_clip(config)
    load_weights(written, out / WEIGHTS)
    clip = Clip(written, SimpleTokenizer(), str(out)).to(options.device)
    figures = zero_shot(clip, trainer.faces.image, trainer.faces.factors, test_rows)
    about = _about(options, dataset, step, seconds) | {
        "trained_on_crops": len(trainer.rows),
        "held_out_crops": len(test_rows),
        "held_out_people": len(np.unique(trainer.faces.person[test_rows])),
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


def _about(options: Options, dataset: GazeDataset, step: int, seconds: float) -> dict[str, Any]:
    """What the card says."""
    import open_clip

    return {
        "name": "face CLIP",
        "trained_on": f"{dataset.name}: {len(dataset)} rendered crops of "
        f"{len(dataset.people)} people, with captions made of their factors",
        "manifest_sha256": [manifest_sha256(s) for s in options.source],
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in options.fixed().items()},
        "steps": step,
        "started_from": _earlier_leg(options.init),
        "finished": step >= options.steps,
        "minutes": round(seconds / 60, 2),
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
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    card = json.loads((out / CARD).read_text())
    figures = card["figures"]["zero_shot"]
    print(
        f"wrote {out} ({card['bytes'] / 1e6:.1f} MB) after {card['steps']} steps; zero-shot "
        f"balanced accuracy on held-out people {figures['balanced']}"
    )
    return 0
