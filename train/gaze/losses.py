"""Losses of CLIP-Gaze and of the methods it is compared with: pure functions of tensors.

Angles are (pitch, yaw) in radians.  All return a scalar, the mean over what they are given, unless
they say otherwise.  The paper is CLIP-Gaze (AAAI 2024, arXiv 2403.05124); what is marked "ours" is
this project's choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDES = (1, 8, 64, 512, 4096)
"""Distances in rank at which pairs of pairs are compared (ours).

Of 128 images there are 8,128 pairs: strides of 1 and 8 mostly meet ties (:data:`TIE`) and are there
for small batches; what is left looks at all scales, and shorter ones more than the full product.
"""
TIE = 0.01
"""Cosines of gazes that differ by no more say nothing of the order (ours): with narrow strides in
a large batch, half of the loss would order noise."""
LEAST_LENGTH = 0.01
"""Shorter features count as this long in cosines, so that no gradient is larger than 100 (ours): a
feature of zero would have one of 1e10, and the whole step would be its own."""

EYES_PX = ((60.0, 74.5), (163.0, 74.5))
"""Columns and rows of both eyes' middles in a normalised 224 × 224 crop (SDK's face model)."""


def gaze_vector(pitch_yaw: Tensor) -> Tensor:
    """Unit vectors (..., 3) of angles (..., 2): (−cos p · sin y, −sin p, −cos p · cos y)."""
    pitch, yaw = pitch_yaw[..., 0], pitch_yaw[..., 1]
    cos = pitch.cos()
    return torch.stack([-cos * yaw.sin(), -pitch.sin(), -cos * yaw.cos()], -1)


def gaze_angles(vector: Tensor) -> Tensor:
    """Angles (..., 2) of vectors (..., 3) of any length; inverse of :func:`gaze_vector`."""
    x, y, z = vector.unbind(-1)
    return torch.stack([torch.atan2(-y, torch.hypot(x, z)), torch.atan2(-x, -z)], -1)


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle (...) between unit vectors (..., 3): ``arccos(a · b)``.

    The cosine is clamped inside (−1, 1), because the slope of arccos is infinite at its ends.  So
    angles below 0.08° read as 0.08° and have no gradient, and likewise near 180°.
    """
    limit = 1.0 - 1e-6
    return (a * b).sum(-1).clamp(-limit, limit).arccos()


def angular_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Angle in radians (B,) between gazes (B, 2) and (B, 2)."""
    return angle_between(gaze_vector(predicted), gaze_vector(target))


def angular(predicted: Tensor, target: Tensor) -> Tensor:
    """L_g = arccos(cos(ĝ, g)) on unit vectors (CLIP-Gaze), mean over gazes (B, 2)."""
    return angular_error(predicted, target).mean()


def distil(f: Tensor, f_v: Tensor) -> Tensor:
    """L_d = 1 − (cos(f, f_v) + 1) · 0.5, in [0, 1] (CLIP-Gaze).

    ``f`` (B, D) is the CNN's feature, ``f_v`` (B, D) that of CLIP's image encoder (no gradient).
    Rows of NaN in ``f_v`` are unknown and count nothing; where all are, the loss is 0 (ours).
    """
    known = f_v.isfinite().all(-1)
    each = 1 - ((_unit(f) * _unit(f_v.detach().nan_to_num())).sum(-1) + 1) * 0.5
    return (each * known).sum() / known.sum().clamp(min=1)


def factor_weights(f: Tensor, f_ir: Tensor, temperature: float = 1.0) -> Tensor:
    """W (B, K) = softmax_k(cos(f, f_k^ir) / temperature), without gradient.

    CLIP-Gaze has the softmax; the temperature and the stopped gradient are ours: CLIP's text
    features lie close together, so that without a temperature W is nearly uniform.
    """
    with torch.no_grad():
        return torch.softmax(_cosines(f, f_ir) / temperature, -1)


def separate(
    f: Tensor, f_re: Tensor, f_ir: Tensor, temperature: float = 1.0, *, centred: bool = False
) -> Tensor:
    """L_ir = Σ_k W_k · cos(f_re, f_k^ir), in [−1, 1] (CLIP-Gaze).

    ``f`` and ``f_re`` (B, D) are the features before and after the separator, ``f_ir`` the factors'
    text features, (K, D), or (B, K, D) where they depend on the person.  The weights look at ``f``
    (:func:`factor_weights`), the penalty at ``f_re``.

    ``centred`` (ours) is Σ_k W_k · cos²(f_re, f_k^ir), in [0, 1], of features without the batch's
    mean and texts without theirs.  Texts share a direction, that of their common words, and the
    paper's form is least where every image has one and the same feature, opposite to it.  Squares
    alone do not help: a large constant across all texts makes every cosine small.
    """
    if not centred:
        weights = factor_weights(f, f_ir, temperature)
        return (weights * _cosines(f_re, f_ir.detach())).sum(-1).mean()
    texts = _unit(f_ir.detach())
    texts = texts - texts.mean(-2, keepdim=True)
    weights = factor_weights(f - f.mean(0), texts, temperature)
    return (weights * _cosines(f_re - f_re.mean(0), texts).square()).sum(-1).mean()


def _cosines(f: Tensor, f_ir: Tensor) -> Tensor:
    """(B, K) cosines of f (B, D) with (K, D) or (B, K, D)."""
    f, f_ir = _unit(f), _unit(f_ir)
    return f @ f_ir.T if f_ir.ndim == 2 else torch.einsum("bd,bkd->bk", f, f_ir)


def _unit(x: Tensor) -> Tensor:
    """Rows of length 1; those shorter than :data:`LEAST_LENGTH` stay shorter."""
    return F.normalize(x, dim=-1, eps=LEAST_LENGTH)


def rank(
    f_re: Tensor,
    gaze: Tensor,
    strides: Sequence[int] = STRIDES,
    tie: float = TIE,
    *,
    centred: bool = False,
) -> Tensor:
    """L_re = max(0, −S₁₂ · (s₁^f − s₂^f)), S₁₂ = +1 if s₁^g > s₂^g else −1 (CLIP-Gaze).

    s^f is the cosine of two features of ``f_re`` (B, D), s^g that of their gazes (B, 2): whoever
    looks alike shall have like features.  Every one of the B(B−1)/2 pairs has both; comparing all
    pairs with all would take O(B⁴).  Ours: sort the pairs by s^g and compare each with those
    ``strides`` places on, O(B² log B); :data:`STRIDES` tells what that leaves of the full product.
    Differences of s^g up to ``tie`` say nothing of the order and are left out (ours); the mean is
    over what is left, and zero where nothing is.

    ``centred`` (ours) takes the batch's mean off ``f_re``.  As it stands the loss shrinks with all
    differences, and is least where all features are one.
    """
    first, second = torch.triu_indices(len(f_re), len(f_re), 1, device=f_re.device)
    if centred:
        f_re = f_re - f_re.mean(0)
    vectors, features = gaze_vector(gaze), _unit(f_re)
    alike, order = (vectors @ vectors.T)[first, second].sort()
    feature_alike = (features @ features.T)[first, second][order]
    total = f_re.sum() * 0.0  # so that a batch of ties still has a (zero) gradient
    count = torch.zeros((), dtype=total.dtype, device=total.device)
    for stride in strides:
        if stride >= len(alike):
            break
        known = (alike[stride:] - alike[:-stride]) > tie
        excess = (feature_alike[:-stride] - feature_alike[stride:]).relu()
        total = total + (excess * known).sum()
        count = count + known.sum()
    return total / count.clamp(min=1)


def contrastive(
    f: Tensor, gaze: Tensor, gaze_temperature: float = 0.1, feature_temperature: float = 0.1
) -> Tensor:
    """Contrastive regression in the manner of CDG (Wang et al. 2022), formula ours.

    The mean over i of the cross-entropy between softmax_j(−angle(g_i, g_j) / τ_g) and
    softmax_j(cos(f_i, f_j) / τ_f), j ≠ i: the closer the gaze, the closer the feature.  ``f``
    (B, D), ``gaze`` (B, 2), B ≥ 2; τ_g in radians.
    """
    vectors, features = gaze_vector(gaze), _unit(f)
    angles = angle_between(vectors[:, None], vectors[None])
    target = torch.softmax(-_off_diagonal(angles) / gaze_temperature, -1)
    return F.cross_entropy(
        _off_diagonal(features @ features.T) / feature_temperature, target.detach()
    )


def _off_diagonal(square: Tensor) -> Tensor:
    """(B, B − 1) of (B, B): every row without its own column."""
    size = len(square)
    if size < 2:
        raise ValueError(f"a contrast needs at least 2 images; the batch has {size}")
    return square.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(size, size - 1)


def adversarial(image: Tensor, rebuilt: Tensor, mask: Tensor, keep: float = 0.75) -> Tensor:
    """PureGaze's purification: mean(mask · T(1 − (I − Î)²)), T(x) = x where x ≥ ``keep``, else 0.

    Falls as the face Î that was rebuilt from the feature differs from ``image`` I, both
    (B, 3, H, W) in [0, 1].  What already differs enough (by √(1 − keep)) is left alone.  ``mask``
    (H, W) weighs the places (:func:`eye_mask`).  (Cheng and Bao, AAAI 2022.)
    """
    likeness = 1 - (image - rebuilt).square()
    return (mask * torch.where(likeness >= keep, likeness, 0.0)).mean()


def pure_gaze(error: Tensor, purification: Tensor) -> Tensor:
    """PureGaze's gaze branch: 3 · mean|ĝ − g| + purification; ``error`` (B, 2) is ĝ − g."""
    return 3.0 * error.abs().mean() + purification


def reconstruction(image: Tensor, rebuilt: Tensor) -> Tensor:
    """PureGaze's reconstruction branch: mean((I − Î)²)."""
    return (image - rebuilt).square().mean()


def eye_mask(height: int, width: int, *, top: float = 0.0, sigma: float = 0.12) -> Tensor:
    """(height, width) weights, 1 at either eye's middle, falling as a Gaussian.

    Ours: normalisation puts the eyes at one place of a crop (:data:`EYES_PX`), so the mask is
    constant.  The picture is the crop from row ``top`` of 224 on, whatever its resolution; 224
    columns across.  ``sigma`` in widths of the crop.
    """
    scale = 224.0 / width
    rows = (torch.arange(height) + 0.5) * scale - 0.5 + top
    columns = (torch.arange(width) + 0.5) * scale - 0.5
    eyes = [
        torch.exp(
            -((columns[None] - x).square() + (rows[:, None] - y).square())
            / (2 * (224 * sigma) ** 2)
        )
        for x, y in EYES_PX
    ]
    return torch.maximum(*eyes)


def uncertainty(log_sigma: Tensor, error: Tensor) -> Tensor:
    """mean(½ (e / σ)² + log σ) of angles ``error`` (B,) and ``log_sigma`` (B,) or (B, 1).

    The likelihood of an angle e ≥ 0 as a half-normal with standard deviation σ, in radians, around
    no error; least where σ² = mean(e²).  The gaze receives no gradient: ``error`` is detached.
    """
    log_sigma = log_sigma.reshape(error.shape).clamp(-6.0, 1.0)
    return (0.5 * (error.detach() / log_sigma.exp()).square() + log_sigma).mean()


def certainty(log_sigma: Tensor, exponent: float) -> Tensor:
    """(B,) what each sample counts: σ^−exponent over the batch's mean of it, without gradient.

    ``log_sigma`` (B,) or (B, 1) is the model's own.  0 counts all alike.  1 is the likelihood of a
    Laplacian of scale σ whose σ is learnt apart (:func:`uncertainty`); between (ours, after
    Seitzer et al., ICLR 2022, whose β is 1 − exponent) hard samples are not given up so early.
    """
    weight = (-exponent * log_sigma.detach().reshape(len(log_sigma)).clamp(-6.0, 1.0)).exp()
    return weight / weight.mean()
