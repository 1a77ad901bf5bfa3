"""What other tests take for the same network is the same, and what changes the cost is another."""

from __future__ import annotations

import torch

from fdplug import propagate
from fdplug.testing import latents, tiny_pipeline
from tests.counting import structure


def test_networks_are_told_apart_by_all_that_decides_their_cost():
    one, other = tiny_pipeline().unet, tiny_pipeline(seed=1).unet
    own = repr(structure(one))
    assert own == repr(structure(other))
    with propagate(tiny_pipeline()) as on:
        latents(on.pipe)
        assert repr(structure(on.pipe.unet)) != own, "patched"
    other.conv_in = torch.nn.Conv2d(4, other.conv_in.out_channels, 1)
    assert repr(structure(other)) != own
    one.mid_block.attentions[0].transformer_blocks[0].attn1.heads += 1
    assert repr(structure(one)) != own
