"""Block caching ("Cache Me if You Can", Wimbauer et al., arXiv 2312.03209) for fdplug: a part, a policy, a measurement.

Every transformer block of a U-Net has key steps of its own. They come from a file that `measure` wrote once for a
model: how much the block's output changes from step to step, relative to its size.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import fdplug
from fdplug.checks import number, whole
from fdplug.errors import ConfigError, DataError, PropagationError
from fdplug.parts import Part, PartRule
from fdplug.policies import BlockPolicy, KeyStepPolicy, Schedule

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fdplug.denoisers import DenoiserFamily

FDPLUG_CONTRACT = "1.0"


class Attentions(PartRule):
    """What every transformer block container of a U-Net adds to its input; ResNets are always computed.

    The paper caches the residual branch of these blocks only; caching ResNets, too, gains little and hurts.
    """

    name = "attentions"
    provides: ClassVar[frozenset[str]] = frozenset({"transformer-blocks"})

    def part(self, family: DenoiserFamily, denoiser: nn.Module) -> Part:
        """Return everything inside the containers; only the output of the last layer, the residual branch, is kept."""
        containers = list(_containers(denoiser))
        if not containers:
            raise PropagationError(f"{type(denoiser).__name__} has no transformer blocks behind attentions.*")
        chains = [[f"{name}.{child}" for child in _inside(module)] for name, module in containers]
        chained = frozenset(name for one in chains for name in one[:-1])
        return Part(name=self.name, modules=tuple(chain.from_iterable(chains)), sample_free=False, chained=chained)


def _containers(denoiser: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in denoiser.named_modules():
        if hasattr(module, "transformer_blocks") and hasattr(module, "proj_out") and ".attentions." in f".{name}.":
            yield name, module


def _inside(container: nn.Module) -> Iterator[str]:
    yield from ("norm", "proj_in")
    blocks = container.get_submodule("transformer_blocks")
    yield from (f"transformer_blocks.{name}" for name, _ in blocks.named_children())
    yield "proj_out"


@dataclass(frozen=True)
class Changes:
    """How much every block changes from step to step, on average over some runs.

    Attributes:
        model: class of the denoiser.
        num_steps: steps of the runs.
        runs: how many runs were averaged.
        changes: per block, |C(t) - C(t - 1)| / |C(t)| at every step, 0 at the first.
    """

    model: str
    num_steps: int
    runs: int
    changes: Mapping[str, Sequence[float]]

    def save(self, path: str | Path) -> None:
        """Write a JSON file."""
        Path(path).write_text(json.dumps({"blockcache": 1, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Changes:
        """Read a file that `save` wrote.

        Raises:
            DataError: it is none, or is damaged.
        """
        try:
            held = json.loads(Path(path).read_text(encoding="utf-8"))
            found = cls(held["model"], int(held["num_steps"]), int(held["runs"]), dict(held["changes"]))
            lengths = {len(values) for values in found.changes.values()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(
                f"{path} holds no block changes, write it with fdplug_blockcache.measure; {reason}"
            ) from error
        if lengths != {found.num_steps}:
            raise DataError(f"{path} is damaged: {found.num_steps} steps, but values for {sorted(lengths)}")
        return found


class BlockCaching(BlockPolicy):
    """Key steps for every transformer block by itself, from measured changes ("Cache Me if You Can").

    A block is computed again once the changes since its last key step add up to more than `delta`. Runs of another
    length than the measured ones take the changes that accumulate over the same stretch of the run.

    Args:
        file: what `fdplug_blockcache.measure(pipe, prompts, ...).save(file)` wrote.
        delta: change that may accumulate; the paper's 0.5. Larger is faster.
    """

    name = "blockcache"
    needs: ClassVar[Mapping[str, str]] = {
        "transformer-blocks": "its key steps were measured for single transformer blocks; take part='attentions'"
    }

    def __init__(self, file: str, delta: float = 0.5) -> None:
        self.delta = number("delta", delta, 0)
        self.measured = Changes.load(file)
        self.file = str(file)

    def block_key_steps(self, schedule: Schedule, modules: Sequence[str]) -> dict[str, frozenset[int]]:
        """Return every block's key steps."""
        missing = [name for name in modules if _block(name) not in self.measured.changes]
        if missing and len(missing) == len(modules):
            raise ConfigError(f"{self.file} was measured on another model ({self.measured.model}): no {missing[0]}")
        return {name: self._keys(schedule, _block(name)) for name in modules}

    def _keys(self, schedule: Schedule, block: str) -> frozenset[int]:
        """Walk through the run; a block that was not measured is computed at every step."""
        if block not in self.measured.changes:
            return frozenset(range(schedule.num_steps))
        total = [0.0]
        for change in self.measured.changes[block][1:]:
            total.append(total[-1] + change)
        keys = [schedule.start]
        for step in range(schedule.start + 1, schedule.end):
            place, since = (_at(total, one / max(1, schedule.num_steps - 1)) for one in (step, keys[-1]))
            if place - since > self.delta:
                keys.append(step)
        return frozenset(keys)


def _block(module: str) -> str:
    return module.removesuffix(".proj_out")


def _at(total: Sequence[float], share: float) -> float:
    """Interpolate an accumulated change at a share of the run."""
    place = share * (len(total) - 1)
    low = min(bisect_right(range(len(total)), place) - 1, max(0, len(total) - 2))
    high = min(low + 1, len(total) - 1)
    return total[low] + (total[high] - total[low]) * (place - low)


def measure(pipe: Any, prompts: Sequence[str], *, seeds: int = 2, steps: int = 50, **arguments: Any) -> Changes:
    """Run a text-to-image pipeline as it is, and return how much each transformer block changes from step to step.

    The paper takes 32 prompts with 2 seeds each; a few prompts give much the same.

    Args:
        pipe: the pipeline, with the sampler that is to be accelerated and nothing else switched on.
        prompts: what to generate.
        seeds: runs per prompt.
        steps: denoising steps.
        arguments: further arguments of the pipeline, such as the guidance scale.
    """
    import torch

    whole("seeds", seeds, 1)
    recorders = {name: Recorder() for name, _ in _containers(pipe.unet)}
    hooks = [pipe.unet.get_submodule(f"{name}.proj_out").register_forward_hook(one) for name, one in recorders.items()]
    try:
        for prompt in prompts:
            for seed in range(seeds):
                generator = torch.Generator().manual_seed(seed)
                pipe(prompt, generator=generator, num_inference_steps=steps, output_type="latent", **arguments)
                for recorder in recorders.values():
                    recorder.end_run()
    finally:
        for hook in hooks:
            hook.remove()
    runs = len(prompts) * seeds
    changes = {name: recorder.mean() for name, recorder in recorders.items()}
    return Changes(type(pipe.unet).__name__, len(next(iter(changes.values()))), runs, changes)


class Recorder:
    """Adds up one block's relative changes over several runs."""

    def __init__(self) -> None:
        self._last: Tensor | None = None
        self._run: list[float] = []
        self._runs: list[list[float]] = []

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        """Record one call of the block's last layer."""
        last, self._last = self._last, output.detach().clone()
        change = 0.0 if last is None else float((output - last).abs().sum() / output.abs().sum().clamp_min(1e-12))
        self._run.append(change)

    def end_run(self) -> None:
        """Begin a new run."""
        self._runs.append(self._run)
        self._run, self._last = [], None

    def mean(self) -> list[float]:
        """Average over the runs, step by step."""
        return [sum(values) / len(values) for values in zip(*self._runs, strict=True)]


@fdplug.hookimpl
def fdplug_parts() -> Iterator[type[PartRule]]:
    """Yield the part."""
    yield Attentions


@fdplug.hookimpl
def fdplug_key_step_policies() -> Iterator[type[KeyStepPolicy]]:
    """Yield the policy."""
    yield BlockCaching
