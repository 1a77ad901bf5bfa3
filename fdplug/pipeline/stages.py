"""From settings, whose plugins are built, to what each of a pipeline's denoisers is propagated with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fdplug.config import PropagationConfig
from fdplug.denoisers import DenoiserFamily, Part
from fdplug.errors import ConfigError, PipelineError
from fdplug.guidance import Full, Guidance
from fdplug.lookup import find_part
from fdplug.parts import PartRule
from fdplug.policies import KeyStepPolicy
from fdplug.presets.preset import Preset
from fdplug.propagation.decoding import AT_ONCE, Decoding
from fdplug.propagation.guided import rows_of
from fdplug.propagation.method import Method
from fdplug.propagation.span_budget import SpanBudget
from fdplug.propagation.stage import Stage
from fdplug.propagation.watching.places import check_apart
from fdplug.stacking import Layer, check_stack
from fdplug.transforms import Transform


def stage_of(pipe: Any, family: DenoiserFamily, network: Any, built: Any, preset: Preset | None) -> Stage:
    """Return one of a pipeline's denoisers with the method that settings, whose plugins are built, make for it."""
    settings: Any = built.of_component(family.component)
    part, rule = find_part(settings.part, family, network)
    check_apart(network, part)
    method = _method(family, part, settings, _limit(settings, pipe), _made_for(preset))
    _check_stack(method, rule, built.transforms)
    method.check_solver(getattr(pipe, "scheduler", None))
    if not isinstance(method.guidance, Full):
        rows_of(method.guidance, family, pipe)
    method.policy.prepare(network)
    return Stage(network, method)


def renewed(methods: Mapping[str, Method], family: DenoiserFamily, network: Any) -> Stage:
    """Return the stage of a denoiser that was exchanged, with the method of the one before.

    Raises:
        PipelineError: there was none before.
    """
    if family.component not in methods:
        raise PipelineError(f"the pipeline has got a {family.component} since: call propagate() again")
    method = methods[family.component]
    settings: Any = method.settings
    part, _ = find_part(settings.part, family, network)
    check_apart(network, part)
    return Stage(network, replace(method, family=family, part=part))


def _made_for(preset: Preset | None) -> tuple[int, str] | None:
    """Return the number of denoiser calls that a preset is for, and its name."""
    if preset is None or preset.settings.timesteps is None:
        return None
    return preset.settings.timesteps, preset.name


def _method(
    family: DenoiserFamily,
    part: Part,
    built: Any,
    max_span_batch: int | SpanBudget | None,
    made_for: tuple[int, str] | None,
) -> Method:
    """Return the method of settings whose plugins are built."""
    decoding = built.decoding if isinstance(built.decoding, Decoding) else None
    if decoding and isinstance(max_span_batch, SpanBudget):
        raise ConfigError(
            "max_span_batch='auto' depends on measured memory, so that processes could take different spans; "
            "give a number of rows per process"
        )
    how: Any = "parallel" if decoding else built.decoding
    return Method(
        settings=built,
        family=family,
        part=part,
        policy=built.policy,
        cache=built.cache,
        injector=built.injector,
        parallel=_is_parallel(how, part, built.policy, built.guidance),
        max_span_batch=max_span_batch,
        decoding=decoding or AT_ONCE,
        guidance=built.guidance,
        insists=how == "parallel",
        made_for=made_for,
    )


def _limit(config: PropagationConfig, pipe: Any) -> int | SpanBudget | None:
    limit: Any = config.max_span_batch
    return SpanBudget(pipe) if limit == "auto" else limit


def _check_stack(method: Method, rule: PartRule | None, transforms: Sequence[Transform]) -> None:
    part = method.part
    facts = {
        "sample-free": part.sample_free,
        "residual": part.residual,
        "probe": part.probe is not None,
        "decoded-ahead": method.parallel,
        "serial": not method.parallel,
        f"part:{part.name}": rule is None,
    }
    layers = [
        Layer(f"policy:{method.policy.name}", method.policy),
        Layer(f"cache:{method.cache.name}", method.cache),
        Layer(f"injector:{method.injector.name}", method.injector),
        Layer(f"guidance:{method.guidance.name}", method.guidance),
        Layer(f"decoding:{method.decoding.name}", method.decoding),
        *([Layer(f"part:{rule.name}", rule)] if rule else []),
        *(Layer(f"transform:{transform.name}", transform) for transform in transforms),
    ]
    check_stack(layers, frozenset(fact for fact, holds in facts.items() if holds))


def _is_parallel(decoding: str, part: Part, policy: KeyStepPolicy, guidance: Guidance) -> bool:
    if decoding == "parallel" and policy.stepwise:
        raise ConfigError(
            f"policy '{policy.name}' decides step by step or module by module, so its spans cannot be decoded in "
            "parallel; take decoding='serial' or 'auto'"
        )
    if decoding == "parallel" and guidance.stepwise:
        raise ConfigError(
            f"guidance '{guidance.name}' decides step by step, by what was predicted, so that no span can be decoded "
            "in parallel; take decoding='serial' or 'auto'"
        )
    if decoding == "parallel" and not part.sample_free:
        raise ConfigError(f"with part '{part.name}' every prediction depends on the sample; take decoding='serial'")
    return decoding != "serial" and part.sample_free and not (policy.stepwise or guidance.stepwise)
