"""Losses: values by hand, gradients, and what they do at their limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from clipgaze_sdk.geometry import vector_from_angles
from train.gaze import losses


def normal(*shape, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def inputs(*shape, seed=0, scale=1.0):
    return normal(*shape, seed=seed, scale=scale).requires_grad_()


# Angles


def test_vectors_are_those_of_the_sdk_and_come_back():
    angles = normal(200, 2, scale=0.4)
    vectors = losses.gaze_vector(angles)
    assert vectors.numpy() == pytest.approx(vector_from_angles(angles.numpy()), abs=1e-12)
    assert losses.gaze_angles(3 * vectors).numpy() == pytest.approx(angles.numpy(), abs=1e-12)


def test_angular_values():
    zero = torch.zeros(1, 2)
    for target, expected in (((0.3, 0.0), 0.3), ((0.0, -0.7), 0.7), ((0.0, math.pi / 2), 1.5708)):
        assert float(losses.angular(zero, torch.tensor([target]))) == pytest.approx(
            expected, abs=1e-4
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("yaw", [0.0, math.pi])
def test_angular_is_finite_where_vectors_agree_or_oppose(dtype, yaw):
    predicted = torch.tensor([[0.0, yaw]], dtype=dtype, requires_grad=True)
    loss = losses.angular(predicted, torch.zeros(1, 2, dtype=dtype))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(yaw, abs=0.0015)
    assert torch.isfinite(predicted.grad).all()


# CLIP-Gaze


def test_distil_values():
    f = torch.tensor([[1.0, 0.0]])
    for other, expected in (((2.0, 0.0), 0.0), ((0.0, 3.0), 0.5), ((-1.0, 0.0), 1.0)):
        assert float(losses.distil(f, torch.tensor([other]))) == pytest.approx(expected, abs=1e-6)


def test_unknown_image_features_count_nothing():
    f = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).requires_grad_()
    unknown = [float("nan")] * 2
    loss = losses.distil(f, torch.tensor([[0.0, 3.0], unknown]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.5)
    assert f.grad[0].abs().sum() > 0
    assert not f.grad[1].any()
    assert not losses.distil(f.detach(), torch.tensor([unknown, unknown]))


def test_separate_by_hand():
    f = torch.tensor([[1.0, 0.0]])
    f_re = torch.tensor([[0.6, 0.8]])
    f_ir = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    a = math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 1)
    expected = a * 0.6 + (1 - a) * 0.8
    assert float(losses.separate(f, f_re, f_ir, 0.5)) == pytest.approx(expected, abs=1e-6)
    personal = f_ir[None]
    assert float(losses.separate(f, f_re, personal, 0.5)) == pytest.approx(expected, abs=1e-6)


def test_separate_takes_each_persons_texts():
    f, f_re, texts = normal(3, 8), normal(3, 8, seed=1), normal(3, 5, 8, seed=2)
    each = [losses.separate(f[k : k + 1], f_re[k : k + 1], texts[k], 0.1) for k in range(3)]
    assert float(losses.separate(f, f_re, texts, 0.1)) == pytest.approx(float(sum(each)) / 3)


def test_the_centred_form_by_hand():
    f_ir = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]) / 2**0.5
    f = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]]) + 7.0
    # Without their mean the texts are (±1, ∓1, 0)/√8, and f has a cosine of 1 with one of them.
    weight = 1 / (1 + math.exp(-2 / 0.5))
    texts = f_ir - f_ir.mean(0)
    assert float(losses.factor_weights(f - f.mean(0), texts, 0.5)[0, 0]) == pytest.approx(weight)
    for feature, expected in (
        ([1.0, 0.0, 0.0], 0.5),
        ([1.0, -1.0, 0.0], 1.0),
        ([1.0, 1.0, 5.0], 0),
    ):
        f_re = torch.tensor([feature, [-x for x in feature]]) + 3.0
        value = losses.separate(f, f_re, f_ir, 0.5, centred=True)
        assert float(value) == pytest.approx(expected, abs=1e-6)


def test_constants_please_the_papers_losses_alone():
    f, gaze = normal(6, 12), 0.4 * normal(6, 2, seed=1)
    texts = normal(6, 12, seed=2) + 3.0
    away = -30 * texts.mean(0)
    across = 30 * torch.linalg.svd(texts)[2][6:].sum(0)
    plain = float(losses.separate(f, f, texts))
    assert float(losses.separate(f, f + away, texts)) < plain - 0.5
    assert float(losses.rank(f + away, gaze, (1, 2))) < 0.1 * float(losses.rank(f, gaze, (1, 2)))
    for constant in (away, across):
        for form in (
            lambda x: losses.separate(f, x, texts, centred=True),
            lambda x: losses.rank(x, gaze, (1, 2), centred=True),
        ):
            assert float(form(f + constant)) == pytest.approx(float(form(f)), abs=1e-4)
            assert float(form(f)) > 0


def test_separate_has_no_gradient_through_its_weights():
    f, f_re, texts = inputs(4, 8), inputs(4, 8, seed=1), inputs(5, 8, seed=2)
    losses.separate(f, f_re, texts, 0.1).backward()
    assert f.grad is None
    assert texts.grad is None
    assert f_re.grad.abs().sum() > 0


def test_a_high_temperature_makes_weights_uniform_and_a_low_one_picks():
    f, texts = normal(4, 8), normal(6, 8, seed=2)
    assert losses.factor_weights(f, texts, 1e6).numpy() == pytest.approx(1 / 6, abs=1e-4)
    low = losses.factor_weights(f, texts, 1e-4)
    assert low.max(1).values.numpy() == pytest.approx(1.0)
    nearest = F.cosine_similarity(f[:, None], texts[None], dim=-1).argmax(1)
    assert torch.equal(low.argmax(1), nearest)


def on_circle(*degrees):
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], 1)


def yaws(*degrees):
    yaw = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([torch.zeros_like(yaw), yaw], 1)


def test_rank_is_zero_where_orders_agree():
    assert float(losses.rank(on_circle(0, 10, 30, 70), yaws(0, 5, 15, 35), (1, 2, 4))) == 0


def test_rank_by_hand():
    """Gazes at 0°, 10°, 30°; features at 0°, 40°, 10°: two pairs of pairs stand the wrong way."""
    feature, gaze = on_circle(0, 40, 10), yaws(0, 10, 30)
    # By likeness of gaze, rising: (0, 2) 30°, (1, 2) 20°, (0, 1) 10°; features 10°, 30°, 40°.
    c10, c30, c40 = (math.cos(math.radians(d)) for d in (10, 30, 40))
    stride_1 = [c10 - c30, c30 - c40]
    assert float(losses.rank(feature, gaze, (1,))) == pytest.approx(sum(stride_1) / 2)
    both = (sum(stride_1) + c10 - c40) / 3
    assert float(losses.rank(feature, gaze, (1, 2))) == pytest.approx(both)


def test_rank_over_all_strides_is_the_full_product():
    feature, gaze = normal(7, 5), normal(7, 2, seed=1, scale=0.3)
    i, j = torch.triu_indices(7, 7, 1)
    s_g = F.cosine_similarity(losses.gaze_vector(gaze)[i], losses.gaze_vector(gaze)[j])
    s_f = F.cosine_similarity(feature[i], feature[j])
    sign = torch.where(s_g[:, None] > s_g[None], 1.0, -1.0)
    full = (-sign * (s_f[:, None] - s_f[None])).relu()
    a, b = torch.triu_indices(len(s_g), len(s_g), 1)
    assert float(losses.rank(feature, gaze, range(1, 21), tie=0)) == pytest.approx(
        float(full[a, b].mean())
    )


def test_rank_leaves_ties_out():
    feature = inputs(5, 4)
    loss = losses.rank(feature, yaws(3, 3, 3, 3, 3))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not feature.grad.any()
    # Two pairs look 10° apart and one 20°: only those two steps of order count.
    tied = losses.rank(on_circle(0, 50, 20), yaws(0, 10, 20), (1, 2))
    c20, c30, c50 = (math.cos(math.radians(d)) for d in (20, 30, 50))
    expected = ((c20 - c50) + max(c20 - c30, 0)) / 2
    assert float(tied) == pytest.approx(expected)


def likeness_of_pairs(feature, gaze):
    i, j = torch.triu_indices(len(gaze), len(gaze), 1)
    vectors = losses.gaze_vector(gaze)
    return (
        F.cosine_similarity(vectors[i], vectors[j]),
        F.cosine_similarity(feature[i], feature[j]),
    )


def full_product(feature, gaze, tie):
    """The paper's loss over all pairs of pairs whose labels differ by more than the tie."""
    s_g, s_f = likeness_of_pairs(feature, gaze)
    apart = s_g[:, None] - s_g[None]
    excess = (-apart.sign() * (s_f[:, None] - s_f[None])).relu()
    return float(excess[apart.abs() > tie].mean())


def test_rank_counts_no_noise_of_the_order_as_the_full_product_counts_none():
    """Features that are gaze, with noise below a tie: there is nothing to order."""
    gaze = 0.5 * normal(40, 2, seed=3)
    feature = losses.gaze_vector(gaze) + 5e-4 * normal(40, 3, seed=4)
    s_g, s_f = likeness_of_pairs(feature, gaze)
    assert float((s_g - s_f).abs().max()) < losses.TIE / 2
    assert float(losses.rank(feature, gaze, tie=1e-6)) > 1e-6
    assert float(losses.rank(feature, gaze)) == 0
    assert full_product(feature, gaze, losses.TIE) == 0


@pytest.mark.parametrize("scale", [0.3, 0.8])
def test_rank_is_near_the_full_product(scale):
    """The example of the review: 128 images, features of noise and gaze."""
    gaze = scale * (2 * torch.rand(128, 2, generator=torch.Generator().manual_seed(0)) - 1).double()
    feature = normal(128, 32, seed=1)
    feature[:, :3] += 3 * losses.gaze_vector(gaze)
    every_64th = range(1, 128 * 127 // 2, 64)
    full = float(losses.rank(feature, gaze, every_64th))
    strided, with_noise = (float(losses.rank(feature, gaze, tie=tie)) for tie in (0.01, 1e-6))
    assert full < strided < with_noise
    assert strided < 1.3 * full


def test_rank_pulls_towards_the_right_order():
    feature, gaze = inputs(12, 3, seed=4), normal(12, 2, seed=5, scale=0.3)
    before = losses.rank(feature, gaze)
    before.backward()
    after = losses.rank(feature.detach() - 0.1 * feature.grad, gaze)
    assert 0 < float(after) < float(before.detach())


@pytest.mark.parametrize("size", [2, 3])
def test_smallest_batches_are_finite(size):
    feature, gaze = inputs(size, 4), normal(size, 2, seed=1, scale=0.2)
    for loss in (losses.rank(feature, gaze), losses.contrastive(feature, gaze)):
        feature.grad = None
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(feature.grad).all()


def test_nothing_is_nan_where_features_are_alike_or_zero():
    for feature in (torch.ones(4, 6), torch.zeros(4, 6)):
        f = feature.clone().requires_grad_()
        texts, gaze = torch.randn(3, 6), 0.1 * torch.randn(4, 2)
        total = losses.distil(f, torch.randn(4, 6)) + losses.separate(f, f, texts, 0.01)
        total = total + losses.rank(f, gaze) + losses.contrastive(f, gaze)
        total.backward()
        assert torch.isfinite(total)
        assert torch.isfinite(f.grad).all()


# CDG, PureGaze, uncertainty


def test_contrast_by_hand():
    """Gazes 0°, 6°, 18°, features at right angles, so that every softmax of features is ½."""
    gaze = yaws(0, 6, 18)
    assert float(losses.contrastive(torch.eye(3).double(), gaze)) == pytest.approx(math.log(2))
    # One pair of features alike: rows 0 and 1 name each other with probability q.
    feature = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0]]).double()
    q = 1 / (1 + math.exp(-1 / 0.5))

    def share(near, far):  # of the nearer one, by gaze
        near, far = (math.exp(-math.radians(d) / 0.1) for d in (near, far))
        return near / (near + far)

    rows = [-(p * math.log(q) + (1 - p) * math.log(1 - q)) for p in (share(6, 18), share(6, 12))]
    expected = (sum(rows) + math.log(2)) / 3
    assert float(losses.contrastive(feature, gaze, 0.1, 0.5)) == pytest.approx(expected, abs=1e-4)


def test_contrast_refuses_a_single_image():
    with pytest.raises(ValueError, match="at least 2"):
        losses.contrastive(torch.ones(1, 3), torch.zeros(1, 2))


def test_adversarial_leaves_alone_what_differs_enough():
    image = torch.zeros(1, 3, 1, 2)
    rebuilt = torch.tensor([0.4, 0.6]).expand(1, 3, 1, 2).clone().requires_grad_()
    mask = torch.tensor([[1.0, 1.0]])
    loss = losses.adversarial(image, rebuilt, mask)
    assert float(loss.detach()) == pytest.approx((1 - 0.16) / 2)  # 1 − 0.36 falls below 0.75
    loss.backward()
    assert (rebuilt.grad[..., 0] < 0).all()  # further away
    assert not rebuilt.grad[..., 1].any()


def test_pure_gaze_and_reconstruction_values():
    error = torch.tensor([[0.1, -0.3]])
    assert float(losses.pure_gaze(error, torch.tensor(0.5))) == pytest.approx(3 * 0.2 + 0.5)
    assert float(losses.reconstruction(torch.zeros(2, 3), torch.full((2, 3), 0.5))) == 0.25


def test_the_mask_sits_on_both_eyes_and_is_symmetric():
    mask = losses.eye_mask(224, 224)
    assert float(mask[74, 60]) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(mask, mask.flip(1))
    band = losses.eye_mask(48, 112, top=32)
    row, column = divmod(int(band.argmax()), 112)
    assert row == 21  # (74.5 − 32) / 2
    assert column in (29, 30, 81, 82)


def test_uncertainty_is_least_at_the_root_mean_square():
    error = torch.tensor([0.1, 0.2, 0.3])
    best = math.log(math.sqrt((0.01 + 0.04 + 0.09) / 3))
    log_sigma = torch.full((3, 1), best, requires_grad=True)
    loss = losses.uncertainty(log_sigma, error)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.5 + best)
    assert float(log_sigma.grad.sum()) == pytest.approx(0, abs=1e-6)


def test_uncertainty_does_not_reach_the_gaze():
    error = torch.rand(4, requires_grad=True)
    losses.uncertainty(torch.zeros(4, requires_grad=True), error).backward()
    assert error.grad is None


@pytest.mark.parametrize("angle", [0.005, 0.1, 0.6, 1.5])
def test_any_uncertainty_can_be_learnt(angle):
    """From 0.3° to 86°: least at the error itself, with a slope towards it on either side."""
    error, best = torch.full((4,), angle), math.log(angle)
    for away in (-0.4, 0.0, 0.4):
        log_sigma = torch.full((4, 1), best + away, requires_grad=True)
        losses.uncertainty(log_sigma, error).backward()
        slope = float(log_sigma.grad.sum())
        assert slope == pytest.approx(1 - math.exp(-2 * away), abs=1e-5)


def test_features_of_zero_have_bounded_gradients():
    texts, gaze = normal(5, 8, seed=1), 0.3 * normal(4, 2, seed=2)
    for loss in (
        lambda x: losses.distil(x, normal(4, 8, seed=3)),
        lambda x: losses.separate(x, x, texts),
        lambda x: losses.separate(x, x, texts, centred=True),
        lambda x: losses.rank(x, gaze, (1, 2)),
        lambda x: losses.contrastive(x, gaze),
    ):
        x = torch.zeros(4, 8, dtype=torch.float64, requires_grad=True)
        loss(x).backward()
        assert float(x.grad.abs().max()) <= 1 / losses.LEAST_LENGTH


@pytest.mark.parametrize(
    "loss",
    [
        lambda f, gaze: losses.angular(0.1 * f[:, :2], gaze),
        lambda f, gaze: losses.distil(f, normal(5, 6, seed=3)),
        lambda f, gaze: losses.separate(normal(5, 6, seed=4), f, normal(3, 6, seed=5), 0.2),
        lambda f, gaze: losses.rank(f, gaze, (1, 2, 3)),
        lambda f, gaze: losses.contrastive(f, gaze, 0.2, 0.3),
        lambda f, gaze: losses.adversarial(normal(5, 6, seed=6), f, torch.ones(5, 6)),
        lambda f, gaze: losses.reconstruction(normal(5, 6, seed=6), f),
        lambda f, gaze: losses.uncertainty(0.3 * f[:, 0], gaze[:, 0].abs()),
    ],
)
def test_gradients(loss):
    gaze = normal(5, 2, seed=9, scale=0.3)
    assert gradcheck(lambda f: loss(f, gaze), (inputs(5, 6, scale=0.7),))


def test_samples_count_by_certainty():
    log_sigma = torch.log(torch.tensor([[0.1], [0.2], [0.4]])).requires_grad_(True)
    assert losses.certainty(log_sigma, 0.0).tolist() == [1.0, 1.0, 1.0]
    weight = losses.certainty(log_sigma, 1.0)
    assert weight.tolist() == pytest.approx([12 / 7, 6 / 7, 3 / 7])
    assert not weight.requires_grad
    half = losses.certainty(log_sigma, 0.5)
    assert float(half[0] / half[2]) == pytest.approx(2.0)
