"""The layers of a denoiser, and what its encoder, bottleneck and decoder cost: the paper's Tables 7 and 10."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from fdplug.denoisers.blocks import HALVES, Block, entering, find_blocks, labels, listening, main_tensor
from fdplug.lookup import encoder_part
from fdplug.profiling.flops import CONVENTIONS
from fdplug.profiling.meta_flops import meta_flops

REST = "rest"


@dataclass(frozen=True)
class Layer:
    """One layer: a module of a block's lists (a residual or attention layer, a resampling), or a transformer block.

    Attributes:
        number: its place in the order in which layers run, from 0.
        block: label of its block, such as `E64`.
        name: dotted name inside the denoiser.
        kind: its class.
        shape: of what it hands on, without the batch: (channels, height, width), or (tokens, channels).
        parameters: their number.
        gflops: by convention, for all rows; a multiply-add counts once.
    """

    number: int
    block: str
    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    gflops: Mapping[str, float]


@dataclass(frozen=True)
class Share:
    """Encoder, bottleneck, decoder, or the rest: embeddings, the first and the last layers.

    Attributes:
        part: which.
        modules: dotted names of its blocks; none for the rest.
        parameters: their number.
        gflops: by convention, for all rows.
    """

    part: str
    modules: tuple[str, ...]
    parameters: int
    gflops: Mapping[str, float]


@dataclass(frozen=True)
class Complexity:
    """What a forward pass of a denoiser costs.

    Attributes:
        denoiser: its class.
        rows: batch rows of the pass.
        sample: shape of the sample, batch included.
        replayed: GFLOPs by convention of what a replayed step saves: encoder, bottleneck, and what runs before them.
        shares: encoder, bottleneck (if there is one), decoder, rest.
        layers: in the order in which they run.
    """

    denoiser: str
    rows: int
    sample: tuple[int, ...]
    replayed: Mapping[str, float]
    shares: tuple[Share, ...]
    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """Of the whole denoiser."""
        return sum(share.parameters for share in self.shares)

    def gflops(self, convention: str = "full") -> float:
        """Of the whole denoiser, for all rows."""
        return sum(share.gflops[convention] for share in self.shares)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for json."""
        totals = {convention: self.gflops(convention) for convention in CONVENTIONS}
        return {**asdict(self), "parameters": self.parameters, "gflops": totals}


def complexity(network: nn.Module, arguments: Mapping[str, Any]) -> Complexity:
    """Count a denoiser on the meta device.

    Args:
        network: the denoiser.
        arguments: keyword arguments of one forward pass, on the meta device; its sample holds the batch.
    """
    encoder = encoder_part(network)
    blocks = find_blocks(network, encoder)
    owners = {name: block for block in blocks for name in _layers(network, block.name)}
    seen = _shapes(network, arguments, {*owners, *(block.name for block in blocks)})
    flops = {convention: meta_flops(network, arguments, convention) for convention in CONVENTIONS}
    called = labels(blocks, {name: shapes[0] for name, shapes in seen.items()})
    order = [name for name in seen if name in owners]
    sample = arguments["sample"] if "sample" in arguments else arguments["hidden_states"]
    return Complexity(
        denoiser=type(network).__name__,
        rows=sample.shape[0],
        sample=tuple(sample.shape),
        replayed=_sum(flops, encoder.modules),
        shares=tuple(_shares(network, blocks, flops)),
        layers=tuple(
            Layer(
                number=number,
                block=called[owners[name].name],
                name=name,
                kind=type(network.get_submodule(name)).__name__,
                shape=seen[name][1][1:],
                parameters=_parameters(network.get_submodule(name)),
                gflops=_sum(flops, [name]),
            )
            for number, name in enumerate(order)
        ),
    )


def _layers(network: nn.Module, block: str) -> list[str]:
    """Return the modules of the lists that a block holds, or the block itself if it holds none."""
    own = network.get_submodule(block).named_children()
    lists = [(name, child) for name, child in own if isinstance(child, nn.ModuleList)]
    return [f"{block}.{name}.{index}" for name, child in lists for index, _ in enumerate(child)] or [block]


def _shapes(
    network: nn.Module, arguments: Mapping[str, Any], names: set[str]
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return what enters and what leaves each module, in the order in which they are done."""
    seen = {}

    def hear(name: str, args: Any, kwargs: Any, output: Any) -> None:
        seen[name] = tuple(entering(args, kwargs).shape), tuple(main_tensor(output).shape)

    with torch.no_grad(), listening(network, names, hear):
        network(**arguments)
    return seen


def _shares(network: nn.Module, blocks: list[Block], flops: Mapping[str, Counter[str]]) -> Iterable[Share]:
    names = {half: tuple(block.name for block in blocks if block.half == half) for half in HALVES}
    found = [
        Share(half, modules, sum(_parameters(network.get_submodule(name)) for name in modules), _sum(flops, modules))
        for half, modules in names.items()
        if modules
    ]
    whole = _sum(flops, [""])
    left = {key: value - sum(share.gflops[key] for share in found) for key, value in whole.items()}
    return [*found, Share(REST, (), _parameters(network) - sum(share.parameters for share in found), left)]


def _sum(flops: Mapping[str, Counter[str]], names: Iterable[str]) -> dict[str, float]:
    names = list(names)
    return {convention: sum(counted[name] for name in names) / 1e9 for convention, counted in flops.items()}


def _parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())
