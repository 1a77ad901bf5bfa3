"""What enters the linear layers of every block: how wide it ranges at each step, and what rounding it to 8 bits costs.

Quantization of diffusion models is hard where ranges change from step to step: one scale for a whole run (*static*) is
then too wide for some of its steps (Q-Diffusion, arXiv 2302.04304; PTQ4DM, arXiv 2211.15736). A scale for every token
as it comes (*dynamic*) knows of no other step. Both errors follow from a few sums: rounding to a scale of max / 127.5
adds an error of variance scale^2 / 12 to every number.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from fdplug.denoisers.blocks import Block, listening

LEVELS = 127.5
LEAST = 1e-30


class Entered:
    """What entered one layer at one step, over all rows of all runs.

    Attributes:
        largest: the greatest absolute value.
        energy: sum of squares.
        rounding: sum of squared errors that a scale for every token adds.
        count: how many numbers.
    """

    def __init__(self) -> None:
        self.largest = self.energy = self.rounding = 0.0
        self.count = 0

    def add(self, tokens: Tensor) -> None:
        """Take in numbers (..., width), a token being the last dimension."""
        numbers = tokens.detach().float()
        scales = numbers.abs().amax(-1) / LEVELS
        self.largest = max(self.largest, float(scales.max()) * LEVELS)
        self.energy += float(numbers.square().sum())
        self.rounding += float(scales.square().sum()) / 12 * numbers.shape[-1]
        self.count += numbers.numel()


class Ranges:
    """What entered the linear layers of every block; `listen` to a network to fill it.

    Attributes:
        layers: block name -> layer name -> step -> what entered.
    """

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, dict[int, Entered]]] = defaultdict(lambda: defaultdict(dict))

    @contextmanager
    def listen(self, network: nn.Module, blocks: Iterable[Block], step: Callable[[], int]) -> Iterator[None]:
        """Take in what the layers are given while the `with` block runs; `step` says at which step that is."""
        owners = {name: block.name for block in blocks for name in _linear(network, block.name)}

        def hear(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            given = args[0] if args else kwargs["input"]
            self.layers[owners[name]][name].setdefault(step(), Entered()).add(given)

        with listening(network, owners, hear):
            yield

    def over_steps(self, block: str) -> list[float]:
        """Return the range at every step as a share of the widest one, the geometric mean over the block's layers."""
        layers = self._layers(block)
        widest = [max(one.largest for one in layer.values()) for layer in layers]
        shares = [
            [math.log(max(layer[step].largest, LEAST) / max(most, LEAST)) for step in sorted(layer)]
            for layer, most in zip(layers, widest, strict=True)
        ]
        return [math.exp(fmean(values)) for values in zip(*shares, strict=True)]

    def errors(self, block: str, *, static: bool) -> list[float]:
        """Return, for every step, the root mean square of what int8 adds, relative to what enters; mean over layers.

        Args:
            block: by name.
            static: whether a layer has one scale for the whole run, the widest range that entered it; otherwise every
                token has its own.
        """
        layers = self._layers(block)
        widest = [max(one.largest for one in layer.values()) for layer in layers]
        found = [
            [_error(layer[step], most if static else None) for step in sorted(layer)]
            for layer, most in zip(layers, widest, strict=True)
        ]
        return [fmean(values) for values in zip(*found, strict=True)]

    def row(self, block: str) -> dict[str, Any]:
        """Return the numbers of one block for a table."""
        shares = self.over_steps(block)
        dynamic, static = self.errors(block, static=False), self.errors(block, static=True)
        return {
            "linear_layers": len(self.layers[block]),
            "widest": max(one.largest for layer in self._layers(block) for one in layer.values()),
            "range_over_steps": max(shares) / max(min(shares), LEAST),
            "int8_dynamic_mean": fmean(dynamic),
            "int8_dynamic_max": max(dynamic),
            "int8_static_mean": fmean(static),
            "int8_static_max": max(static),
        }

    def _layers(self, block: str) -> list[dict[int, Entered]]:
        """Return the layers that ran at as many steps as any; what runs once a run has no steps to compare."""
        found = list(self.layers[block].values())
        most = max(map(len, found))
        return [layer for layer in found if len(layer) == most]


def _linear(network: nn.Module, block: str) -> Iterator[str]:
    for name, module in network.get_submodule(block).named_modules():
        if isinstance(module, nn.Linear):
            yield f"{block}.{name}" if name else block


def _error(entered: Entered, widest: float | None) -> float:
    added = entered.rounding if widest is None else (widest / LEVELS) ** 2 / 12 * entered.count
    return math.sqrt(added / max(entered.energy, LEAST))
