"""A transformer as a row of a table, and the denoiser family that a row makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.denoisers.base import DenoiserFamily, Part, plain, spread
from fdplug.denoisers.guidance_rows import BATCHED, GuidanceRows
from fdplug.denoisers.transformer import transformer_parts

if TYPE_CHECKING:
    from torch import Tensor, nn

_SOURCE = "    The paper names no such model; the share is DiT's (section 3.1)."

Clock = Callable[["Tensor", "Tensor"], "Tensor"]


def as_scheduled(values: Tensor, given: Tensor) -> Tensor:
    """Return the scheduler's timesteps in the type of what was given."""
    return values.to(given.dtype)


def thousandths(values: Tensor, given: Tensor) -> Tensor:
    """Return timesteps put into the latents' type first and divided by 1,000 then."""
    return values.to(given.dtype) / 1000


def fraction(values: Tensor, given: Tensor) -> Tensor:
    """Return timesteps divided by 1,000 first and put into the latents' type then."""
    return (values / 1000).to(given.dtype)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What there is to know about one class of transformers.

    Attributes:
        name: what the family is called.
        model: the class, by its name in diffusers.
        encoder: what the default part holds, in words.
        stacks: its lists of blocks, in the order in which they run.
        stem: modules between the sample (or a text that the blocks change) and the first block; a list of blocks, such
            as refiners, stands for all of them.
        conditioning: batch-first arguments that what is not replayed reads.
        batch_arguments: batch-first arguments that only what is replayed reads.
        unbatched: arguments of the blocks without a batch dimension.
        sample: the forward argument that holds the noisy sample.
        timestep: the forward argument that holds the timestep.
        clock: makes of the scheduler's timesteps what pipelines hand over.
        one_by_one: why a span cannot be decoded in one batch; empty where it can.
        skips: whether the first half of the blocks feeds the second, as in a U-Net.
        alternating: whether blocks of the stacks take turns.
        guidance: what the rows of a guided batch, or the calls of a guided step, stand for.
    """

    name: str
    model: str
    encoder: str
    stacks: tuple[str, ...] = ("transformer_blocks",)
    stem: tuple[str, ...] = ()
    conditioning: tuple[str, ...] = ("encoder_hidden_states",)
    batch_arguments: tuple[str, ...] = ()
    unbatched: frozenset[str] = frozenset()
    sample: str = "hidden_states"
    timestep: str = "timestep"
    clock: Clock = as_scheduled
    one_by_one: str = ""
    skips: bool = False
    alternating: bool = False
    guidance: GuidanceRows = BATCHED


class TableTransformer(DenoiserFamily):
    """A class of transformers that is described by a row of a table."""

    component = "transformer"
    row: ClassVar[Row]

    def parts(self, denoiser: nn.Module, blocks: int | None = None) -> Iterator[Part]:
        """Yield the encoder of `blocks` leading blocks."""
        stem = tuple(name for entry in self.row.stem for name in _entries(denoiser, entry))
        part, _ = transformer_parts(denoiser, self.row.stacks, stem=stem, blocks=blocks)
        ordered = self._in_turns(denoiser, part, stem) if self.row.alternating else part
        yield self._keeping_skips(denoiser, ordered) if self.row.skips else ordered

    def _in_turns(self, denoiser: nn.Module, part: Part, stem: tuple[str, ...]) -> Part:
        """Take as many blocks as the part has, but one of each stack in turn."""
        depth = range(len(getattr(denoiser, self.row.stacks[0])))
        names = [f"{stack}.{index}" for index in depth for stack in self.row.stacks]
        modules = (*stem, *names[: len(part.modules) - len(stem)])
        return replace(part, modules=modules, chained=frozenset(modules[:-1]))

    def _keeping_skips(self, denoiser: nn.Module, part: Part) -> Part:
        """Keep what blocks of the first half hand to the second half, beside what the last block hands on."""
        (stack,) = self.row.stacks
        feeding = {f"{stack}.{index}" for index in range(len(getattr(denoiser, stack)) // 2 - 1)}
        return replace(part, chained=part.chained - feeding)

    def timesteps(self, values: Tensor, given: Any, rows: int) -> Tensor:
        """Return timesteps on the row's clock; where each token has its own, those that stand at zero stay there."""
        made = self.row.clock(spread(values, rows), given)
        if given.dim() < 2:
            return made
        clean = (given[:rows] == 0).repeat(len(values), 1)
        return made[:, None].masked_fill(clean, 0)

    def couples_rows(self, denoiser: nn.Module) -> bool:
        """Whether the row says that steps are decoded one by one, or the model takes a clean timestep along.

        The timesteps of Qwen-Image-Edit's later models are followed by as many zeros: not one per row.
        """
        return bool(self.row.one_by_one) or bool(getattr(plain(denoiser), "zero_cond_t", False))


def _entries(denoiser: nn.Module, name: str) -> tuple[str, ...]:
    """Return a module's name, or for a list of blocks those of all of them."""
    found = denoiser.get_submodule(name)
    children = [child for child, _ in found.named_children()] if type(found).__name__ == "ModuleList" else []
    return tuple(f"{name}.{child}" for child in children) or (name,)


def family(row: Row) -> type[TableTransformer]:
    """Return the family that a row makes; what it does not replay in one batch, its help says."""
    text = f"`{row.model}`: the encoder is {row.encoder}.\n\n{_SOURCE}"
    if row.one_by_one:
        text += f" Steps are decoded one by one: {row.one_by_one}."
    names = ("name", "sample", "timestep", "conditioning", "batch_arguments", "guidance")
    fields = {name: getattr(row, name) for name in names}
    own = {"row": row, "models": (f"diffusers.{row.model}",), "unbatched": row.unbatched, "__doc__": text}
    return type(row.model.removesuffix("Model"), (TableTransformer,), {**fields, **own, "__module__": __name__})
