"""The ledger: what ran at which step with which batch. It is written while the denoiser runs and never assumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fdplug.errors import FdplugError, PropagationError
from fdplug.errors.wording import one_line
from fdplug.profiling.outline import made_of, outlined, switched_as

if TYPE_CHECKING:
    from torch import nn


WHOLE = ""


@dataclass(frozen=True)
class LedgerEntry:
    """One forward pass of one module.

    Attributes:
        steps: indices into the scheduler's timesteps that the pass answered; it ran at the first.
        network: pipeline attribute of the network, such as `unet`.
        module: dotted name inside the network; empty for the network itself.
        rows: batch rows that went through it.
        key: whether the step was a key step.
        example: which of the ledger's examples the network was called like; empty for the first one of the network.
    """

    steps: tuple[int, ...]
    network: str
    module: str
    rows: int
    key: bool
    example: str = ""


@dataclass(frozen=True)
class Example:
    """A network, the arguments of a call of it, without their values, and what it was made of.

    Attributes:
        network: the network.
        arguments: those of `rows` rows.
        made_of: its modules, processors and adapters.
        rows: one, but where rows see each other.
    """

    network: nn.Module
    arguments: dict[str, Any]
    made_of: tuple[Any, ...] = ()
    rows: int = 1


class Ledger:
    """What ran in the last run: from one `set_timesteps` of the scheduler to the next.

    Attributes:
        one_by_one: why rows that may see each other made the steps be decoded one at a time; None where they did not.
        uncounted: what ran for this image and is not on this page, in words: calls outside of a run, as those of an
            inversion, and all but the last pass over the schedule where a pipeline makes several.
        received: bytes that came from other processes, where they share the work.
        repeats: by how much the denoiser's batch is larger than what the pipeline hands over, 0 where it does not run;
            set by transforms that batch steps.
        outdated: the transforms that were in place and are no more: what a pass cost with them cannot be counted.
    """

    repeats = 1
    outdated: tuple[str, ...] = ()

    def __init__(self, paused: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Write nothing yet; `paused()` gives a context in which the networks run as they are, to be measured."""
        self.paused = paused
        self.reset(0)

    def reset(self, num_steps: int) -> None:
        """Begin a new page."""
        self.num_steps = num_steps
        self.received = 0
        self.uncounted: tuple[str, ...] = ()
        self.one_by_one: str | None = None
        self.entries: list[LedgerEntry] = []
        self.examples: dict[str, Example] = {}
        self.parts: dict[str, tuple[str, ...]] = {}

    def introduce(
        self,
        component: str,
        network: nn.Module,
        example: Callable[[], dict[str, Any]],
        modules: tuple[str, ...] = (),
        rows: int = 1,
        inside: Mapping[str, nn.Module] | None = None,
    ) -> str:
        """Keep an example of a call of `network`, whose `modules` are recorded one by one; return how it is named.

        Calls that differ in nothing but the values of tensors share one, while the network stays as it is. All modules
        `inside` of it are looked for where they are not known.
        """
        made = Example(network, example(), made_of(network, inside), rows)
        outline = outlined(made.arguments)
        alike = [name for name in self.examples if name.partition("#")[0] == component]
        for name in alike:
            if self.examples[name].made_of == made.made_of and outlined(self.examples[name].arguments) == outline:
                return name
        name = f"{component}#{len(alike)}" if alike else component
        self.examples[name] = made
        self.parts[name] = modules
        return name

    def record(self, entry: LedgerEntry) -> None:
        """Write one line, of the rows that ran."""
        if self.repeats == 1:
            self.entries.append(entry)
        elif self.repeats:
            self.entries.append(replace(entry, rows=entry.rows * self.repeats))

    def add(self, component: str, network: nn.Module, arguments: Mapping[str, Any], rows: int) -> None:
        """Write a pass that answers no step of the run, as those by which a transform makes what a run begins with.

        Args:
            component: what to call the network; not a component of the pipeline.
            network: what ran.
            arguments: what it was given by name, for all rows; tensors without values (`meta`) will do.
            rows: how many rows there were.
        """
        name = self.introduce(component, network, lambda: dict(arguments), rows=rows)
        self.entries.append(LedgerEntry((), component, WHOLE, rows, key=False, example=name))

    @property
    def key_steps(self) -> tuple[int, ...]:
        """The steps at which the part was computed, in order."""
        return tuple(sorted({entry.steps[0] for entry in self.entries if entry.key}))

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps for which the denoiser was asked, in order."""
        return tuple(sorted({step for entry in self.entries for step in entry.steps}))

    def passes(self, module: str, network: str | None = None) -> int:
        """Return how often `module` ran."""
        return len(self._of(module, network))

    def rows(self, module: str, network: str | None = None) -> int:
        """Return how many batch rows went through `module`."""
        return sum(entry.rows for entry in self._of(module, network))

    def _of(self, module: str, network: str | None) -> list[LedgerEntry]:
        return [one for one in self.entries if one.module == module and network in (None, one.network)]

    def measure(self) -> None:
        """Measure what the passes of this run cost, as the denoiser will not be what it is once its call is over."""
        import torch

        from fdplug.profiling.flops import outlined_flops

        if torch.jit.is_tracing():
            return  # somebody counts this very run, and a trace inside of a trace is none
        for one in self.examples.values():
            others = [other.made_of for other in self.examples.values() if other.network is one.network]
            if {*others, made_of(one.network)} == {one.made_of}:  # no run in which it changed can be priced
                # Processors may want more rows than an example has; then `gflops` says that it cannot price them.
                with self.paused(), suppress(RuntimeError, ValueError):
                    outlined_flops(one.network, one.arguments, "full", one.made_of)

    def gflops(self, convention: str = "full") -> float:
        """Return the GFLOPs of the denoiser over the last run, all images of its batch together.

        fvcore counts one multiply-add as one FLOP, and so does every figure here. The cost of each module is measured
        once for the shapes of the run and multiplied by what the ledger holds.

        Args:
            convention: `full`, or `paper`: half of attention, as in the paper's published column.

        Raises:
            PropagationError: nothing has run yet, or transforms that change what a pass costs were undone since.
        """
        if not self.examples:
            raise PropagationError("the ledger is empty: run the pipeline first, then ask for its GFLOPs")
        if self.outdated:
            raise PropagationError(
                f"GFLOPs are counted on the pipeline as it is, and {', '.join(self.outdated)} is no more in place:"
                " ask for them inside the `with` block, or before remove()"
            )
        from fdplug.profiling.flops import is_known, outlined_flops

        costs = {}
        with self.paused():
            for name, one in self.examples.items():
                try:
                    with switched_as(one.network, one.made_of) as is_restored:
                        if not is_restored and not is_known(one.network, one.arguments, one.made_of):
                            raise PropagationError(
                                f"the {name.partition('#')[0]} was changed since this run began (its layers, attention "
                                "processors, merged adapters or the type of its weights), so that its passes cannot be "
                                "priced: ask for GFLOPs after a run in which nothing changes"
                            )
                        costs[name] = outlined_flops(one.network, one.arguments, convention, one.made_of)
                except FdplugError:
                    raise
                except (RuntimeError, TypeError, ValueError, AttributeError, LookupError) as error:
                    raise PropagationError(
                        f"a pass of the {name.partition('#')[0]} cannot be made again to be counted "
                        f"({one_line(error, 160)}): ask for GFLOPs while the pipeline is as it was in the run"
                    ) from error
        return sum(entry.rows * self._cost(entry, costs) for entry in self.entries) / 1e9

    def _cost(self, entry: LedgerEntry, costs: Mapping[str, Mapping[str, int]]) -> float:
        """Return the FLOPs of one row; those of the whole network are without what is recorded by itself."""
        name = entry.example or entry.network
        cost, rows = costs[name], self.examples[name].rows
        if entry.module != WHOLE:
            return cost[entry.module] / rows
        return (cost[WHOLE] - sum(cost[module] for module in self.parts[name])) / rows
