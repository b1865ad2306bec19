"""The regressor of a face's 100 shape coefficients, its training and its use.

The work of ``python -m train.clip.identity`` (ours: the usual 3D morphable models forbid commercial
use).  It learns from near-frontal rendered crops,

    loss = mean (ĉ − c)² + w · |(ĉ − c) · B|² / |B|²

where B (100, 204) are the modes' displacements of the 68 landmarks: modes that move the face much
count more.  The second part needs FaceKit (ours).
"""

from __future__ import annotations

import argparse
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

from train.clip.identity_figures import MOST_CROPS, Faces, evaluate, most_frontal
from train.commands import device_of
from train.data.registry import open_dataset
from train.data.samples import IDENTITY
from train.data.tables import (
    GazeDataset,
    batch_rows,
    held_out_people,
    jittered,
    resized,
    small_crops,
)
from train.loop.devices import one_device
from train.loop.states import About
from train.loop.training_loop import (
    Batch,
    Learner,
    LoopOptions,
    RunOptions,
    Scalars,
    TrainingLoop,
    Untouched,
)
from train.loop.weight_cards import (
    CARD,
    commit_to_begin,
    read_halves,
    write_card,
    write_halves,
)
from train.synth.figure.facekit import FaceKit, load_facekit

WEIGHTS = "identity.safetensors"
SIZE_PX = 112
FRONTAL_RAD = math.radians(25)
"""Most angle between where a face points and the camera, for training."""


class IdentityRegressor(nn.Module):
    """Crop (B, 3, H, W) uint8 → coefficients (B, 100), one standard deviation being 1."""

    def __init__(self, backbone: str = "resnet10t", size_px: int = SIZE_PX) -> None:
        super().__init__()
        import timm

        if not timm.is_model(backbone):
            near = ", ".join(timm.list_models(f"*{backbone.split('_')[0]}*")[:5]) or "resnet10t"
            raise ValueError(f"timm knows no backbone {backbone!r}; it has {near}")
        self.backbone, self.size_px = backbone, size_px
        self.net = timm.create_model(backbone, pretrained=False, num_classes=IDENTITY)

    def forward(self, image: Tensor) -> Tensor:
        pixels = resized(image, self.size_px).float() / 255
        pixels = ((pixels - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)
        found: Tensor = self.net(pixels)
        return found


@dataclass(frozen=True)
class Options:
    """How the regressor is trained."""

    source: tuple[str, ...]
    out: Path
    cache: Path
    facekit: Path | None = None
    backbone: str = "resnet10t"
    size_px: int = SIZE_PX
    steps: int = 1500
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    landmark_weight: float = 1.0
    held_out: float = 0.15
    seed: int = 0
    threads: int = 2
    device: str = "cpu"
    max_minutes: float | None = None
    workers: int = 0

    def fixed(self) -> dict[str, Any]:
        """What may not change when a run goes on."""
        free = ("out", "cache", "threads", "device", "max_minutes", "workers", "facekit")
        return {k: v for k, v in asdict(self).items() if k not in free} | {
            "landmarks": self.facekit is not None
        }


def landmark_basis(kit: FaceKit) -> Tensor:
    """(100, 204): how far, in millimetres, each mode moves the landmarks' x, y and z."""
    return torch.from_numpy(10 * kit.identity[:, kit.landmarks].reshape(IDENTITY, -1)).float()


def identity_losses(
    found: Tensor, true: Tensor, basis: Tensor | None, weight: float
) -> dict[str, Tensor]:
    """Losses of the module's text on coefficients (B, 100).

    Each is s² for always saying 0 of coefficients with standard deviation s (0.85 as rendered).
    """
    losses = {"coefficients": functional.mse_loss(found, true)}
    if basis is not None and weight:
        # E|c·B|² of independent coefficients with variance 1 is the sum of B².
        moved = ((found - true) @ basis).square().sum(-1).mean() / basis.square().sum()
        losses["landmarks"] = weight * moved
    return losses


def frontal_rows(head: NDArray[np.float32], most_rad: float = FRONTAL_RAD) -> NDArray[np.bool_]:
    """(N,) whether a face (pitch, yaw) points within ``most_rad`` of the camera; unknown: no."""
    with np.errstate(invalid="ignore"):
        return np.cos(head[:, 0]) * np.cos(head[:, 1]) > math.cos(most_rad)


@torch.no_grad()
def identity_of(
    regressor: nn.Module,
    images: Tensor,
    head: NDArray[np.float32] | None = None,
    *,
    most: int = MOST_CROPS,
) -> NDArray[np.float32]:
    """(100,) coefficients of one person: the mean over the ``most`` most frontal crops.

    ``images`` is uint8 (N, 3, H, W); ``head`` (N, 2) their pitch and yaw.  Without it, or where it
    is unknown, crops are taken as they come.
    """
    if not len(images):
        raise ValueError("there is no crop of this person; expected at least 1")
    if head is not None:
        images = images[torch.from_numpy(most_frontal(head)[:most])]
    found: Tensor = regressor(images[:most])
    return found.float().mean(0).cpu().numpy()


def people_identities(
    dataset: GazeDataset, regressor: nn.Module | None = None, *, most: int = MOST_CROPS
) -> NDArray[np.float32]:
    """(people, 100) coefficients: the data set's own where known, else the regressor's.

    NaN for people without crops, and for unknown ones where there is no regressor.
    """
    found = np.array(dataset.identities(), np.float32)
    if regressor is None:
        return found
    labels = dataset.labels()
    for person in np.flatnonzero(~np.isfinite(found).all(1)):
        rows = np.flatnonzero(labels["person"] == person)
        rows = rows[most_frontal(labels["head"][rows])][:most]
        if len(rows):
            images = torch.stack([torch.as_tensor(dataset[int(r)]["image"]) for r in rows])
            device = next(regressor.parameters()).device
            found[person] = identity_of(regressor, images.to(device))
    return found


def identities_of(
    dataset: GazeDataset, folder: Path | None, *, device: str = "cpu"
) -> NDArray[np.float32]:
    """(people, 100) coefficients, of unknown people by the regressor in ``folder``.

    Raises :class:`ValueError` for people of the data set's crops whose coefficients stay unknown.
    """
    regressor = None if folder is None else load_identity(folder, device=device)
    found = people_identities(dataset, regressor)
    seen = np.unique(dataset.labels()["person"])
    lacking = [p for p in seen if not np.isfinite(found[p]).all()]
    if lacking:
        raise ValueError(
            f"{dataset.name} knows no identity of {len(lacking)} of {len(seen)} people, such as "
            f"{dataset.people[lacking[0]]}; give --identity DIR of "
            "`python -m train.clip.identity`, or prompts of a kind that needs none"
        )
    return found


def load_identity(folder: Path, *, device: str = "cpu") -> IdentityRegressor:
    """The regressor of a run's folder, for use; raises :class:`FileNotFoundError` for none."""
    if not (folder / CARD).is_file() or not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(
            f"{folder} holds no {WEIGHTS} with {CARD}; make them by `python -m train.clip.identity`"
        )
    card = json.loads((folder / CARD).read_text())
    model = IdentityRegressor(card["backbone"], card["size_px"])
    model.load_state_dict(read_halves(folder / WEIGHTS))
    return model.eval().requires_grad_(False).to(device)


def faces_of(options: Options, dataset: GazeDataset) -> Faces:
    """Crops to learn from; raises :class:`ValueError` where there are none."""
    labels = dataset.labels()
    identity = np.asarray(dataset.identities(), np.float32)[labels["person"]]
    known = np.isfinite(identity).all(1)
    if not known.any():
        raise ValueError(
            f"{dataset.name} knows nobody's coefficients; give rendered crops (rendered:DIR)"
        )
    rows = np.flatnonzero(known & frontal_rows(labels["head"]))
    if len(rows) < options.batch:
        raise ValueError(
            f"{dataset.name} has {len(rows)} crops within {math.degrees(FRONTAL_RAD):.0f}° of "
            f"frontal; a batch is {options.batch}: render more or lower --batch"
        )
    image = small_crops(dataset, options.cache, options.size_px, workers=options.workers)
    return Faces(image, rows, labels["head"][rows], labels["person"][rows], identity[rows])


def train_identity(options: Options, dataset: GazeDataset) -> Path:
    """Train, write weights and card, and return their folder.  Goes on where a killed run was."""
    began = commit_to_begin(options.out)
    torch.set_num_threads(options.threads)
    faces = faces_of(options, dataset)
    test = np.isin(faces.person, held_out_people(faces.person, options.held_out, options.seed))
    train_rows, test_rows = np.flatnonzero(~test), np.flatnonzero(test)
    if len(train_rows) < options.batch:
        raise ValueError(
            f"{len(train_rows)} crops are left to train on, fewer than a batch of {options.batch}; "
            "render more or lower --batch"
        )
    basis = None
    if options.facekit is not None:
        basis = landmark_basis(load_facekit(options.facekit))
    torch.manual_seed(options.seed)
    model = IdentityRegressor(options.backbone, options.size_px)
    options.out.mkdir(parents=True, exist_ok=True)
    learner = IdentityLearner(model, basis, options.landmark_weight)
    config = options.fixed() | {"data": dataset.signature()}
    loop = IdentityTraining(options, learner, faces, train_rows, config)
    loop.run()
    figures = evaluate(model, faces, test_rows, learner.basis)
    _write(options, dataset, model, figures, loop, began)
    return options.out


class IdentityLearner(Learner):
    """The regressor and the losses of the module's text."""

    model: IdentityRegressor
    basis: Tensor | None

    def __init__(self, model: IdentityRegressor, basis: Tensor | None, weight: float) -> None:
        super().__init__(model)
        self.weight = weight
        self.register_buffer("basis", basis, persistent=False)

    def forward(self, batch: Untouched, step: int, turn: int = 0) -> tuple[Tensor, Scalars]:
        """The sum of the losses, and each of them."""
        image, true = batch.batch["image"], batch.batch["identity"]
        with torch.autocast(image.device.type, dtype=torch.bfloat16):
            found = self.model(image)
        losses = identity_losses(found.float(), true, self.basis, self.weight)
        total = torch.stack(list(losses.values())).sum()
        return total, {name: value.detach() for name, value in losses.items()}


class IdentityTraining(TrainingLoop):
    """Jittered crops; everything random follows from the seed and the step."""

    leaves_model = False

    def __init__(
        self,
        options: Options,
        learner: IdentityLearner,
        faces: Faces,
        rows: NDArray[np.int64],
        config: About,
    ) -> None:
        self.faces, self.rows = faces, rows
        super().__init__(
            one_device(options.device),
            learner,
            options.out,
            options=LoopOptions(
                steps=options.steps,
                batch=options.batch,
                learning_rate=options.learning_rate,
                weight_decay=options.weight_decay,
                clip_norm=5.0,
                ema=0.0,
                seed=options.seed,
            ),
            run=RunOptions(max_minutes=options.max_minutes or 0.0, tensorboard=False),
            config=config,
            card={},
        )

    def rate(self, step: int) -> float:
        """Half a cosine, which 50 steps of warm-up begin."""
        done = step / self.steps
        top = self.options.learning_rate
        return top * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * done))

    def batches(self) -> Iterator[Batch]:
        """Not mirrored: some of the modes are of the face's asymmetry."""
        o = self.options
        for step in range(self.step, self.steps):
            rng = np.random.default_rng([o.seed, step, 29])
            chosen = self.rows[batch_rows(o.seed, step, len(self.rows), o.batch)]
            yield {
                "image": jittered(rng, self.faces.pictured(chosen), mirror=False),
                "identity": torch.from_numpy(self.faces.identity[chosen]),
            }

    def to_device(self, batch: Batch) -> Batch:
        """Moved alone."""
        return {k: v.to(self.fabric.device) for k, v in batch.items()}


def _write(
    options: Options,
    dataset: GazeDataset,
    model: IdentityRegressor,
    figures: dict[str, Any],
    loop: IdentityTraining,
    began: str | None,
) -> None:
    write_halves(model, options.out / WEIGHTS)
    about = {
        "name": "identity regressor",
        "backbone": model.backbone,
        "size_px": model.size_px,
        "trained_on": f"{dataset.name}: near-frontal rendered crops",
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in options.fixed().items()},
        "steps": loop.step,
        "finished": loop.step >= loop.steps,
        "minutes": round(loop.seconds / 60, 2),
        "figures": {"held_out_people": figures},
        "intended_use": "coefficients that personalise prompts while a gaze network is trained",
        "limits": "learnt from rendered faces; most modes are not to be seen in one crop, and "
        "their coefficients stay near 0",
    }
    write_card(options.out / WEIGHTS, dataset, about, began)


def run(args: argparse.Namespace) -> int:
    """Train as the command says, and print the figures; returns the exit code."""
    given = {**vars(args), "source": tuple(args.source), "device": device_of(args.device)}
    try:
        options = Options(**given)
        out = train_identity(options, open_dataset(options.source))
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    figures = json.loads((out / CARD).read_text())["figures"]["held_out_people"]
    print(
        f"wrote {out}; held-out people: R² {figures['r2_person']}, found among "
        f"others {figures['rank1']} (chance {figures['chance']})"
    )
    return 0
