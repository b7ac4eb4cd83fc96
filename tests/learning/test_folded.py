"""A network folded for prediction answers as the network itself does, and never with old weights."""

from __future__ import annotations

import torch
from torch import nn

from synthforge.learning.networks.blocks import Residual, conv
from synthforge.learning.networks.folded import Folded


def some_network() -> nn.Module:
    """Convolutions with normalisation behind them, before them, and without; statistics that are not 0 and 1."""
    torch.manual_seed(5)
    network = nn.Sequential(conv(3, 8, stride=2), Residual(8, 12), nn.Conv2d(12, 4, 1))
    network.train()
    for _ in range(5):
        network(torch.rand(4, 3, 16, 16) * 3 - 1)
    return network.eval()


def test_folding_changes_nothing_but_rounding() -> None:
    network, images = some_network(), torch.rand(2, 3, 16, 16)
    folded = Folded(network)()
    before, after = (sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (network, folded))
    assert (before, after) == (4, 1)  # the first of the residual block has no convolution before it
    torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-5)


def test_weights_made_in_inference_mode_are_taken_too() -> None:
    images = torch.rand(2, 3, 16, 16)
    plain = some_network()
    with torch.inference_mode():
        network = nn.Sequential(conv(3, 8, stride=2), Residual(8, 12), nn.Conv2d(12, 4, 1)).eval()
        network.load_state_dict(plain.state_dict())
        torch.testing.assert_close(Folded(network)()(images), plain(images), rtol=1e-4, atol=1e-5)


def test_new_weights_and_statistics_are_folded_anew() -> None:
    network, images = some_network(), torch.rand(2, 3, 16, 16)
    folded = Folded(network)
    first = folded()
    assert folded() is first
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
    torch.testing.assert_close(folded()(images), network(images), rtol=1e-4, atol=1e-5)
    network.train()
    assert folded() is network
    network(images)  # moves the running means
    network.eval()
    torch.testing.assert_close(folded()(images), network(images), rtol=1e-4, atol=1e-5)
    network.load_state_dict(some_network().state_dict())
    torch.testing.assert_close(folded()(images), network(images), rtol=1e-4, atol=1e-5)
