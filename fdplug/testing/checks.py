"""What every plugin of a kind must do, as functions that raise `AssertionError`: ours and third parties' run the same.

```python
from fdplug.testing import check_policy
from my_plugin import MyPolicy


def test_contract():
    check_policy(MyPolicy(interval=3))
```
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fdplug import registry
from fdplug.caches import FeatureCache
from fdplug.errors import ConfigError
from fdplug.guidance import Guidance
from fdplug.hooks import hookimpl
from fdplug.injectors import NoiseInjector
from fdplug.plugins import get_plugin_manager
from fdplug.policies import AdaptivePolicy, BlockPolicy, KeyStepPolicy
from fdplug.samplers import Sampler, predicted
from fdplug.schedule import Schedule, Step
from fdplug.space import Searchable

LENGTHS = (1, 2, 4, 10, 20, 25, 50, 51, 100)
STEPS = 20


def schedule(num_steps: int, start: int = 0) -> Schedule:
    """Return an evenly spaced schedule on a chain of 1,000 training steps."""
    return Schedule(tuple(999.0 - index * 999 / num_steps for index in range(num_steps)), start)


def check_class(kind: str, plugin: Any) -> None:
    """A plugin carries a name, a first sentence of help, and options that can be written in YAML."""
    cls = type(plugin)
    assert isinstance(plugin, registry.KINDS[kind].base_class()), f"{cls.__name__} is no {registry.KINDS[kind].base}"
    assert isinstance(cls.name, str), f"{cls.__name__} has no name"
    assert cls.name, f"the name of {cls.__name__} is empty"
    assert inspect.getdoc(cls), f"{cls.__name__} has no docstring, so `fdplug plugins` has nothing to say about it"
    for option in registry.options(cls).values():
        assert option.kind is not option.VAR_POSITIONAL, f"{cls.__name__} takes *{option.name}: options need names"
        assert option.kind is not option.VAR_KEYWORD, f"{cls.__name__} takes **{option.name}: options need names"
    if kind != "family":  # whose space is not one of its own options
        _check_space(cls)


def _check_space(cls: Any) -> None:
    """What a search tries are options that the class has, in values that it takes and that a preset can hold."""
    space = cls.space(STEPS) if issubclass(cls, Searchable) else None
    for name, values in (space or {}).items():
        assert name in registry.options(cls), f"space names '{name}', which {cls.__name__} has no option for"
        assert isinstance(values, Sequence), f"space gives {type(values).__name__} for '{name}', not a tuple or range"
        assert not isinstance(values, str), f"space gives a word for '{name}', not a tuple or range"
        assert values, f"space gives no value for '{name}'"
    first = {name: values[0] for name, values in (space or {}).items()}
    for name, values in (space or {}).items():
        for value in {0: values[0], 1: values[-1]}.values() if isinstance(values, range) else values:
            json.dumps(value)
            cls(**{key: one for key, one in {**first, name: value}.items() if one is not None})


def check_policy(policy: KeyStepPolicy, lengths: Sequence[int] = LENGTHS) -> None:
    """Key steps lie inside the run and are the same when asked again; an adaptive policy answers with bools."""
    check_class("policy", policy)
    if isinstance(policy, AdaptivePolicy):
        return _check_adaptive(policy)
    if isinstance(policy, BlockPolicy):
        return _check_blocks(policy, lengths)
    for length in lengths:
        for start in {0, length // 3}:
            keys = policy.key_steps(schedule(length, start))
            _check_keys(keys, length)
            assert policy.key_steps(schedule(length, start)) == keys, "key_steps must not depend on earlier calls"
    return None


def _check_keys(keys: Any, length: int, method: str = "key_steps", what: str = "key steps") -> None:
    assert isinstance(keys, frozenset), f"{method} returned {type(keys).__name__}, not frozenset"
    assert all(type(key) is int for key in keys), f"{what} must be ints, got {sorted(keys)[:3]}"
    outside = [key for key in keys if not 0 <= key < length]
    assert not outside, f"of {length} steps, {what} {outside} lie outside"


def _check_blocks(policy: BlockPolicy, lengths: Sequence[int]) -> None:
    modules = ("down_blocks.0.attentions.0", "up_blocks.1.attentions.0")
    for length in lengths:
        named = policy.block_key_steps(schedule(length), modules)
        assert set(named) <= set(modules), f"block_key_steps names modules it was not asked for: {sorted(named)}"
        for keys in named.values():
            _check_keys(keys, length)
        assert policy.block_key_steps(schedule(length), modules) == named, "key steps must not depend on earlier calls"


def _check_adaptive(policy: AdaptivePolicy) -> None:
    decisions = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(0)
        run = schedule(10)
        assert policy.key_steps(run) == frozenset(), "an adaptive policy names no steps beforehand"
        samples = [torch.randn(2, 4, 8, 8, generator=generator) for _ in range(10)]
        decisions.append([_decided(policy, run.step(index), sample) for index, sample in enumerate(samples)])
    assert all(type(one) is bool for one in decisions[0]), "is_key must return a bool"
    assert decisions[0] == decisions[1], "reset() must forget the run before"


def _decided(policy: AdaptivePolicy, step: Step, sample: Tensor) -> bool:
    """Return whether a step is a key step; what one predicts is shown to the policy, and must be left as it is."""
    key = policy.is_key(step, sample)
    if key:
        prediction = sample.cos()
        before = sample.clone(), prediction.clone()
        policy.observe(step, sample, prediction)
        same((sample, prediction), before, "observe must not change sample or prediction")
    return key


def check_cache(cache: FeatureCache) -> None:
    """Features come back at their key step, in a span's shape, in fresh memory, and not after reset.

    They come back bit for bit, or, from a cache that is not `exact`, to a tenth of their size.
    """
    check_class("cache", cache)
    _same = same if cache.exact else close
    cache.begin(schedule(10))
    features = (torch.randn(2, 3, 4, 4), torch.randn(2, 5))
    kept = [feature.clone() for feature in features]
    cache.write("block", 2, features)
    cache.write("other", 2, tuple(feature + 1 for feature in features))
    _same(cache.read("block", [2]), kept, "read at the key step must return what was written")
    span = cache.read("block", [2, 3, 4])
    shapes = [tuple(one.shape) for one in span]
    assert shapes == [(6, 3, 4, 4), (6, 5)], f"three steps of two rows need shapes (6, ...), got {shapes}"
    _same([one[:2] for one in span], kept, "the first rows of a span are its key step's: time-major order")
    for step, rows in ((3, slice(2, 4)), (4, slice(4, 6))):
        message = f"step {step} alone differs from step {step} in a span"
        same(cache.read("block", [step]), [one[rows] for one in span], message)
    for one in (*cache.read("block", [2]), *cache.read("block", [3]), *span):
        one.fill_(7)
    same(features, kept, "read must return fresh memory: writing into it changed the features that were written")
    _same(cache.read("block", [2]), kept, "read must return fresh memory: writing into it changed what is kept")
    _check_forgets(cache)


def _check_forgets(cache: FeatureCache) -> None:
    cache.reset()
    try:
        cache.read("block", [2])
    except KeyError:
        return
    raise AssertionError("after reset() a read must raise KeyError")


def same(got: Sequence[Tensor], wanted: Sequence[Tensor], message: str) -> None:
    """Tensors are equal bit for bit."""
    assert len(got) == len(wanted), message
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True)), message


def close(got: Sequence[Tensor], wanted: Sequence[Tensor], message: str) -> None:
    """Tensors differ by less than a tenth of their own size."""
    assert len(got) == len(wanted), message
    for one, other in zip(got, wanted, strict=True):
        assert one.shape == other.shape, message
        assert float((one - other).norm()) < 0.1 * float(other.norm()), message


def check_injector(injector: NoiseInjector) -> None:
    """The sample keeps its shape and dtype, is not changed in place, and the result is deterministic."""
    check_class("injector", injector)
    for dtype in (torch.float32, torch.bfloat16):
        sample, prior = torch.randn(2, 4, 8, 8).to(dtype), torch.randn(2, 4, 8, 8).to(dtype)
        before = sample.clone(), prior.clone()
        run = schedule(10)
        for index in range(10):
            got = injector.inject(sample, prior, run.step(index))
            assert got.shape == sample.shape, f"the sample's shape became {tuple(got.shape)}"
            assert got.dtype == dtype, f"the sample's dtype became {got.dtype}"
            assert torch.equal(got, injector.inject(sample, prior, run.step(index))), "inject must be deterministic"
        same((sample, prior), before, "inject must not change sample or prior in place")


def check_guidance(guidance: Guidance, lengths: Sequence[int] = LENGTHS) -> None:
    """Full steps lie inside the run; what is made keeps its shape, dtype and row; a run begins as the first one did."""
    check_class("guidance", guidance)
    for length in lengths:
        for start in {0, length // 3}:
            run = schedule(length, start)
            guidance.begin(run)
            full = guidance.full_steps(run)
            _check_keys(full, length, "full_steps", "full steps")
            guidance.begin(run)
            assert guidance.full_steps(run) == full, "full_steps must not depend on earlier calls"
    for dtype in (torch.float32, torch.bfloat16):
        first, again = _guided_run(guidance, dtype), _guided_run(guidance, dtype)
        assert len(first) == len(again), "begin() must forget the run before: other steps are full now"
        same(first, again, "begin() must forget the run before")
        alone = _guided_run(guidance, dtype, ("unconditional",))
        if len(alone) * 2 == len(first):
            same(first[::2], alone, "what is made of one prediction must not depend on the names of others")


def _guided_run(guidance: Guidance, dtype: torch.dtype, names: Sequence[str] = ("unconditional", "perturbed")) -> Any:
    """Return what a guidance makes at the steps of a run at which not all rows run."""
    generator, run, made = torch.Generator().manual_seed(0), schedule(10), []
    guidance.begin(run)
    chosen = guidance.full_steps(run)
    for index in range(10):
        step = run.step(index)
        given = {name: torch.randn(2, 4, 8, 8, generator=generator).to(dtype) for name in _PREDICTIONS}
        before = {name: tensor.clone() for name, tensor in given.items()}
        full = guidance.is_full_step(step, chosen)
        assert type(full) is bool, f"is_full_step must return a bool, got {type(full).__name__}"
        for name in names:
            if full:
                guidance.observe(step, name, given["conditional"], given[name])
                continue
            got = guidance.predict(step, name, given["conditional"])
            assert got.shape == (2, 4, 8, 8), f"a prediction of shape (2, 4, 8, 8) became {tuple(got.shape)}"
            assert got.dtype == dtype, f"a prediction of {dtype} became {got.dtype}"
            assert torch.isfinite(got).all(), "a prediction is not finite"
            made.append(got.clone())
        same(list(given.values()), list(before.values()), "predictions must not be changed in place")
    return made


_PREDICTIONS = ("conditional", "unconditional", "perturbed")


def check_sampler(sampler: Sampler) -> None:
    """A fresh scheduler each time, from the pipeline's config, whose loop ends in a finite sample of the same shape."""
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    check_class("sampler", sampler)
    assert sampler.steps >= 1, "steps, the default number of steps, must be at least 1"
    diffusion = DDIMScheduler(beta_start=0.002, beta_end=0.011, beta_schedule="scaled_linear")
    flow = FlowMatchEulerDiscreteScheduler(shift=3.0)
    takes_flow = sampler.flow or sampler.scheduler.startswith("FlowMatch")
    given, other = (flow, diffusion) if takes_flow else (diffusion, flow)
    if sampler.name != "own":
        _check_refuses(sampler, other)
    scheduler = sampler.fit(given)
    assert scheduler is not sampler.fit(given), "fit must return a new scheduler each time"
    if not takes_flow:
        assert scheduler.config.beta_end == 0.011, "the pipeline's own scheduler config must be kept"
    asked = sampler.arguments(min(8, sampler.steps))
    assert len(asked) == 1, f"arguments must name steps, timesteps or sigmas, got {asked}"
    assert set(asked) <= {"num_inference_steps", "timesteps", "sigmas"}, f"no pipeline takes {asked}"
    scheduler.set_timesteps(8)
    sample = torch.randn(1, 4, 8, 8) * getattr(scheduler, "init_noise_sigma", 1.0)
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(sample, timestep) if hasattr(scheduler, "scale_model_input") else sample
        sample = scheduler.step(0.5 * scaled, timestep, sample).prev_sample
    assert sample.shape == (1, 4, 8, 8), f"the sample's shape became {tuple(sample.shape)}"
    assert torch.isfinite(sample).all(), "the sample is not finite"


def _check_refuses(sampler: Sampler, scheduler: Any) -> None:
    try:
        sampler.fit(scheduler)
    except ConfigError:
        return
    raise AssertionError(f"fit must refuse a model that predicts {predicted(scheduler)}")


@contextmanager
def registered(kind: str, cls: type[Any]) -> Iterator[None]:
    """Let `cls` be known by its name for a while, as if its distribution were installed."""
    manager = get_plugin_manager()
    known = registry.entries(kind, manager)
    if cls.name in known and known[cls.name].cls is cls:
        yield
        return
    hook = registry.KINDS[kind].hook

    def implementation() -> Iterator[type[Any]]:
        yield cls

    plugin = SimpleNamespace(**{hook: hookimpl(implementation, specname=hook)})
    manager.add(plugin, f"registered {kind} {cls.name}", "a test")
    try:
        yield
    finally:
        manager.unregister(plugin)


def attributes(pipe: Any) -> dict[str, dict[str, int]]:
    """Return the identity of every attribute of every module: what exact undo must restore.

    Of the scheduler and of a VAE, which may keep notes of their own from call to call, only the names.
    """
    found = {"scheduler": dict.fromkeys(vars(pipe.scheduler), 0)}
    for name, component in pipe.components.items():
        if isinstance(component, torch.nn.Module):
            for path, module in component.named_modules():
                found[f"{name}.{path}"] = {
                    key: 0 if name == "vae" else id(value) for key, value in vars(module).items()
                }
                found[f"{name}.{path}"]["class"] = id(type(module))
    return found
