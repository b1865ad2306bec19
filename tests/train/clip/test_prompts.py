"""Prompts of every kind, the proxy task's loss, and tuning."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("open_clip", reason="needs open_clip of the extra [train]")

from tests.train.fake_faces import FakeFaces, tiny_clip_folder
from train.clip import prompt_tuning, tune_prompts
from train.clip.clip_models import Clip, load_clip
from train.clip.prompts import (
    DIMENSIONS,
    PCO,
    PERSONAL,
    CoCoOp,
    CoOp,
    HandWritten,
    PersonTextFeatures,
    load_prompts,
    make_prompts,
    proxy_loss,
    save_prompts,
    side_weights,
    truth_probability,
    written_context,
)
from train.clip.zero_shot import factor_figures
from train.factors import FACTORS

K = len(FACTORS)
IN_QUALITY = sum(f.dimension == "image quality" for f in FACTORS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return load_clip(str(tiny_clip_folder(tmp_path_factory.mktemp("clip"))))


def test_hand_written_prompts_are_the_template(clip: Clip) -> None:
    positive, negative = HandWritten(clip).features()
    row = [f.name for f in FACTORS].index("glasses")
    expected = clip.encode_text(
        ["An image of a face with glasses.", "An image of a face with no glasses."]
    )
    assert positive.shape == negative.shape == (1, K, clip.width)
    torch.testing.assert_close(torch.stack([positive[0, row], negative[0, row]]), expected)


def test_dimensions_restrict_the_factors(clip: Clip) -> None:
    personal = CoOp(clip, PERSONAL)
    assert len(personal.factors) == K - IN_QUALITY
    assert personal.features()[0].shape == (1, K - IN_QUALITY, clip.width)
    assert {f.dimension for f in personal.factors} == set(PERSONAL)
    with pytest.raises(ValueError, match="expected some of"):
        CoOp(clip, ["colour"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least 1"):
        CoOp(clip, context=0)


def test_context_takes_the_place_of_words(clip: Clip) -> None:
    torch.manual_seed(0)
    prompts = CoOp(clip, context=4)
    # With the words' own embeddings for context, it is the text with these words.
    with torch.no_grad():
        prompts.context.copy_(clip.embed(clip.tokenize(["a portrait shot with"]))[0, 1:5])
        positive, _ = prompts.features()
    text = f"a portrait shot with {FACTORS[3].positive}."
    torch.testing.assert_close(positive[0, 3], clip.encode_text([text])[0])


def test_context_starts_small(clip: Clip) -> None:
    torch.manual_seed(0)
    context = CoOp(clip, context=50).context
    assert context.shape == (50, clip.token_width)
    assert float(context.detach().std()) == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("kind", [PCO, CoCoOp])
def test_zero_meta_net_is_coop(clip: Clip, kind: type[PCO]) -> None:
    prompts, free = kind(clip, ["wearable"]), CoOp(clip, ["wearable"])
    with torch.no_grad():
        free.context.copy_(prompts.context)
        for value in prompts.meta.parameters():
            value.zero_()
    identity, seen = torch.randn(3, 100), torch.randn(3, clip.width)
    got = prompts.features(identity=identity, image_features=seen)
    for side, expected in zip(got, free.features(), strict=True):
        assert side.shape == (3, len(free.factors), clip.width)
        torch.testing.assert_close(side, expected.expand(3, -1, -1))


def test_pco_depends_on_the_person_alone(clip: Clip) -> None:
    prompts = PCO(clip, ["wearable"])
    identity = torch.randn(6, 100)
    positive, _ = prompts.features(identity=identity)
    assert (positive[0] - positive[1]).abs().max() > 1e-6
    with torch.no_grad():  # in parts, where no gradient is needed
        torch.testing.assert_close(prompts.features(identity=identity)[0], positive)
    assert [tuple(p.shape) for p in prompts.meta.parameters()] == [
        (32, 100),
        (32,),
        (clip.token_width, 32),
        (clip.token_width,),
    ]
    with pytest.raises(ValueError, match=r"identity is None; these prompts need \(P, 100\)"):
        prompts.features()
    with pytest.raises(ValueError, match=r"train\.clip\.identity"):
        prompts.features(identity=torch.full((1, 100), math.nan))
    with pytest.raises(ValueError, match="image_features is None"):
        CoCoOp(clip).features(identity=identity)


def test_only_context_and_meta_net_learn(clip: Clip) -> None:
    prompts = PCO(clip, ["wearable"])
    positive, negative = prompts.features(identity=torch.randn(2, 100))
    (positive * torch.randn_like(positive) + negative).sum().backward()
    assert {name for name, p in prompts.named_parameters() if p.grad is not None} == {
        "context",
        *(f"meta.{k}.{w}" for k in (0, 2) for w in ("weight", "bias")),
    }
    assert all(p.grad is None for p in clip.parameters())


def test_proxy_loss_is_as_counted_by_hand() -> None:
    image = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    positive = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    negative = torch.tensor([[[0.0, 1.0], [0.8, 0.6]]])
    factors = torch.tensor([[1, 0], [0, 255]], dtype=torch.uint8)
    e = math.exp
    # Cosines of picture 0: 1 and 0, then 0 and 0.8; of picture 1: 0.6 and 0.8; τ = 0.5.
    p = [e(2) / (e(2) + 1), e(0) / (e(0) + e(1.6)), e(1.2) / (e(1.2) + e(1.6))]
    both = truth_probability(image, positive, negative, 0.5)
    np.testing.assert_allclose([both[0, 0], both[0, 1], both[1, 0]], p, rtol=1e-6)
    losses = [-math.log(p[0]), -math.log(1 - p[1]), -math.log(1 - p[2])]
    loss = proxy_loss(image, positive, negative, factors, 0.5)
    assert float(loss) == pytest.approx(sum(losses) / 3, rel=1e-5)
    weight = torch.tensor([[3.0, 1.0], [2.0, 5.0]])
    weighed = proxy_loss(image, positive, negative, factors, 0.5, weight)
    expected = (1 * losses[0] + 2 * losses[1] + 3 * losses[2]) / 6
    assert float(weighed) == pytest.approx(expected, rel=1e-5)


def test_unknown_factors_do_not_matter() -> None:
    image = torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    positive = torch.randn(1, 3, 8, requires_grad=True)
    factors = torch.tensor([[1, 255, 0]] * 4, dtype=torch.uint8)
    loss = proxy_loss(image, positive, torch.randn(1, 3, 8), factors, 0.1)
    loss.backward()
    assert positive.grad is not None
    assert (positive.grad[0, 1] == 0).all()
    assert (positive.grad[0, [0, 2]] != 0).any(-1).all()
    nothing = proxy_loss(image, positive, positive, torch.full_like(factors, 255), 0.1)
    assert float(nothing.detach()) == 0.0


def test_side_weights_balance() -> None:
    factors = np.array([[1, 1, 255], [0, 1, 255], [0, 1, 0], [0, 255, 255]], np.uint8)
    expected = [[4 / 6, 2.0], [0, 0], [0, 0]]
    np.testing.assert_allclose(side_weights(factors), expected, rtol=1e-6)


def test_figures_are_balanced() -> None:
    said = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0]], bool)
    factors = np.array([[1, 1, 255], [1, 1, 255], [1, 1, 255], [0, 255, 255]], np.uint8)
    figures = factor_figures(said, factors, ["a", "b", "c"])
    assert figures["factors"]["a"] == {
        "accuracy": 0.75,
        "balanced": 0.5,
        "most_frequent": 0.75,
        "known": 4,
    }
    assert figures["factors"]["b"]["balanced"] is None
    assert "c" not in figures["factors"]
    assert figures["accuracy"] == pytest.approx((0.75 + 2 / 3) / 2, abs=1e-4)
    assert figures["balanced"] == 0.5


def test_person_features_are_made_once(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    personal, identities = PCO(clip, PERSONAL), torch.randn(5, 100)
    texts = PersonTextFeatures(personal, identities)
    got = texts.features(torch.tensor([3, 1, 3]))
    assert got.shape == (3, K, clip.width)
    with torch.no_grad():
        expected = personal.features(identity=identities[[3, 1, 3]])[0]
    torch.testing.assert_close(got[:, personal.rows], expected, atol=1e-3, rtol=0)
    fixed = HandWritten(clip, ["image quality"])
    torch.testing.assert_close(
        got[:, fixed.rows], fixed.features()[0].expand(3, -1, -1), atol=1e-3, rtol=0
    )
    monkeypatch.setattr(PCO, "features", None)
    torch.testing.assert_close(texts.features(torch.tensor([1])), got[1:2])


def test_features_without_a_person_are_shared(clip: Clip) -> None:
    person = torch.tensor([0, 1])
    by_hand = PersonTextFeatures(HandWritten(clip)).features(person)
    torch.testing.assert_close(by_hand, HandWritten(clip).features()[0][0])
    assert PersonTextFeatures(CoOp(clip, PERSONAL)).features(person).shape == (K, clip.width)
    by_picture = PersonTextFeatures(CoCoOp(clip, PERSONAL))
    seen = torch.randn(2, clip.width)
    assert by_picture.features(person, seen).shape == (2, K, clip.width)
    with pytest.raises(ValueError, match="need the identities"):
        PersonTextFeatures(PCO(clip, PERSONAL))


@pytest.mark.parametrize("kind", ["hand", "coop", "cocoop", "pco"])
def test_prompts_are_written_and_read(clip: Clip, tmp_path: Path, kind: str) -> None:
    prompts = make_prompts(kind, clip, ["wearable"], context=3)  # type: ignore[arg-type]
    save_prompts(prompts, tmp_path)
    again = load_prompts(tmp_path, clip)
    given = {"identity": torch.randn(2, 100), "image_features": torch.randn(2, clip.width)}
    with torch.no_grad():
        torch.testing.assert_close(again.features(**given), prompts.features(**given))
    assert not any(p.requires_grad for p in again.parameters())


def test_prompts_of_other_weights_are_refused(clip: Clip, tmp_path: Path) -> None:
    save_prompts(CoOp(clip), tmp_path / "prompts")
    other = load_clip(str(tiny_clip_folder(tmp_path / "other", seed=1)))
    with pytest.raises(ValueError, match="other weights"):
        load_prompts(tmp_path / "prompts", other)
    with pytest.raises(FileNotFoundError, match=r"train\.clip\.tune_prompts"):
        load_prompts(tmp_path, clip)
    with pytest.raises(ValueError, match="expected one of hand, coop"):
        make_prompts("none", clip)  # type: ignore[arg-type]


def _options(out: Path, kind: str, **changed: object) -> prompt_tuning.Options:
    given = {
        "clip": "tiny",
        "source": ("fake:",),
        "kind": kind,
        "out": out,
        "cache": out.parent / "cache",
        "dimensions": ("wearable",),
        "context": 2,
        "epochs": 3,
        "batch_people": 8,
        "threads": 1,
    }
    return prompt_tuning.Options(**given | changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["hand", "coop", "cocoop", "pco"])
def test_tuning_writes_metrics(clip: Clip, tmp_path: Path, kind: str) -> None:
    options = _options(tmp_path / kind, kind, seeds=(0, 1), epochs=1)
    figures = prompt_tuning.run(options, clip, FakeFaces(20, 2))
    assert figures["balanced"]["std"] is not None
    one = json.loads((tmp_path / kind / "seed1" / "metrics.json").read_text())
    assert one["people"] == {"train": 16, "test": 4}
    assert 0 <= one["test"]["factors"]["glasses"]["balanced"] <= 1
    assert json.loads((tmp_path / kind / "metrics.json").read_text()) == figures
    load_prompts(tmp_path / kind / "seed0", clip)
    card = json.loads((tmp_path / kind / "seed1" / "card.json").read_text())
    weights = (tmp_path / kind / "seed1" / "prompts.safetensors").read_bytes()
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    assert (card["seed"], card["licence"]) == (1, "Apache-2.0")
    assert card["figures"]["other_people"]["balanced"] == one["test"]["balanced"]


@pytest.mark.parametrize("kind", ["coop", "cocoop", "pco"])
def test_prompts_that_begin_with_words_are_the_hand_written_ones(clip: Clip, kind: str) -> None:
    prompts = make_prompts(kind, clip, ["wearable"], context=written_context(clip))  # type: ignore[arg-type]
    prompts.start_from_words()  # type: ignore[attr-defined]
    given = {"identity": torch.randn(2, 100), "image_features": torch.randn(2, clip.width)}
    written = HandWritten(clip, ["wearable"]).features()
    for own, hand in zip(prompts.features(**given), written, strict=True):
        torch.testing.assert_close(own, hand.expand_as(own), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match=r"context has 2 vectors; .* tokens: give context="):
        CoOp(clip, context=2).start_from_words()


def test_tuning_learns(clip: Clip, tmp_path: Path) -> None:
    faces = FakeFaces(20, 4)
    run = {"epochs": 20, "learning_rate": 0.5}
    options = _options(tmp_path / "coop", "coop", **run)
    prompt_tuning.run(options, clip, faces)
    log = [json.loads(x) for x in (tmp_path / "coop/seed0/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(2, 41, 2))  # epochs of 2
    assert log[-1]["loss"] < log[0]["loss"]


def test_killed_tuning_goes_on_exactly(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = FakeFaces(20, 2)
    prompt_tuning.run(_options(tmp_path / "whole", "pco"), clip, faces)
    real, calls = prompt_tuning.proxy_loss, []

    def killed(*given: object) -> torch.Tensor:
        calls.append(given)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("train.loop.states.SaveClock.due", lambda clock: True)
    monkeypatch.setattr(prompt_tuning, "proxy_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        prompt_tuning.run(_options(tmp_path / "parts", "pco"), clip, faces)
    prompt_tuning.run(_options(tmp_path / "parts", "pco"), clip, faces)
    assert len(calls) == 6 + 1  # a kill in the middle of an epoch costs no more than its step
    name = "seed0/prompts.safetensors"
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(ValueError, match="epochs: began with 3, now 4"):
        prompt_tuning.run(_options(tmp_path / "parts", "pco", epochs=4), clip, faces)


def test_shuffling_gives_everybody_anothers_identity() -> None:
    identity = torch.arange(8.0)[:, None].expand(8, 100).clone()
    people = np.array([1, 2, 5, 6])
    mixed = prompt_tuning.shuffled(identity, people, 0)[:, 0].numpy()
    assert (mixed[people] != people).all()
    assert sorted(mixed[people]) == [1, 2, 5, 6]
    assert mixed[[0, 3, 4, 7]].tolist() == [0, 3, 4, 7]


def test_batches_have_every_picture_once() -> None:
    person = np.repeat(np.arange(5), 7)
    rows = np.flatnonzero(person != 2)
    parts = list(prompt_tuning.batches(person, rows, 3, 4, [0, 0]))
    assert sorted(np.concatenate(parts)) == rows.tolist()
    assert all(len(np.unique(person[p])) <= 3 and len(p) <= 12 for p in parts)
    again = prompt_tuning.batches(person, rows, 3, 4, [0, 0])
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_tuning_refuses_what_it_cannot_use(clip: Clip, tmp_path: Path) -> None:
    for faces, message in (
        (FakeFaces(19, 1), "19 people; personalised prompts need at least 20"),
        (FakeFaces(20, 1).without_identity(), r"no identity of 20 of 20 people, such as p0"),
        (FakeFaces(20, 1).without_factors(), "tells none of these factors"),
    ):
        with pytest.raises(ValueError, match=message):
            prompt_tuning.run(_options(tmp_path / "a", "pco"), clip, faces)
    # Others need no identity.
    prompt_tuning.run(_options(tmp_path / "b", "hand"), clip, FakeFaces(5, 2).without_identity())
    assert DIMENSIONS[-1] == "image quality"


def test_command_line(tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("train.clip.prompt_tuning.open_dataset", lambda source: FakeFaces(6, 2))
    clip = tiny_clip_folder(tmp_path / "clip")
    given = f"--clip {clip} --source rendered:a --out {tmp_path / 'out'} --threads 1 --device cpu"
    given += f" --cache {tmp_path / 'cache'} --dimensions wearable --seeds 3 4 --kind"
    assert tune_prompts.main([*given.split(), "hand"]) == 0
    assert "hand, seed 4: balanced" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["seeds"] == [3, 4]
    assert tune_prompts.main([*given.split(), "pco"]) == 2
    assert "need at least 20" in capsys.readouterr().err
