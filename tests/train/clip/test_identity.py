"""Shape coefficients from crops."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("timm", reason="needs timm of the extra [train]")

from tests.train.fake_faces import FakeFaces
from train.clip import identity as door
from train.clip import identity_regressor as identity
from train.clip.identity_figures import Faces, evaluate, r2, reidentified
from train.clip.identity_regressor import (
    IdentityRegressor,
    frontal_rows,
    identity_losses,
    identity_of,
    load_identity,
    people_identities,
    train_identity,
)
from train.loop import weight_cards

BACKBONE = "mobilenetv3_small_050"


class Brightness(nn.Module):
    """Says a crop's mean in every coefficient."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        return image.float().mean((1, 2, 3))[:, None].expand(-1, 100) + self.zero


def test_losses_are_1_for_the_mean_face() -> None:
    torch.manual_seed(0)
    true, basis = torch.randn(4000, 100), torch.randn(100, 204)
    losses = identity_losses(torch.zeros_like(true), true, basis, 2.0)
    assert float(losses["coefficients"]) == pytest.approx(1, rel=0.02)
    assert float(losses["landmarks"]) == pytest.approx(2, rel=0.05)
    assert all(float(v) == 0 for v in identity_losses(true, true, basis, 1.0).values())
    assert set(identity_losses(true, true, None, 1.0)) == {"coefficients"}


def test_landmarks_loss_weighs_modes_by_what_they_move() -> None:
    basis = torch.zeros(100, 204)
    basis[0, 0], basis[1, 5] = 3.0, 1.0
    true, found = torch.zeros(1, 100), torch.zeros(1, 100)
    found[0, 0] = 1.0
    assert float(identity_losses(found, true, basis, 1.0)["landmarks"]) == pytest.approx(0.9)


def test_frontal_rows() -> None:
    head = np.radians([[0, 0], [24, 0], [0, -26], [20, 20], [np.nan, 0]]).astype(np.float32)
    assert frontal_rows(head).tolist() == [True, True, False, False, False]


def test_identity_is_the_mean_over_the_most_frontal_crops() -> None:
    images = torch.arange(6, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
    head = np.array([[0.5, 0], [0, 0.1], [np.nan, np.nan], [0.2, 0], [0, 0], [0.9, 0]], np.float32)
    assert identity_of(Brightness(), images, head, most=3)[0] == pytest.approx((1 + 3 + 4) / 3)
    assert identity_of(Brightness(), images, most=2).tolist() == [0.5] * 100
    with pytest.raises(ValueError, match="no crop"):
        identity_of(Brightness(), images[:0])


def test_known_identities_are_kept() -> None:
    faces = FakeFaces(3, 2)
    np.testing.assert_array_equal(people_identities(faces, Brightness()), faces.identities())
    faces._identity[1] = math.nan
    found = people_identities(faces, Brightness())
    np.testing.assert_array_equal(found[[0, 2]], faces.identities()[[0, 2]])
    assert found[1, 0] == pytest.approx(np.mean([faces[k]["image"].numpy().mean() for k in (2, 3)]))
    assert np.isnan(people_identities(faces)[1]).all()


def test_r2_is_0_for_the_mean_and_1_for_the_truth() -> None:
    true = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    np.testing.assert_allclose(r2(true, true), 1)
    np.testing.assert_allclose(r2(np.broadcast_to(true.mean(0), (50, 3)), true), 0, atol=1e-6)


def test_people_are_found_again() -> None:
    person, head = np.repeat(np.arange(4), 3), np.zeros((12, 2), np.float32)
    perfect = np.eye(4, dtype=np.float32)[person]
    assert reidentified(perfect, person, head) == {"rank1": 1.0, "chance": 0.25}
    perfect[1] = np.eye(4)[3]  # one of 8 queries
    assert reidentified(perfect, person, head)["rank1"] == 0.875
    assert reidentified(perfect[::3], person[::3], head[::3])["rank1"] is None


def test_evaluation_has_millimetres() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(5), 2)
    true = rng.normal(size=(5, 100)).astype(np.float32)[person]
    image = rng.integers(0, 255, (10, 3, 8, 8), np.uint8)
    faces = Faces(image, np.arange(10), np.zeros((10, 2), np.float32), person, true)
    basis = torch.zeros(100, 204)
    basis[0, 0::3] = 2.0  # every landmark, 2 mm to the left
    figures = evaluate(Brightness(), faces, np.arange(10), basis)
    expected = 2 * math.sqrt(float(np.square(true[::2, 0]).mean()))
    assert figures["landmark_mm_of_mean"] == pytest.approx(expected, abs=1e-3)
    assert figures["people"] == 5
    assert len(figures["r2_person_per_mode"]) == 100


def _options(out: Path, **changed: object) -> identity.Options:
    given = {
        "source": ("fake:",),
        "out": out,
        "cache": out.parent / "cache",
        "backbone": BACKBONE,
        "size_px": 32,
        "steps": 4,
        "batch": 8,
        "threads": 1,
    }
    return identity.Options(**given | changed)  # type: ignore[arg-type]


def test_killed_training_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = FakeFaces(6, 3)
    whole = train_identity(_options(tmp_path / "whole"), faces)
    real, calls = identity.IdentityTraining.one_step, []

    def killed(self: identity.IdentityTraining, batch: dict[str, Tensor]) -> None:
        calls.append(self.step)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(self, batch)

    monkeypatch.setattr("train.loop.states.SaveClock.due", lambda clock: True)
    monkeypatch.setattr(identity.IdentityTraining, "one_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_identity(_options(tmp_path / "parts"), faces)
    parts = train_identity(_options(tmp_path / "parts"), faces)
    assert calls == [0, 1, 2, 2, 3]
    assert (parts / identity.WEIGHTS).read_bytes() == (whole / identity.WEIGHTS).read_bytes()
    card = json.loads((whole / "card.json").read_text())
    assert card["figures"]["held_out_people"]["people"] == 1
    model = load_identity(whole)
    assert model(torch.zeros(2, 3, 224, 224, dtype=torch.uint8)).shape == (2, 100)
    assert not model.training


def test_what_ships_is_replaced_by_a_clean_commit_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, faces = tmp_path / "identity", FakeFaces(6, 3)
    monkeypatch.setattr(weight_cards, "SHIPPED", tmp_path)

    def commit() -> str:  # what the run replaces is itself a file of the repository
        return "0123abc" + ("-dirty" if out.exists() else "")

    monkeypatch.setattr(weight_cards, "commit", commit)
    train_identity(_options(out, steps=1), faces)
    assert json.loads((out / "card.json").read_text())["commit"] == "0123abc"
    before = {file: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(ValueError, match="cannot be made again"):
        train_identity(_options(out, steps=1, seed=1), faces)
    assert {file: file.read_bytes() for file in out.iterdir()} == before


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="knows nobody's coefficients"):
        train_identity(_options(tmp_path / "a"), FakeFaces().without_identity())
    with pytest.raises(ValueError, match="a batch is 99"):
        train_identity(_options(tmp_path / "a", batch=99), FakeFaces())
    with pytest.raises(ValueError, match="timm knows no backbone 'resnet9999'"):
        IdentityRegressor("resnet9999")
    with pytest.raises(FileNotFoundError, match=r"python -m train\.clip\.identity"):
        load_identity(tmp_path)


def test_landmark_basis_is_in_millimetres(kit) -> None:  # type: ignore[no-untyped-def]
    basis = identity.landmark_basis(kit).reshape(100, 68, 3)
    length = basis.norm(dim=-1).mean(-1)
    assert 1 < float(length[0]) < 20
    assert float(length[:10].mean()) > 3 * float(length[-10:].mean())


def test_command_line(tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(
        "train.clip.identity_regressor.open_dataset", lambda source: FakeFaces(6, 3)
    )
    given = f"--source rendered:a --out {tmp_path / 'out'} --cache {tmp_path / 'cache'} --steps 1"
    given += f" --backbone {BACKBONE} --size-px 32 --threads 1 --device cpu --batch"
    assert door.main([*given.split(), "8"]) == 0
    assert "held-out people: R²" in capsys.readouterr().out
    assert door.main([*given.split(), "99"]) == 2
    assert "a batch is 99" in capsys.readouterr().err
