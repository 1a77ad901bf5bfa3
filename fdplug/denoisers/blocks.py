"""The blocks of a denoiser, in the order in which they run: its encoder, its bottleneck, its decoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fdplug.denoisers.base import Part, plain

HALVES = ("encoder", "bottleneck", "decoder")


@dataclass(frozen=True)
class Block:
    """One block: its dotted name inside the denoiser, and which of `HALVES` it belongs to."""

    name: str
    half: str


def find_blocks(network: nn.Module, encoder: Part) -> list[Block]:
    """Return every down, middle and up block of a U-Net, every block of a transformer.

    These are the children of the denoiser's lists of modules, and `mid_block`. A block is encoder if the family's part
    of that name holds it; the middle block, which the part holds too, is the bottleneck, as in the paper's Table 10.
    """
    part = set(encoder.modules)
    found = [Block(name, _half(name, part)) for name in _names(plain(network))]
    return sorted(found, key=lambda block: HALVES.index(block.half))


def _names(network: nn.Module) -> Iterator[str]:
    for name, child in network.named_children():
        if name.endswith("blocks") and isinstance(child, nn.ModuleList):
            yield from (f"{name}.{index}" for index, _ in enumerate(child))
        elif name == "mid_block" and child is not None:
            yield name


def _half(name: str, part: set[str]) -> str:
    if name == "mid_block":
        return "bottleneck"
    return "encoder" if name in part else "decoder"


def main_tensor(output: Any) -> Tensor:
    """Return what a block hands to the next one: its output, or the last tensor of the tuple it returns.

    Down blocks return (hidden, (skip, ...)); blocks of two streams return (text, picture).
    """
    if isinstance(output, Tensor):
        return output
    return [one for one in output if isinstance(one, Tensor)][-1]


def entering(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """Return the hidden states that a block is given."""
    given = kwargs.get("hidden_states", args[0] if args else None)
    assert isinstance(given, Tensor)
    return given


@contextmanager
def listening(network: nn.Module, names: Iterable[str], hear: Any) -> Iterator[None]:
    """Call `hear(name, args, kwargs, output)` after every call of these modules, while the `with` block runs."""
    handles = []
    try:
        for name in names:
            module = network.get_submodule(name)
            handles.append(
                module.register_forward_hook(
                    lambda _, args, kwargs, output, name=name: hear(name, args, kwargs, output), with_kwargs=True
                )
            )
        yield
    finally:
        for handle in handles:
            handle.remove()


def labels(blocks: Iterable[Block], inputs: Mapping[str, Tensor | tuple[int, ...]]) -> dict[str, str]:
    """Return a short name per block, as in the paper: `E64`, `B8`, `D16` by the height of what enters it.

    Blocks of transformers, whose tokens have no height, are numbered: `E0`, `E1`, ..., `D18`.

    Args:
        blocks: in the order in which they run.
        inputs: what entered each block, or its shape.
    """
    found = {}
    for index, block in enumerate(blocks):
        shape = tuple(getattr(inputs[block.name], "shape", inputs[block.name]))
        found[block.name] = f"{block.half[0].upper()}{index if len(shape) == 3 else shape[-2]}"
    often = Counter(found.values())
    return {name: label if often[label] == 1 else f"{label}:{name.split('.')[-1]}" for name, label in found.items()}
