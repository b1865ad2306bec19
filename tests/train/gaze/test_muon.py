"""Muon: what it moves, how far, and what it leaves to AdamW."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from train.gaze.recipes import RecipeError, changed, find_recipe
from train.loop.muon import RATIO, Muon, make_optimizer, orthogonalized

RATE = 1e-3


def network():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "picture": nn.Conv2d(3, 8, 3),
            "wide": nn.Conv2d(8, 16, 3),
            "tall": nn.Conv2d(8, 160, 3),
            "depthwise": nn.Conv2d(16, 16, 3, groups=16),
            "point": nn.Conv2d(16, 16, 1),
            "linear": nn.Linear(16, 16),
            "unused": nn.Conv2d(8, 8, 3),
        }
    )


def one_step(kind, weight_decay=0.0):
    """Weights before and after a step down given gradients."""
    net = network()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    torch.manual_seed(1)
    for name, parameter in net.named_parameters():
        gradient = torch.randn_like(parameter)
        parameter.grad = None if name.startswith("unused") else gradient
    make_optimizer(kind, net.parameters(), learning_rate=RATE, weight_decay=weight_decay).step()
    return before, dict(net.state_dict())


@pytest.mark.parametrize("shape", [(16, 72), (160, 72), (48, 48)])
def test_singular_values_become_one(shape):
    torch.manual_seed(2)
    matrix = torch.randn(shape) * 37
    found = orthogonalized(matrix)
    values = torch.linalg.svdvals(found)
    assert values.max() < 1.3
    assert values.quantile(0.1) > 0.4
    # Its singular vectors stay: U Vt is the nearest orthogonal matrix.
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    agree = (found * (u @ v)).sum() / (found.norm() * (u @ v).norm())
    assert agree > 0.97


def test_only_hidden_convolutions_are_moved_by_muon():
    before, after = one_step("muon")
    _, adam = one_step("adamw")
    moved = {k for k in after if not torch.equal(after[k], adam[k])}
    assert moved == {"wide.weight", "tall.weight"}
    assert torch.equal(after["unused.weight"], before["unused.weight"])


@pytest.mark.parametrize("name", ["wide", "tall"])
def test_how_far_a_convolution_moves(name):
    before, after = one_step("muon")
    move = (after[f"{name}.weight"] - before[f"{name}.weight"]).flatten(1)
    rows, columns = move.shape
    values = torch.linalg.svdvals(move) / (RATE * RATIO * max(1, rows / columns) ** 0.5)
    assert values.min() > 0.4
    assert values.max() < 1.3


def test_weight_decay_shrinks_convolutions():
    _, plain = one_step("muon")
    before, decayed = one_step("muon", weight_decay=0.5)
    off = decayed["wide.weight"] - plain["wide.weight"]
    assert torch.allclose(off, -0.5 * RATE * RATIO * before["wide.weight"], atol=1e-7)


def test_channels_last_changes_nothing():
    nets = [network()["wide"] for _ in range(2)]
    nets[1].to(memory_format=torch.channels_last)
    for net in nets:
        torch.manual_seed(3)
        gradient = torch.randn(net.weight.shape)
        net.weight.grad = gradient.to(memory_format=torch.channels_last)
        Muon(net.parameters(), lr=RATE).step()
    assert torch.allclose(nets[0].weight, nets[1].weight, atol=1e-6)


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="takes no closure"):
        Muon(network().parameters()).step(lambda: 0.0)


def test_recipes_know_both_names_and_no_other():
    assert find_recipe("erm").optimizer == "adamw"
    assert changed(find_recipe("erm"), {"optimizer": "muon"}).optimizer == "muon"
    with pytest.raises(RecipeError, match="optimizer is 'sgd'; expected one of"):
        changed(find_recipe("erm"), {"optimizer": "sgd"})
    with pytest.raises(ValueError, match="no optimizer 'sgd'"):
        make_optimizer("sgd", [], learning_rate=1.0, weight_decay=0.0)
