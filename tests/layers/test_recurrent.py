"""The convolutional recurrent unit against its equations."""

from __future__ import annotations

import torch

from srcli.layers.recurrent import ConvGRU


def test_the_unit_follows_its_equations():
    torch.manual_seed(0)
    unit = ConvGRU(channels=3)
    x, h = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    both = torch.cat([h, x], dim=1)

    def gate(rows):
        assert unit.gates.bias is not None
        weight, bias = unit.gates.weight[rows], unit.gates.bias[rows]
        return torch.sigmoid(torch.nn.functional.conv2d(both, weight, bias, padding=1))

    z, r = gate(slice(0, 3)), gate(slice(3, 6))
    candidate = torch.tanh(unit.candidate(torch.cat([r * h, x], dim=1)))
    torch.testing.assert_close(unit(x, h), (1 - z) * h + z * candidate)


def test_the_first_state_is_zero():
    torch.manual_seed(0)
    unit = ConvGRU(channels=3)
    x = torch.randn(1, 3, 2, 7)
    assert torch.equal(unit(x), unit(x, torch.zeros_like(x)))


def test_it_keeps_or_takes_as_its_gates_say():
    unit = ConvGRU(channels=2)
    x, h = torch.randn(1, 2, 3, 3), torch.randn(1, 2, 3, 3)
    assert unit.gates.bias is not None
    with torch.no_grad():
        unit.gates.weight.zero_()
        unit.gates.bias.fill_(-40.0)
        torch.testing.assert_close(unit(x, h), h)
        unit.gates.bias[:2] = 40.0  # z = 1, r = 0: the state is forgotten
        torch.testing.assert_close(unit(x, h), unit(x, h + 5))


def test_it_has_the_derived_parameters():
    assert sum(p.numel() for p in ConvGRU(channels=64).parameters()) == 3 * 73_792
