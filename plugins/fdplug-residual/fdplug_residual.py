"""Residual caches for fdplug: what the blocks add to their input is kept, and added to the input of later steps.

Two parts, which any cache can keep, and the rules of three methods that decide when they are computed:

- `fbcache`: First Block Cache (ParaAttention), with part `after-first-block`
- `magcache`: MagCache (arXiv 2506.09045), with part `all-blocks` and a file that `measure` wrote
- `easycache`: EasyCache (arXiv 2507.02860), with part `all-blocks`

A replayed step still sees the sample, through the input that the difference is added to, so that its steps are decoded
one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import fdplug
from fdplug.checks import number, whole
from fdplug.errors import ConfigError, DataError, PropagationError
from fdplug.parts import Part, PartRule
from fdplug.patching import Patch
from fdplug.policies import AdaptivePolicy, KeyStepPolicy, Schedule, Step

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fdplug.denoisers import DenoiserFamily

FDPLUG_CONTRACT = "1.1"


class AllBlocks(PartRule):
    """What all blocks add to the first one's input."""

    name = "all-blocks"

    def part(self, family: DenoiserFamily, denoiser: nn.Module) -> Part:
        """Return the blocks, of which the last one's output less the first one's input is kept."""
        return _residual(self.name, _blocks(family, denoiser))


class AfterFirstBlock(PartRule):
    """What the blocks behind the first one add to its output; the first one is always computed, for a policy to see.

    Of a U-Net, whose blocks are few and large, the first ResNet takes the place of the first block.
    """

    name = "after-first-block"

    def part(self, family: DenoiserFamily, denoiser: nn.Module) -> Part:
        """Return the blocks but the first."""
        first, *rest = _blocks(family, denoiser)
        layers = _layers(denoiser.get_submodule(first))
        probe, *inside = [f"{first}.{name}" for name in layers] or [first]
        return _residual(self.name, (*inside, *rest), probe)


def _residual(name: str, modules: Sequence[str], probe: str | None = None) -> Part:
    if not modules:
        raise PropagationError(f"part '{name}' needs more than one block; take part='all-blocks'")
    chained = frozenset(modules[:-1])
    return Part(name=name, modules=tuple(modules), sample_free=False, chained=chained, residual=True, probe=probe)


def _blocks(family: DenoiserFamily, denoiser: nn.Module) -> tuple[str, ...]:
    blocks = family.part(denoiser, "trunk").blocks
    if not blocks:
        raise PropagationError(f"family '{family.name}' does not say which modules are its blocks; take part='trunk'")
    return blocks


def _layers(block: nn.Module) -> list[str]:
    """Return the layers of a U-Net's first block in the order in which they run; none of a transformer's block."""
    if not hasattr(block, "resnets"):
        return []
    kinds = [name for name in ("resnets", "attentions", "motion_modules") if getattr(block, name, None) is not None]
    depth = range(len(list(block.get_submodule("resnets").children())))
    names = [f"{kind}.{index}" for index in depth for kind in kinds]
    return names + [f"downsamplers.{index}" for index, _ in enumerate(getattr(block, "downsamplers", None) or ())]


class FirstBlockCache(AdaptivePolicy):
    """Computes a step if what the first block adds to its input has changed since the last computed step.

    The change is mean |r - r_key| / mean |r_key|, over the whole batch, of the first block's residual r (First Block
    Cache, ParaAttention; diffusers' `FirstBlockCacheConfig`).

    Args:
        threshold: change from which on a step is computed; larger is faster.
        longest: most steps that may be replayed in a row; None: no limit.
        warm_up: so many steps at the beginning of a run are all computed.
    """

    name = "fbcache"
    probes: ClassVar[bool] = True
    needs: ClassVar[Mapping[str, str]] = {"probe": "it decides by the first block; take part='after-first-block'"}

    def __init__(self, threshold: float = 0.05, longest: int | None = None, warm_up: int = 1) -> None:
        self.threshold = number("threshold", threshold, 0)
        self.longest = None if longest is None else whole("longest", longest, 1)
        self.warm_up = whole("warm_up", warm_up, 1)
        self.reset()

    def reset(self) -> None:
        """Forget the run before."""
        self._kept: Tensor | None = None
        self._computed = self._idle = 0

    def is_key(self, step: Step, sample: Tensor) -> bool:
        """Compare what the first block adds to its input, (B, ...), with the last computed step's."""
        decision = self._decide(sample)
        self._idle = 0 if decision else self._idle + 1
        if decision:
            self._computed += 1
            self._kept = sample.detach().clone()
        return decision

    def _decide(self, residual: Tensor) -> bool:
        kept = self._kept
        if kept is None or kept.shape != residual.shape or self._computed < self.warm_up or self._idle == self.longest:
            return True
        return float((residual - kept).abs().mean() / kept.abs().mean()) > self.threshold


@dataclass(frozen=True)
class Magnitudes:
    """How the size of what the blocks add changes from step to step: mean |r_t| / |r_(t-1)| over tokens.

    Attributes:
        model: class of the denoiser.
        ratios: one per step of the measured run, the first one 1.
    """

    model: str
    ratios: tuple[float, ...]

    def save(self, path: str | Path) -> None:
        """Write a JSON file."""
        Path(path).write_text(json.dumps({"magcache": 1, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Magnitudes:
        """Read a file that `save` wrote.

        Raises:
            DataError: it is none, or is damaged.
        """
        try:
            held = json.loads(Path(path).read_text(encoding="utf-8"))
            found = cls(str(held["model"]), tuple(float(value) for value in held["ratios"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{path} holds no magnitudes, write it with fdplug_residual.measure; {type(error).__name__}: {error}"
            ) from error
        if not found.ratios or not all(isfinite(one) and one >= 0 for one in found.ratios):
            raise DataError(f"{path} is damaged: its ratios must be numbers from 0 on; measure again")
        return found

    def over(self, steps: int) -> list[float]:
        """Return ratios for a run of another length: those of the nearest measured steps."""
        last = len(self.ratios) - 1
        if steps == 1:
            return [self.ratios[-1]]
        return [self.ratios[round(index * last / (steps - 1))] for index in range(steps)]


class MagCache(KeyStepPolicy):
    """Key steps from the measured sizes of what the blocks add to their input (MagCache, arXiv 2506.09045).

    From the last key step on, the ratios are multiplied; a step is replayed while the distances of the products from 1
    add up to no more than the threshold.

    Args:
        file: what `fdplug_residual.measure(pipe, run).save(file)` wrote.
        threshold: how much may add up (the paper's delta); larger is faster.
        longest: most steps that may be replayed in a row (the paper's K).
        warm_up: share of the steps at the beginning that are all computed.
    """

    name = "magcache"

    def __init__(self, file: str, threshold: float = 0.06, longest: int = 3, warm_up: float = 0.2) -> None:
        self.measured, self.file = Magnitudes.load(file), str(file)
        self.threshold, self.longest = number("threshold", threshold, 0), whole("longest", longest, 1)
        self.warm_up = number("warm_up", warm_up, 0)
        if self.warm_up > 1:
            raise ConfigError(f"warm_up is a share of the steps, from 0 to 1, got {warm_up}")

    def prepare(self, denoiser: Any) -> None:
        """Refuse a denoiser of another class than the measured one."""
        found = type(getattr(denoiser, "_orig_mod", denoiser)).__name__
        if found != self.measured.model:
            raise ConfigError(f"{self.file} was measured on {self.measured.model}, this is {found}: measure again")

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the key steps."""
        steps = schedule.end - schedule.start
        ratios, warm_up = self.measured.over(steps), int(self.warm_up * steps + 0.5)
        keys, product, total, idle = [], 1.0, 0.0, 0
        for step in range(steps):
            if step >= warm_up:
                product *= ratios[step]
                total += abs(1 - product)
                idle += 1
            if step < warm_up or not keys or total > self.threshold or idle > self.longest:
                keys.append(schedule.start + step)
                product, total, idle = 1.0, 0.0, 0
        return frozenset(keys)


class EasyCache(AdaptivePolicy):
    """Computes a step once the change of the prediction, as its last rate foretells it, has added up (EasyCache).

    With k = |v_t - v_s| / |x_t - x_s| (means over the batch) of the last two computed steps s and t, a step that
    changes the sample by |dx| is taken to change the prediction by k |dx| / |v|, a share of its size (arXiv
    2507.02860). The method keeps the difference of prediction and sample; here it is what the blocks add, which every
    denoiser has.

    Args:
        threshold: change that may add up before a step is computed, in shares of the prediction; larger is faster.
        warm_up: so many steps at the beginning of a run are all computed.
    """

    name = "easycache"

    def __init__(self, threshold: float = 0.05, warm_up: int = 4) -> None:
        self.threshold = number("threshold", threshold, 0)
        self.warm_up = whole("warm_up", warm_up, 2)
        self.reset()

    def reset(self) -> None:
        """Forget the run before."""
        self._points: list[tuple[Tensor, Tensor]] = []
        self._last: Tensor | None = None
        self._total, self._computed = 0.0, 0

    def is_key(self, step: Step, sample: Tensor) -> bool:
        """Add up the change that the sample's change foretells."""
        last, self._last = self._last, sample.detach().clone()
        if len(self._points) < 2 or self._computed < self.warm_up or last is None or last.shape != sample.shape:
            return True
        (earlier, older), (latest, newer) = self._points
        rate = (newer - older).abs().mean() / (latest - earlier).abs().mean().clamp_min(1e-12)
        self._total += float(rate * (sample - last).abs().mean() / newer.abs().mean().clamp_min(1e-12))
        return self._total >= self.threshold

    def observe(self, step: Step, sample: Tensor, prediction: Tensor) -> None:
        """Keep what the last two computed steps saw and predicted."""
        point = sample.detach().clone(), prediction.detach().clone()
        kept = [one for one in self._points if one[1].shape == point[1].shape]
        self._points = [*kept[-1:], point]
        self._total, self._computed = 0.0, self._computed + 1


def measure(pipe: Any, run: Callable[[], Any]) -> Magnitudes:
    """Run a pipeline as it is, and return how the size of what its blocks add changes from step to step.

    Where guidance comes by separate calls, the first one of every step counts.

    Args:
        pipe: the pipeline, with the sampler that is to be accelerated and nothing else switched on.
        run: calls it once, such as `lambda: pipe("a red circle", num_inference_steps=28)`.

    Raises:
        PropagationError: its blocks are not known, or change the shape of their input.
    """
    from fdplug.pipeline import find_family  # loads torch, which plugins must not do at import

    family, denoiser = find_family(pipe)
    blocks = _blocks(family, denoiser)
    sizes = _Sizes()
    first, last = denoiser.get_submodule(blocks[0]), denoiser.get_submodule(blocks[-1])
    hooks = [first.register_forward_pre_hook(sizes.begin, with_kwargs=True), last.register_forward_hook(sizes.end)]
    step = Patch(pipe.scheduler, "step", sizes.around_step)
    step.apply()
    try:
        run()
    finally:
        step.remove()
        for hook in hooks:
            hook.remove()
    return Magnitudes(type(getattr(denoiser, "_orig_mod", denoiser)).__name__, tuple(sizes.ratios))


class _Sizes:
    """Adds up the ratios of the sizes of what the blocks add, token by token, during one run."""

    def __init__(self) -> None:
        self.ratios: list[float] = []
        self._given: Tensor | None = None
        self._last: Tensor | None = None
        self._done = False

    def begin(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Keep what the first block is given."""
        self._given = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]

    def end(self, module: nn.Module, args: Any, output: Any) -> None:
        """Compare what was added to it with the step before."""
        given = self._given
        if self._done or given is None:
            return
        outputs = output if isinstance(output, tuple) else (output,)
        alike = [one for one in outputs if one is not None and one.shape == given.shape]
        if len(alike) != 1:
            raise PropagationError(
                f"the blocks of this denoiser are given {tuple(given.shape)} and hand on {len(alike)} tensors of that "
                "shape where one is needed; take another policy"
            )
        size = (alike[0] - given).float().norm(dim=1 if given.dim() == 4 else -1)
        self.ratios.append(1.0 if self._last is None else float((size / (self._last + 1e-8)).mean()))
        self._last, self._done, self._given = size, True, None

    def around_step(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Begin the next step."""
        self._done = False
        return original(*args, **kwargs)


@fdplug.hookimpl
def fdplug_parts() -> Iterator[type[PartRule]]:
    """Yield the parts."""
    yield from (AllBlocks, AfterFirstBlock)


@fdplug.hookimpl
def fdplug_key_step_policies() -> Iterator[type[KeyStepPolicy]]:
    """Yield the policies."""
    yield from (FirstBlockCache, MagCache, EasyCache)
