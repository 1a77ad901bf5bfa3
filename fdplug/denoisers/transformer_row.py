"""A transformer as a row of a table, and the denoiser family that a row makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from fdplug.denoisers.base import DenoiserFamily, Part, plain, spread
from fdplug.denoisers.guidance_rows import BATCHED, GuidanceRows
from fdplug.denoisers.transformer import transformer_parts

if TYPE_CHECKING:
    from torch import Tensor, nn

_SOURCE = "    The paper names no such model; the share is DiT's (section 3.1)."

# What a row says in a family's own words.
_SHARED = ("name", "sample", "timestep", "conditioning", "batch_arguments", "unbatched", "batch_dimensions")
_SHARED += ("listed", "counted", "guidance", "successor")

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


def thousandths_left(values: Tensor, given: Tensor) -> Tensor:
    """Return how many thousandths of the way are done, by another order of operations than `remaining`."""
    return ((1000 - values) / 1000).to(given.dtype)


def remaining(values: Tensor, given: Tensor) -> Tensor:
    """Return how much of the way is done: 0 for noise, 1 for the picture."""
    return (1 - values / 1000).to(given.dtype)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What there is to know about one class of transformers.

    Attributes:
        name: what the family is called.
        model: the class, by its name in diffusers, or by its dotted name.
        encoder: what the default part holds, in words.
        stacks: its lists of blocks, in the order in which they run.
        stem: modules between the sample (or a text that the blocks change) and the first block; a list of blocks, such
            as refiners, stands for all of them.
        kept: those of the stem that blocks of any depth read, as the control of VACE: all their outputs are kept.
        aside: modules whose output only blocks read, such as those that make a text for their cross attention; the
            trunk holds them too.
        conditioning: batch-first arguments that what is not replayed reads.
        batch_arguments: batch-first arguments that only what is replayed reads.
        unbatched: arguments of the blocks without a batch dimension.
        batch_dimensions: which dimension is the batch, where it is not the first, by argument.
        listed: arguments that come as lists with one tensor for each row.
        counted: masks whose values decide what a pass costs.
        sample: the forward argument that holds the noisy sample.
        timestep: the forward argument that holds the timestep.
        clock: makes of the scheduler's timesteps what pipelines hand over.
        one_by_one: why a span cannot be decoded in one batch; empty where it can.
        one_by_one_where: settings of a model with which it cannot, and why.
        guidance: what the rows of a guided batch, or the calls of a guided step, stand for; None: not to be left out.
        skips: whether the first half of the blocks feeds the second, as in a U-Net.
        alternating: whether blocks of the stacks take turns.
        successor: the pipeline's attribute of a second denoiser of this class, which takes over late in a run.
    """

    name: str
    model: str
    encoder: str
    stacks: tuple[str, ...] = ("transformer_blocks",)
    stem: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    conditioning: tuple[str, ...] = ("encoder_hidden_states",)
    batch_arguments: tuple[str, ...] = ()
    unbatched: frozenset[str] = frozenset()
    batch_dimensions: Mapping[str, int] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    counted: frozenset[str] = frozenset()
    sample: str = "hidden_states"
    timestep: str = "timestep"
    clock: Clock = as_scheduled
    one_by_one: str = ""
    one_by_one_where: Mapping[str, str] = field(default_factory=dict)
    guidance: GuidanceRows | None = BATCHED
    skips: bool = False
    alternating: bool = False
    successor: str | None = None


class TableTransformer(DenoiserFamily):
    """A class of transformers that is described by a row of a table."""

    component = "transformer"
    row: ClassVar[Row]

    def parts(self, denoiser: nn.Module, blocks: int | None = None) -> Iterator[Part]:
        """Yield the encoder of `blocks` leading blocks, and the trunk."""
        stem = _entries(denoiser, self.row.stem)
        encoder, trunk = transformer_parts(denoiser, self.row.stacks, stem=stem, blocks=blocks)
        kept = _entries(denoiser, self.row.kept)
        encoder, trunk = (replace(part, chained=part.chained.difference(kept)) for part in (encoder, trunk))
        if self.row.alternating:
            encoder, trunk = (self._in_turns(denoiser, part, stem) for part in (encoder, trunk))
        yield self._keeping_skips(denoiser, encoder) if self.row.skips else encoder
        yield _preceded(trunk, _entries(denoiser, self.row.aside))

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

    def one_by_one(self, denoiser: nn.Module) -> str:
        """Say why steps are decoded one by one: the row does, or a setting of the model."""
        network: Any = plain(denoiser)
        settings = {**getattr(network, "config", {}), **vars(network)}
        reasons = (why for flag, why in self.row.one_by_one_where.items() if settings.get(flag))
        return self.row.one_by_one or next(reasons, "")


def _preceded(part: Part, modules: tuple[str, ...]) -> Part:
    """Return the part with modules before it that feed nothing else."""
    return replace(part, modules=modules + part.modules, chained=part.chained.union(modules))


def _entries(denoiser: nn.Module, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the modules' names; for a list or a dictionary of modules those of all of them; what is absent is none."""
    return tuple(entry for name in names for entry in _entry(denoiser, name))


def _entry(denoiser: nn.Module, name: str) -> Iterator[str]:
    found = getattr(denoiser, name)
    if type(found).__name__ in ("ModuleList", "ModuleDict"):
        yield from (f"{name}.{child}" for child, _ in found.named_children())
    elif found is not None:
        yield name


def family(row: Row) -> type[TableTransformer]:
    """Return the family that a row makes; what it does not replay in one batch, its help says."""
    text = f"`{row.model}`: the encoder is {row.encoder}.\n\n{_SOURCE}"
    if row.one_by_one:
        text += f" Steps are decoded one by one: {row.one_by_one}."
    fields = {name: getattr(row, name) for name in _SHARED}
    model = row.model if "." in row.model else f"diffusers.{row.model}"
    own = {"row": row, "models": (model,), "__doc__": text, "__module__": __name__}
    return type(model.rpartition(".")[2].removesuffix("Model"), (TableTransformer,), {**fields, **own})
