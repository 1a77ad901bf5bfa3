"""What a denoiser family says: which classes it knows, their parts, and which arguments go along with the batch."""

from __future__ import annotations

import copy
import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from fdplug.denoisers.guidance_rows import GuidanceRows, known_rows
from fdplug.errors import ConfigError, PropagationError
from fdplug.space import Searchable, Space

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fdplug.schedule import Schedule


def plain(network: nn.Module) -> nn.Module:
    """Return the network itself, where `torch.compile` has wrapped it into another module."""
    return getattr(network, "_orig_mod", network)


def is_compiled(module: nn.Module) -> bool:
    """Whether `torch.compile` was called on this very module."""
    return "_orig_mod" in module._modules or module._compiled_call_impl is not None


def spread(values: Tensor, rows: int) -> Tensor:
    """Return one timestep per row of a whole span, (len(values) * rows,), time-major."""
    return values.repeat_interleave(rows)


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A network that the pipeline runs before the denoiser, whose whole output is replayed, such as a ControlNet.

    It is computed at key steps, and where its conditioning changes; pipelines without it run without it.

    Attributes:
        component: the pipeline's attribute that holds it.
        sample: the forward argument that holds the noisy sample, batch first.
        timestep: the forward argument that holds the timestep.
        conditioning: what its output depends on besides sample and time.
    """

    component: str
    sample: str = "sample"
    timestep: str = "timestep"
    conditioning: tuple[str, ...] = ()
    batch_arguments: tuple[str, ...] = ()
    batch_dimensions: Mapping[str, int] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    counted: frozenset[str] = frozenset()

    def timesteps(self, values: Tensor, given: Any, rows: int) -> Tensor:
        """Return the timestep argument, as in a family."""
        return spread(values, rows)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A named set of the denoiser's modules, computed at key steps and replayed at the others.

    Attributes:
        name: how a user asks for it.
        modules: dotted names inside the denoiser, none inside another.
        sample_free: whether the prediction at a replayed step no longer depends on the sample; only then may a span be
            decoded in one batch.
        chained: modules whose output nothing reads but the next module of the part: it is not kept.
        companions: networks that run before the denoiser and are replayed along with the part.
        blocks: those of the modules that are the network's blocks, in the order in which they run. Contract 1.1.
        residual: whether what is kept is not what the last module hands on but what the whole part adds to its input,
            so that a replayed step adds it to the input of that step; never `sample_free`. Contract 1.1.
        probe: a module outside of the part that runs just before it, for policies that decide by what it adds to its
            own input. Contract 1.1.
        whole: whether nothing but the output head is computed at a replayed step, so that a cache forecasts the
            prediction itself; only solvers of first order that add no noise can do with that. Contract 1.1.
    """

    name: str
    modules: tuple[str, ...]
    sample_free: bool
    chained: frozenset[str] = frozenset()
    companions: tuple[Companion, ...] = ()
    blocks: tuple[str, ...] = ()
    residual: bool = False
    probe: str | None = None
    whole: bool = False


def trunk(modules: Iterable[str], companions: tuple[Companion, ...] = (), blocks: tuple[str, ...] = ()) -> Part:
    """Return the part of every module but the output head, of which one feature is kept: what the last one hands on.

    Where the head sees neither the sample nor the time, as in U-Nets, a replayed prediction is that of the key step:
    with the `reuse` cache, DDIM then is DDIM with just the key steps for its timesteps.

    Args:
        modules: all between the sample and the head, in the order in which they run.
        companions: networks that are replayed along with them.
        blocks: those of them that are the network's blocks.
    """
    names = tuple(modules)
    return Part(
        name="trunk",
        modules=names,
        sample_free=True,
        chained=frozenset(names[:-1]),
        companions=companions,
        blocks=blocks,
        whole=True,
    )


class DenoiserFamily(Searchable, ABC):
    """One class of denoisers.

    Attributes:
        models: dotted names of the classes it knows (subclasses included).
        component: the pipeline's attribute that holds the denoiser.
        sample: the forward argument that holds the noisy sample, batch first.
        timestep: the forward argument that holds the timestep.
        conditioning: batch-first arguments (tensors, or nested) that what is *not* replayed reads. What was decoded
            ahead holds only as long as they stay the same.
        batch_arguments: further batch-first arguments, read only by what is replayed.
        unbatched: arguments of the part's modules without a batch dimension, such as rotary embeddings; by the names
            that the modules themselves give them.
        batch_dimensions: which dimension of an argument is the batch, where it is not the first.
        listed: arguments that come as lists with one tensor for each row, as the prediction then does.
        counted: arguments whose values decide what a pass costs: masks by which tokens are taken out.
        guidance: what the rows of a guided batch stand for; None: not known, so that none can be left out. With it,
            every argument that holds a row for each must be among those above. Contract 1.1.
        successor: the pipeline's attribute that holds a second denoiser of the same classes, to which a run goes over
            at a boundary; a pipeline without one has a single denoiser. Contract 1.1.
    """

    name: ClassVar[str]
    models: ClassVar[tuple[str, ...]]
    component: ClassVar[str] = "unet"
    sample: ClassVar[str] = "sample"
    timestep: ClassVar[str] = "timestep"
    conditioning: ClassVar[tuple[str, ...]] = ()
    batch_arguments: ClassVar[tuple[str, ...]] = ()
    unbatched: ClassVar[frozenset[str]] = frozenset()
    guidance: ClassVar[GuidanceRows | None] = None
    batch_dimensions: ClassVar[Mapping[str, int]] = {}
    listed: ClassVar[frozenset[str]] = frozenset()
    counted: ClassVar[frozenset[str]] = frozenset()
    successor: ClassVar[str | None] = None

    @abstractmethod
    def parts(self, denoiser: nn.Module) -> Iterable[Part]:
        """Yield the parts of this denoiser; the first one is the default.

        Further parameters with defaults are options that a user may set: `part={"encoder": {"blocks": 12}}`.
        """

    @classmethod
    def space(cls, steps: int) -> Space | None:
        """Return the parts that a search tries; those that a denoiser does not have are left out. Contract 1.1."""
        return {"part": ("encoder", "trunk")}

    def matches(self, denoiser: Any) -> bool:
        """Whether the denoiser is an instance of one of `models`, or what `torch.compile` makes of one."""
        return isinstance(plain(denoiser), tuple(self._classes()))

    def known_class(self, denoiser: Any) -> type:
        """Return the class for which the family speaks: the denoiser's own, or one that it is derived from."""
        known, kind = set(self._classes()), type(plain(denoiser))
        return next((one for one in kind.__mro__ if one in known), kind)

    def _classes(self) -> Iterable[type]:
        for path in self.models:
            module, _, name = path.rpartition(".")
            yield getattr(importlib.import_module(module), name)

    def timesteps(self, values: Tensor, given: Any, rows: int) -> Tensor:
        """Return the timestep argument for a whole span, (len(values) * rows,), time-major.

        Args:
            values: the scheduler's timesteps of the span, (len,).
            given: the timestep argument at the first of these steps.
            rows: rows of the batch at one step.
        """
        return spread(values, rows)

    def guidance_rows(self, pipe: Any) -> GuidanceRows | None:
        """Return what the rows of a pipeline's guided batches stand for; None where that is not known. Contract 1.1."""
        return known_rows(pipe, self.guidance)

    def succeeded(self) -> Self:
        """Return this family for the pipeline's second denoiser, the `successor`."""
        other = copy.copy(self)
        vars(other).update(component=self.successor, successor=None)
        return other

    def boundary(self, pipe: Any, schedule: Schedule) -> int | None:
        """Return the first step that the `successor` takes; None where the run does not go over to it. Contract 1.1.

        Here it is the first timestep below the pipeline's `boundary_ratio` of the training chain, as in Wan 2.2.
        """
        ratio = getattr(pipe.config, "boundary_ratio", None)
        if ratio is None:
            return None
        steps = range(schedule.start, schedule.end)
        limit = ratio * schedule.num_train_timesteps
        return next((step for step in steps if schedule.timesteps[step] < limit), None)

    def couples_rows(self, denoiser: nn.Module) -> bool:
        """Whether rows of a batch see each other, as it is now set up: then steps are decoded one by one."""
        return False

    def one_by_one(self, denoiser: nn.Module) -> str:
        """Say why a span cannot be decoded in one batch, as the denoiser is now set up; nothing where it can."""
        name = type(self).__name__
        return f"the rows of a batch see each other, or may do so in {name}" if self.couples_rows(denoiser) else ""

    def part(self, denoiser: nn.Module, name: str, options: Mapping[str, Any] | None = None) -> Part:
        """Return the part called `name`.

        Raises:
            ConfigError: the family has no such part or option.
            PropagationError: the part has no modules on this denoiser, so that nothing would be replayed.
        """
        options = options or {}
        allowed = list(inspect.signature(self.parts).parameters)[1:]
        for option in options:
            if option not in allowed:
                has = ", ".join(allowed) or "no options"
                raise ConfigError(f"the parts of family '{self.name}' have no option '{option}'; they have {has}")
        known = {part.name: part for part in self.parts(denoiser, **options)}
        if name not in known:
            raise ConfigError(f"no part '{name}' in family '{self.name}'; it has {', '.join(known)}")
        if not known[name].modules:
            raise PropagationError(
                f"part '{name}' of {type(denoiser).__name__} holds no module: nothing would be replayed"
            )
        return known[name]
