"""Linear layers with packed weights cost what the plain ones cost, whatever they multiply by."""

from __future__ import annotations

import torch
from torch import nn

from fdplug.profiling.flops import outlined_flops
from fdplug.profiling.packed import is_packed, unpacked


class Bytes(nn.Linear):
    """A layer with a byte for every weight, that multiplies where no tracer sees it."""

    def __init__(self, plain):
        super().__init__(plain.in_features, plain.out_features)
        self.weight = nn.Parameter(plain.weight.detach().flatten().to(torch.int8), requires_grad=False)
        self.bias = plain.bias

    def forward(self, given):
        weights = self.weight.numpy().reshape(self.out_features, self.in_features)
        return torch.from_numpy(given.numpy() @ weights.T) + self.bias


def networks():
    plain = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)).eval()
    return plain, nn.Sequential(Bytes(plain[0]), nn.GELU(), Bytes(plain[2])).eval()


def test_packed_layers_count_as_the_plain_ones():
    plain, packed = networks()
    given = {"input": torch.empty(3, 8, device="meta")}
    expected = {"": 3 * (8 * 16 + 16 * 4), "0": 3 * 8 * 16, "2": 3 * 16 * 4}
    for network in (plain, packed):
        for convention in ("full", "paper"):
            counted = outlined_flops(network, given, convention)
            assert {name: counted[name] for name in expected} == expected


def test_packed_layers_are_left_as_they_were():
    plain, packed = networks()
    assert not is_packed(plain[0])
    assert is_packed(packed[0])
    own = packed[2].forward = lambda given: given
    with unpacked(packed):
        assert packed[0](torch.ones(1, 8)).tolist() == [[0.0] * 16]
    assert "forward" not in vars(packed[0])
    assert packed[2].forward is own
