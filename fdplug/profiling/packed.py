"""Linear layers with packed weights, as of bitsandbytes and GGUF: counted as the plain layers that they stand for.

They multiply by operators of their own, which neither fvcore nor torch's counter knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def unpacked(network: nn.Module) -> Iterator[None]:
    """Let packed layers multiply by a plain matrix of zeros while the `with` block runs."""
    layers = [module for module in network.modules() if is_packed(module)]
    own = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        vars(layer)["forward"] = partial(_plain, layer)
    try:
        yield
    finally:
        for layer, forward in zip(layers, own, strict=True):
            del vars(layer)["forward"]
            if forward is not None:
                vars(layer)["forward"] = forward


def is_packed(module: nn.Module) -> bool:
    """Whether a linear layer's weights are no matrix of its inputs and outputs, or one of whole numbers."""
    if not isinstance(module, nn.Linear):
        return False
    weight = module.weight
    return tuple(weight.shape) != (module.out_features, module.in_features) or not weight.is_floating_point()


def _plain(layer: Any, given: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return F.linear(given, given.new_zeros(()).expand(layer.out_features, layer.in_features))
