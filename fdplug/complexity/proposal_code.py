"""A proposed family as Python: a row of the table of transformers, or a class for a U-Net."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fdplug.complexity.proposal import Proposal
from fdplug.denoisers.base import Part
from fdplug.denoisers.transformer_row import Row, family

if TYPE_CHECKING:
    from torch import nn

ENCODER = "what runs before the blocks and the leading 18/28 of the blocks"
UNET = '''class {cls}(DenoiserFamily):
    """`{model}`: the encoder is what runs before the blocks, every down block and the middle block."""

{attributes}

    def parts(self, denoiser: nn.Module) -> Iterator[Part]:
        """Yield encoder, decoder, both, and the trunk."""
        yield from unet_parts(denoiser, stem={stem})'''


def definition(proposal: Proposal, name: str, cls: str) -> str:
    """Return the code of a family: a row, which `family(ROW)` makes one of, or for a U-Net a class.

    Args:
        proposal: what the family says.
        name: what the family is called.
        cls: what its class is called, where it has one.
    """
    return _class(proposal, name, cls) if proposal.unet else _row(proposal, name)


def imports(proposal: Proposal) -> str:
    """Return what the code of `definition` needs to be imported."""
    if not proposal.unet:
        return "from fdplug.denoisers.transformer_row import Row, family"
    return "from fdplug.denoisers.unet import unet_parts"


def proposed_parts(proposal: Proposal, network: nn.Module) -> Iterable[Part]:
    """Return the parts that the proposed row of a transformer has on a network."""
    return list(family(Row(**_values(proposal, "proposed")))().parts(network))


def _values(proposal: Proposal, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": proposal.model,
        "encoder": ENCODER,
        "stacks": proposal.stacks,
        "stem": proposal.stem,
        "aside": proposal.aside,
        **_arguments(proposal),
        "alternating": proposal.alternating,
    }


def _row(proposal: Proposal, name: str) -> str:
    values = _values(proposal, name)
    return "\n".join(["ROW = Row(", *(f"    {key}={_written(value)}," for key, value in values.items() if value), ")"])


def _class(proposal: Proposal, name: str, cls: str) -> str:
    values = {"name": name, "models": (proposal.model,), "component": proposal.component, **_arguments(proposal)}
    attributes = "\n".join(f"    {key} = {_written(value)}" for key, value in values.items() if value)
    stem = _written(tuple(one for one in proposal.stem if one != "mid_block"))
    return UNET.format(cls=cls, model=proposal.model.rpartition(".")[2], attributes=attributes, stem=stem)


def _arguments(proposal: Proposal) -> dict[str, Any]:
    return {
        "sample": proposal.sample,
        "timestep": proposal.timestep,
        "conditioning": proposal.conditioning,
        "batch_arguments": proposal.batch_arguments,
        "unbatched": frozenset(proposal.unbatched),
    }


def _written(value: Any) -> str:
    if isinstance(value, frozenset):
        return f"frozenset({{{', '.join(map(_written, sorted(value)))}}})"
    if isinstance(value, tuple):
        return _tuple([_written(one) for one in value])
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _tuple(parts: list[str]) -> str:
    line = ", ".join(parts)
    if len(line) < 80:
        return f"({line},)" if len(parts) == 1 else f"({line})"
    return "\n".join(["(", *(f"        {one}," for one in parts), "    )"])
