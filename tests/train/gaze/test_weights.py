"""The weights that later training builds on: whole, described by their cards, and of use."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("open_clip", reason="needs open_clip of the extra [train]")

from train.clip.clip_models import load_clip
from train.clip.prompts import PCO, CoOp, HandWritten, UnknownWords, load_prompts
from train.factors import FACTORS, PROMPT
from train.gaze.checkpoints import load_model
from train.loop.weight_cards import CARD, check_commit

MOST_BYTES = 9_000_000
WEIGHTS = Path(__file__).resolve().parents[3] / "train" / "weights"
MADE_BEFORE_COMMITS_WERE_ASKED_FOR = {"gaze"}
"""Until it is trained again."""
GOLDEN_TEXTS = [[-0.0686, 0.0219, -0.0275], [0.04283, 0.04521, -0.03762]]
GOLDEN_PICTURE = [0.02, -0.03254, -0.02559]
"""Of the whole file, before the tokens that it never saw were left out."""
NAMES = [f.name for f in FACTORS]
FOLDERS = sorted(path.parent for path in WEIGHTS.rglob(CARD))

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.mark.parametrize("folder", FOLDERS, ids=[str(f.relative_to(WEIGHTS)) for f in FOLDERS])
def test_cards_are_of_the_files_beside_them(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    data = (folder / card["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == card["sha256"]
    assert card["licence"] == "Apache-2.0"
    assert "ICT-FaceKit (MIT" in card["face_model"]
    for key in ("command", "commit", "trained_on", "figures", "intended_use", "limits"):
        assert card[key], key
    # No path of the machine that made them.
    for path in folder.glob("*.json"):
        command = json.loads(path.read_text()).get("command", "python -m x")
        assert command.startswith("python -m "), path
        assert not any(word.startswith("/") for word in command.split()), path
    if folder.name not in MADE_BEFORE_COMMITS_WERE_ASKED_FOR:
        check_commit(card["commit"], folder)


def test_all_have_cards_and_they_are_small() -> None:
    found = list(WEIGHTS.rglob("*.safetensors"))
    assert {path.parent for path in found} == set(FOLDERS)
    assert sum(path.stat().st_size for path in found) <= MOST_BYTES


def test_the_face_clip_tells_texts_apart_and_reads_pictures() -> None:
    clip = load_clip(str(WEIGHTS / "face_clip"))
    assert clip.width == 512
    positive, negative = HandWritten(clip).features()
    assert positive.shape == (1, len(FACTORS), 512)
    cosine = dict(zip(NAMES, (positive * negative).sum(-1)[0].tolist(), strict=True))
    # What it knows well; its card tells of the rest.
    for name in ("near_infrared", "face_mask", "dark", "sunglasses", "beard"):
        assert cosine[name] < 0.5, name
    pictures = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    assert torch.allclose(clip.encode_images(pictures).norm(dim=-1), torch.ones(2), atol=1e-4)


def test_the_face_clip_is_stored_as_float16_and_loads_as_float32() -> None:
    """And knows the words that it was trained on, and no others."""
    clip = load_clip(str(WEIGHTS / "face_clip"))
    assert {p.dtype for p in clip.parameters()} == {torch.float32}
    learnt = clip.model.token_embedding.weight.any(1)
    assert int(learnt.sum()) == 333
    texts = [PROMPT.format(words) for f in FACTORS for words in (f.positive, f.negative)]
    assert learnt[clip.tokenize(texts)[clip.tokenize(texts) > 0]].all()
    # As with the whole file: the first numbers of three features, rounded.
    said = clip.encode_text([PROMPT.format("glasses"), PROMPT.format("a beard")])
    assert said[:, :3].tolist() == [pytest.approx(row, abs=2e-4) for row in GOLDEN_TEXTS]
    ramp = torch.linspace(0, 255, 224).expand(1, 3, 224, 224).to(torch.uint8)
    assert clip.encode_images(ramp)[0, :3].tolist() == pytest.approx(GOLDEN_PICTURE, abs=2e-4)


def test_words_that_the_face_clip_never_saw_are_refused_or_told() -> None:
    """Their embeddings are 0, so that two texts would be one; CoOp's places may be such words."""
    clip = load_clip(str(WEIGHTS / "face_clip"))
    with pytest.raises(ValueError, match="face_clip has never seen 'appearance', 'quality'; use"):
        clip.encode_text(["a face with appearance", "a face with quality"])
    assert CoOp(clip).features()[0].shape == (1, len(FACTORS), 512)
    odd = replace(FACTORS[0], negative="zebra")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.clip.prompts.FACTORS", (odd, *FACTORS[1:]))
        for kind in (CoOp, HandWritten):
            with pytest.warns(UnknownWords, match=rf"never seen 'zebra\.', .* tells {odd.name};"):
                kind(clip)


def test_prompts_are_of_this_clip_and_personal() -> None:
    clip = load_clip(str(WEIGHTS / "face_clip"))
    prompts = load_prompts(WEIGHTS / "prompts_pco", clip)
    assert isinstance(prompts, PCO)
    first, second = prompts.features(identity=torch.stack([torch.zeros(100), torch.ones(100)]))[0]
    assert not torch.allclose(first, second, atol=1e-3)


def test_weights_from_before_signed_features_load_as_they_were() -> None:
    model = load_model(WEIGHTS / "gaze")
    assert not model.architecture.signed
    assert isinstance(model.projection, torch.nn.Identity)
    image = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.inference_mode():
        assert (model(image).f >= 0).all()


def test_the_gaze_weights_are_those_of_the_bundled_network() -> None:
    import onnxruntime

    from export.trained import load_run

    trained = load_run("gaze", WEIGHTS / "gaze")
    bundled = WEIGHTS.parents[1] / "sdk" / "clipgaze_sdk" / "models" / "gaze.onnx"
    session = onnxruntime.InferenceSession(bundled, providers=["CPUExecutionProvider"])
    image = torch.randn(3, 3, 96, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = trained.network(image)
    for a, b in zip(wanted, session.run(None, {"image": image.numpy()}), strict=True):
        assert torch.allclose(a, torch.from_numpy(b), atol=1e-4)
