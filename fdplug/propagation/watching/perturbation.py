"""Attention that perturbs a share of the rows of a batch: which processors do, and how they are kept from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

# Attention processors that perturb the last of equal shares of the rows, and what they do to the others.
UNPERTURBED = {
    "PAGIdentitySelfAttnProcessor2_0": "AttnProcessor2_0",
    "PAGCFGIdentitySelfAttnProcessor2_0": "AttnProcessor2_0",
    "PAGJointAttnProcessor2_0": "JointAttnProcessor2_0",
    "PAGCFGJointAttnProcessor2_0": "JointAttnProcessor2_0",
    "PAGHunyuanAttnProcessor2_0": "HunyuanAttnProcessor2_0",
    "PAGCFGHunyuanAttnProcessor2_0": "HunyuanAttnProcessor2_0",
    "PAGIdentitySanaLinearAttnProcessor2_0": "SanaLinearAttnProcessor2_0",
    "PAGCFGSanaLinearAttnProcessor2_0": "SanaLinearAttnProcessor2_0",
}


def _processors(network: nn.Module) -> Iterator[tuple[nn.Module, Any]]:
    for module in network.modules():
        processor = vars(module).get("processor", module._modules.get("processor"))
        if processor is not None:
            yield module, processor


@contextmanager
def unperturbed(network: nn.Module, perturbs: bool) -> Iterator[None]:
    """Let attention that perturbs a share of the rows treat all of them as it treats the others."""
    from diffusers.models import attention_processor

    found = [(module, one) for module, one in _processors(network) if type(one).__name__ in UNPERTURBED]
    swapped = found if perturbs else []
    for module, processor in swapped:
        vars(module)["processor"] = getattr(attention_processor, UNPERTURBED[type(processor).__name__])()
    try:
        yield
    finally:
        for module, processor in swapped:
            vars(module)["processor"] = processor
