"""Noise of an injector's own: white, the same in every batch, another at every step."""

from __future__ import annotations

import torch

from fdplug.injectors import fresh_noise
from fdplug.testing import schedule


def test_fresh_noise_is_the_row_s_and_the_step_s_alone():
    prior = torch.randn(3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = (fresh_noise(prior, schedule(10).step(index)) for index in (2, 3))
    assert first.shape == prior.shape
    assert torch.equal(first[1:2], fresh_noise(prior[1:2], schedule(10).step(2))), "alone in its batch"
    for one in (first, second):
        assert torch.equal(one.flatten(1).sort().values, prior.flatten(1).sort().values), "as white as the prior"
        assert abs(torch.corrcoef(torch.stack([one[0].flatten(), prior[0].flatten()]))[0, 1]) < 0.06, (
            "2 of 1/sqrt(4096)"
        )
    assert not torch.equal(first, second)
