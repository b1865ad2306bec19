"""CLIP by name and by folder, its features and their cache, and the face CLIP's training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("open_clip", reason="needs open_clip of the extra [train]")

from tests.train.fake_faces import TINY, FakeFaces, tiny_clip_folder
from train.clip import pretrain
from train.clip import pretraining as pretrain_clip
from train.clip.clip_models import (
    CONFIG,
    FACE_CLIP,
    ROWS,
    WEIGHTS,
    Clip,
    build_clip,
    cached_features,
    load_clip,
    prepared,
    read_config,
)
from train.data.samples import UNKNOWN
from train.factors import FACTORS, is_shown
from train.loop.weight_cards import write_halves
from train.synth.chances import sample_person_factors, sample_picture_factors
from train.synth.domains import DOMAINS
from train.synth.outputs.captions import caption
from train.synth.streams import Streams


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return load_clip(str(folder))


def test_features_have_length_1_and_do_not_depend_on_company(clip: Clip) -> None:
    image = torch.randint(0, 256, (3, 3, 50, 50), dtype=torch.uint8)
    features = clip.encode_images(image)
    assert features.shape == (3, clip.width) == (3, 16)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(features[1:2], clip.encode_images(image[1:2]))
    # A longer text in the batch changes how much of the context is read, not the features.
    short, long = "a face", "a face of somebody who wears a very large hat and dark sunglasses"
    both = clip.encode_text([short, long])
    torch.testing.assert_close(both[:1], clip.encode_text([short]))


@pytest.mark.parametrize("custom", [False, True])
def test_texts_are_those_of_open_clip(tmp_path: Path, custom: bool) -> None:
    clip = load_clip(str(tiny_clip_folder(tmp_path, custom_text=custom)))
    texts = ["An image of a face with glasses.", "An image of a face with no glasses."]
    with torch.no_grad():
        expected = clip.model.encode_text(clip.tokenize(texts), normalize=True)
    torch.testing.assert_close(clip.encode_text(texts), expected)
    tokens = clip.tokenize(texts)
    end = clip.end_of(tokens)
    torch.testing.assert_close(clip.encode_tokens(clip.embed(tokens), end), expected)


def test_gradient_reaches_embeddings_and_no_weight(clip: Clip) -> None:
    tokens = clip.tokenize(["a face"])
    embedded = clip.embed(tokens).requires_grad_()
    clip.encode_tokens(embedded, clip.end_of(tokens))[0, 0].backward()
    assert embedded.grad is not None
    # Everything up to the end mark counts, and nothing behind it.
    assert (embedded.grad[0, :4].abs().sum(-1) > 0).all()
    assert (embedded.grad[0, 4:] == 0).all()
    assert all(p.grad is None and not p.requires_grad for p in clip.parameters())
    assert not clip.train().model.training


def test_preprocessing_is_open_clips(clip: Clip) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    ramp = np.linspace(0, 255, 70 * 50).reshape(70, 50)
    rgb = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1).astype(np.uint8)
    settings = {k: clip.preprocess[k] for k in ("size", "mean", "std")}
    expected = image_transform_v2(PreprocessCfg(**settings), is_train=False)(Image.fromarray(rgb))
    got = prepared(torch.from_numpy(rgb).permute(2, 0, 1)[None], clip.preprocess)[0]
    assert got.shape == expected.shape == (3, 32, 32)
    # Cutting before the resize moves the middle by under a pixel, and PIL rounds to bytes.
    assert (got - expected).abs().mean() < 0.05
    with pytest.raises(ValueError, match=r"float32.*expected uint8"):
        prepared(torch.zeros(1, 3, 32, 32), clip.preprocess)


def test_named_model_is_wide_and_frozen() -> None:
    clip = load_clip("ViT-B-16:")
    assert (clip.width, clip.context_length, clip.token_width) == (512, 77, 512)
    assert clip.temperature == pytest.approx(0.07, rel=1e-4)
    tokens = clip.tokenize(["a face"])
    embedded = clip.embed(tokens).requires_grad_()
    clip.encode_tokens(embedded, clip.end_of(tokens)).square().sum().backward()
    assert embedded.grad is not None
    assert all(p.grad is None for p in clip.parameters())


def test_errors_say_what_to_give(tmp_path: Path, folder: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FileNotFoundError, match="NAME:PRETRAINED"):
        load_clip("nowhere")
    with pytest.raises(ValueError, match="did you mean ViT-B-16"):
        load_clip("ViT-B-61:openai")
    with pytest.raises(ValueError, match="openai"):
        load_clip("ViT-B-16:nothing")
    with pytest.raises(FileNotFoundError, match=r"holds nothing; expected open_clip_config\.json"):
        load_clip(str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text(json.dumps(TINY | {"embed_dim": 8}))
    (tmp_path / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes())
    with pytest.raises(ValueError, match="does not fit"):
        load_clip(str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(ValueError, match="lacks embed_dim"):
        load_clip(str(tmp_path / WEIGHTS))
    (tmp_path / "old.bin").touch()
    with pytest.raises(ValueError, match="not unpickled"):
        load_clip(f"ViT-B-16:{tmp_path / 'old.bin'}")
    with pytest.raises(ValueError, match="does not read a text at its end mark"):
        load_clip(str(_with_pooling(tmp_path / "last", "last")))

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("open_clip.create_model", offline)
    with pytest.raises(RuntimeError, match="without a network give"):
        load_clip("ViT-B-16:openai")


def _with_pooling(folder: Path, pool: str) -> Path:
    tiny_clip_folder(folder)
    config = TINY | {"text_cfg": {**TINY["text_cfg"], "pool_type": pool}}  # type: ignore[dict-item]
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def test_text_that_would_be_cut_is_refused(clip: Clip) -> None:
    assert clip.tokenize(["face " * 62]).shape == (1, 64)
    with pytest.raises(ValueError, match="more than 64 tokens"):
        clip.tokenize(["a face", "face " * 63])


def test_cached_features_are_the_direct_ones_and_made_once(clip: Clip, tmp_path: Path) -> None:
    faces = FakeFaces(3, 3)
    cached = cached_features(clip, faces, tmp_path, batch=4)
    direct = clip.encode_images(torch.stack([faces[k]["image"] for k in range(9)]))
    np.testing.assert_allclose(cached, direct.numpy(), atol=1e-3)
    assert cached.dtype == np.float16
    reads = faces.reads
    assert np.array_equal(cached_features(clip, faces, tmp_path), cached)
    assert faces.reads == reads
    # What a killed call left is kept, and other weights and other data have files of their own.
    (path,) = tmp_path.glob("*.json")
    path.write_text(json.dumps({"done": 8, "of": 9}))
    cached_features(clip, faces, tmp_path, batch=4)
    assert faces.reads == reads + 1
    cached_features(clip, FakeFaces(3, 3, seed=1), tmp_path)
    other = load_clip(str(tiny_clip_folder(tmp_path / "other", seed=1)))
    cached_features(other, faces, tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 3


def test_captions_of_known_factors_say_what_the_picture_shows() -> None:
    rng = np.random.default_rng(0)
    for k in range(300):
        streams, domain = Streams(0, 1, k), DOMAINS[k % len(DOMAINS)]
        shape = {f.name: rng.normal() for f in FACTORS if f.scope == "identity"}
        on = sample_person_factors(streams, shape, domain)
        on = sample_picture_factors(streams, on, domain)
        shown = {f.name: on[f.name] for f in FACTORS if is_shown(on, f.name)}
        known = np.array([shown.get(f.name, UNKNOWN) for f in FACTORS], np.uint8)
        again = pretrain_clip.true_factors(known)
        assert {n: again[n] for n in again if is_shown(again, n)} == shown
        assert caption(np.random.default_rng(k), again)


def test_face_clip_fits_in_25_megabytes() -> None:
    model = build_clip(read_config(FACE_CLIP))
    assert 2 * sum(p.numel() for p in model.state_dict().values()) < 25e6
    assert model.visual.image_size in (112, 128, (112, 112), (128, 128))


def _options(out: Path, **changed: object) -> pretrain_clip.Options:
    config = out.parent / "tiny.json"
    config.write_text(json.dumps(TINY))
    given = {
        "source": ("fake:",),
        "out": out,
        "cache": out.parent / "cache",
        "config": config,
        "steps": 6,
        "batch": 8,
        "warm_up": 2,
        "threads": 1,
    }
    return pretrain_clip.Options(**given | changed)  # type: ignore[arg-type]


def test_killed_pretraining_goes_on_exactly(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    faces = FakeFaces(6, 4)
    whole = pretrain_clip.pretrain(_options(tmp_path / "whole"), faces)
    real, calls = pretrain_clip.Pretraining.one_step, []

    def killed(self: pretrain_clip.Pretraining, batch: dict[str, torch.Tensor]) -> None:
        calls.append(self.step)
        if len(calls) == 5:
            raise KeyboardInterrupt
        real(self, batch)

    monkeypatch.setattr("train.loop.states.SaveClock.due", lambda clock: True)
    monkeypatch.setattr(pretrain_clip.Pretraining, "one_step", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain_clip.pretrain(_options(tmp_path / "parts"), faces)
    parts = pretrain_clip.pretrain(_options(tmp_path / "parts"), faces)
    assert calls == [0, 1, 2, 3, 4, 4, 5]
    assert (parts / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    with pytest.raises(ValueError, match=r"seed: began with 0, now 1"):
        pretrain_clip.pretrain(_options(tmp_path / "parts", seed=1), faces)

    card = json.loads((whole / "card.json").read_text())
    assert card["licence"] == "Apache-2.0"
    assert "ICT-FaceKit (MIT" in card["face_model"]
    assert card["steps"] == 6
    assert card["finished"]
    figures = card["figures"]["zero_shot"]
    assert 0 <= figures["balanced"] <= 1
    assert len(figures["factors"]) > 50
    clip = load_clip(str(whole))
    assert clip.width == 16


def whole_folder(small: Path, out: Path) -> Path:
    """A model's folder with the embeddings of all tokens."""
    out.mkdir()
    (out / CONFIG).write_text((small / CONFIG).read_text())
    write_halves(load_clip(str(small)).model, out / WEIGHTS)
    return out


def test_written_model_opens_in_open_clip_with_all_tokens(tmp_path: Path) -> None:
    import open_clip

    small = pretrain_clip.pretrain(_options(tmp_path / "small", steps=1), FakeFaces(6, 4))
    out = whole_folder(small, tmp_path / "out")
    model = open_clip.create_model(f"local-dir:{out}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{out}")(["a face"])
    with torch.no_grad():
        expected = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(load_clip(str(small)).encode_text(["a face"]), expected)


def test_words_that_were_never_seen_are_zero_and_left_out(tmp_path: Path) -> None:
    faces = FakeFaces(6, 4)
    small = pretrain_clip.pretrain(_options(tmp_path / "small", steps=2), faces)
    big = whole_folder(small, tmp_path / "big")
    whole = load_clip(str(big))
    table = whole.model.token_embedding.weight
    learnt = table.any(1)
    seen, unseen = (whole.tokenize([t])[0, 1] for t in ("face", "helicopter"))
    assert learnt[seen]
    assert not learnt[unseen]
    assert 100 < int(learnt.sum()) < 700
    assert load_file(small / WEIGHTS)[ROWS].tolist() == learnt.nonzero()[:, 0].tolist()
    assert (small / WEIGHTS).stat().st_size < 0.2 * (big / WEIGHTS).stat().st_size
    again = load_clip(str(small))
    assert again.fingerprint == whole.fingerprint
    assert again.model.token_embedding.weight.dtype == torch.float32
    # What it never saw is refused, or it would be silence; contexts take the place of the X.
    for clip in (whole, again):
        with pytest.raises(ValueError, match="never seen 'helicopter', 'zebra'; use words"):
            clip.encode_text(["a face", "a helicopter face with a zebra", "zebra"])
    assert not learnt[whole.tokenize(["X"])[0, 1]]
    assert again.encode_text(["a face"]).shape == (1, again.width)
    # A second leg from it knows which words the first one saw.
    options = _options(tmp_path / "second", steps=1, init=small, learning_rate=1e-9)
    second = load_clip(str(pretrain_clip.pretrain(options, faces)))
    assert (second.model.token_embedding.weight.any(1) & learnt).sum() == learnt.sum()


@pytest.fixture
def tiny_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small model that open_clip knows by name."""
    import open_clip
    from open_clip import factory

    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    for name, extra in (("tiny-face", {}), ("tiny-face-quickgelu", {"quick_gelu": True})):
        (tmp_path / f"{name}.json").write_text(json.dumps({**TINY, **extra}))
        open_clip.add_model_config(tmp_path / f"{name}.json")
    return "tiny-face"


def activation_of(clip: Clip) -> str:
    return type(clip.model.transformer.resblocks[0].mlp.gelu).__name__


def test_weights_in_a_file_have_the_activation_that_is_said(
    tiny_name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    file = folder / WEIGHTS
    plain = load_clip(f"{tiny_name}:{file}")
    assert activation_of(plain) == "GELU"
    by_name = load_clip(f"{tiny_name}-quickgelu:{file}")
    by_word = load_clip(f"{tiny_name}:{file}?quick_gelu=true")
    assert activation_of(by_name) == activation_of(by_word) == "QuickGELU"
    texts = ["a face with a hat"]
    assert torch.equal(by_name.encode_text(texts), by_word.encode_text(texts))
    assert not torch.allclose(by_name.encode_text(texts), plain.encode_text(texts), atol=1e-4)
    # Of names with weights of both kinds, nothing is guessed.
    monkeypatch.setattr("train.clip.clip_models._has_quick_gelu_weights", lambda _: True)
    with pytest.raises(ValueError, match=r"does not say .*\?quick_gelu=true"):
        load_clip(f"{tiny_name}:{file}")
    assert activation_of(load_clip(f"{tiny_name}:{file}?quick_gelu=false")) == "GELU"
    told = tmp_path / "told.safetensors"
    save_file(load_file(file), told, metadata={"quick_gelu": "true"})
    assert activation_of(load_clip(f"{tiny_name}:{told}")) == "QuickGELU"
    with pytest.raises(ValueError, match=r"expected \?quick_gelu=true or"):
        load_clip(f"{tiny_name}:{file}?quick=yes")


def test_which_names_have_weights_of_both_kinds() -> None:
    from train.clip.clip_models import _has_quick_gelu_weights

    assert _has_quick_gelu_weights("ViT-B-16")
    assert _has_quick_gelu_weights("ViT-B-32")
    assert not _has_quick_gelu_weights("ViT-B-16-plus-240")


def test_pretraining_learns_what_is_plain_to_see(tmp_path: Path) -> None:
    options = _options(tmp_path / "out", steps=70, batch=16, learning_rate=3e-3)
    out = pretrain_clip.pretrain(options, FakeFaces(8, 4))
    figures = json.loads((out / "card.json").read_text())["figures"]["zero_shot"]
    assert figures["factors"]["glasses"]["balanced"] == 1.0


def test_a_second_leg_starts_from_the_first_ones_weights(tmp_path: Path) -> None:
    faces = FakeFaces(6, 4)
    first = pretrain_clip.pretrain(_options(tmp_path / "first", steps=2), faces)
    options = _options(tmp_path / "second", steps=1, init=first, learning_rate=1e-9)
    second = pretrain_clip.pretrain(options, faces)
    before, after = (load_clip(str(folder)).encode_text(["a face"]) for folder in (first, second))
    torch.testing.assert_close(before, after, atol=1e-3, rtol=0)
    card = json.loads((second / "card.json").read_text())
    assert card["started_from"]["sha256"] == json.loads((first / "card.json").read_text())["sha256"]
    assert (card["steps"], card["started_from"]["steps"]) == (1, 2)
    with pytest.raises(FileNotFoundError, match="holds no open_clip_model"):
        pretrain_clip.pretrain(_options(tmp_path / "third", init=tmp_path), faces)
    wide = dict(TINY, embed_dim=24)
    (tmp_path / "wide.json").write_text(json.dumps(wide))
    with pytest.raises(ValueError, match="another architecture"):
        pretrain_clip.pretrain(
            _options(tmp_path / "fourth", init=first, config=tmp_path / "wide.json"), faces
        )


def test_time_limit_stops_and_goes_on(tmp_path: Path) -> None:
    faces = FakeFaces(6, 4)
    out = pretrain_clip.pretrain(_options(tmp_path / "out", max_minutes=1e-9), faces)
    assert not json.loads((out / "card.json").read_text())["finished"]
    pretrain_clip.pretrain(_options(tmp_path / "out"), faces)
    assert json.loads((out / "card.json").read_text())["finished"]


def test_pretraining_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tells no factor"):
        pretrain_clip.pretrain(_options(tmp_path / "a"), FakeFaces().without_factors())
    with pytest.raises(ValueError, match="fewer than a batch of 64"):
        pretrain_clip.pretrain(_options(tmp_path / "a", batch=64), FakeFaces())
    with pytest.raises(ValueError, match="batch of at least 2"):
        _options(tmp_path / "a", batch=1)


def test_command_line(tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    asked = []

    def opened(source: tuple[str, ...]) -> FakeFaces:
        asked.append(source)
        return FakeFaces(6, 4)

    monkeypatch.setattr("train.clip.pretraining.open_dataset", opened)
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    given = f"--source rendered:a rendered:b --out {tmp_path / 'out'} --cache {tmp_path / 'cache'}"
    given += f" --config {tmp_path / 'tiny.json'} --steps 1 --threads 1 --device cpu --batch"
    assert pretrain.main([*given.split(), "8"]) == 0
    assert asked == [("rendered:a", "rendered:b")]
    assert "zero-shot balanced accuracy on held-out people" in capsys.readouterr().out
    assert pretrain.main([*given.split(), "500"]) == 2
    assert "fewer than a batch" in capsys.readouterr().err
