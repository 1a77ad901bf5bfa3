"""`propagate`: the only place that wires propagation into a pipeline and takes it out again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

from fdplug.config import PropagationConfig
from fdplug.denoisers import DenoiserFamily, Part
from fdplug.denoisers.base import plain
from fdplug.errors import ConfigError, PipelineError, warn
from fdplug.guidance import Full, Guidance
from fdplug.lookup import find_families, find_family, find_part
from fdplug.parts import PartRule
from fdplug.patching import Patch, PatchStack, call_patches
from fdplug.policies import KeyStepPolicy
from fdplug.presets.fitting import check_denoiser, tell_differences, transforms
from fdplug.presets.preset import Preset, load
from fdplug.profiling import flops
from fdplug.profiling.ledger import Ledger, made_of
from fdplug.propagation.calls.caller import calling_pipeline
from fdplug.propagation.decoding import AT_ONCE, Decoding
from fdplug.propagation.guided import rows_of
from fdplug.propagation.loop.runs import Runs
from fdplug.propagation.method import Method
from fdplug.propagation.propagator import Propagator
from fdplug.propagation.span_budget import SpanBudget
from fdplug.propagation.stage import Stage
from fdplug.schedule import Schedule
from fdplug.stacking import Layer, check_stack
from fdplug.transforms import Transform

# Pipelines that need what a replayed step does not compute, or that a run cannot be followed on.
REFUSED = {
    "StableDiffusionSAGPipeline": "self-attention guidance reads the middle block's attention map at every step, and a "
    "replayed step computes none",
    "StableDiffusionAttendAndExcitePipeline": "its gradient goes through the encoder's attention maps at every step, "
    "and a replayed step computes none",
    "StableDiffusionPanoramaPipeline": "it swaps a scheduler state for each view within every step, so that "
    "no step can be told from the next",
}
_active: WeakValueDictionary[int, Propagation] = WeakValueDictionary()


def propagate(
    pipe: Any, config: PropagationConfig | None = None, *, preset: str | Path | Preset | None = None, **changes: Any
) -> Propagation:
    """Switch encoder propagation on for a stock diffusers pipeline; the defaults are the paper's settings.

    ```python
    with fdplug.propagate(pipe):  # or keep what it returns, and call its `remove()`
        image = pipe("a red circle", num_inference_steps=50).images[0]
    ```

    This is lossy: images change a little. A second call on the same pipeline replaces the first.

    Args:
        pipe: any diffusers pipeline whose denoiser belongs to a registered family.
        config: every setting at once; the defaults if left out.
        preset: instead of `config`, a file that `fdplug optimize` wrote, or the name of a preset that comes with the
            package; it may bring a sampler, and `arguments` of what is returned hold what to call the pipeline with.
        changes: settings by name, on top of these: `policy="paper"`, `part={"deepcache": {"branch": 1}}`,
            `decoding="serial"` and so on; `PropagationConfig` lists them. With `decoding=fdplug.split_decode()` several
            GPUs share a span.

    Raises:
        UnsupportedDenoiserError: no family knows the pipeline's denoiser.
        UnknownPluginError, ConfigError: a name or an option is wrong.
        StackError: the plugins say that they cannot be combined.
        PropagationError: the part holds no module, or the run cannot be accelerated.
    """
    chosen = None if preset is None else load(preset)
    settings: Any = _settings(config, chosen, changes)
    _check_pipeline(pipe)
    denoisers = find_families(pipe)
    if chosen is not None:
        check_denoiser(chosen, find_family(pipe)[1])
    settings.check_components([family.component for family, _ in denoisers])
    built: Any = settings.built()
    stages = [_stage(pipe, family, network, built, chosen) for family, network in denoisers]
    for stage in stages:
        _make_room(pipe, stage.network)
    handle = _handle(pipe, stages, chosen, built.transforms)
    handle.apply()
    for stage in stages:
        _active[id(stage.network)] = handle
    return handle


def _stage(pipe: Any, family: DenoiserFamily, network: Any, built: Any, preset: Preset | None) -> Stage:
    """Return one of a pipeline's denoisers with the method that settings, whose plugins are built, make for it."""
    settings: Any = built.of_component(family.component)
    part, rule = find_part(settings.part, family, network)
    method = _method(family, part, settings, _limit(settings, pipe), _made_for(preset))
    _check_stack(method, rule, built.transforms)
    method.check_solver(getattr(pipe, "scheduler", None))
    if not isinstance(method.guidance, Full):
        rows_of(method.guidance, family, pipe)
    method.policy.prepare(network)
    return Stage(network, method)


def _handle(pipe: Any, stages: list[Stage], preset: Preset | None, added: Sequence[Transform]) -> Propagation:
    if preset is None:
        return Propagation(pipe, stages, added)
    tell_differences(preset, pipe, stages[0].network)
    return Propagation(pipe, stages, [*transforms(preset), *added], preset.arguments)


def _signature() -> inspect.Signature:
    """Return the signature of `propagate` with every setting in it, for `help` and completion."""
    pipe, config, preset, _ = inspect.signature(propagate).parameters.values()
    return inspect.Signature([pipe, config, preset, *inspect.signature(PropagationConfig).parameters.values()])


propagate.__signature__ = _signature()  # type: ignore[attr-defined]


def _settings(config: PropagationConfig | None, preset: Preset | None, changes: Mapping[str, Any]) -> PropagationConfig:
    if preset is not None:
        if config is not None:
            raise ConfigError("give either config or preset: each holds every setting; changes go on top, by name")
        return preset.config.changed(**changes)
    if config is not None and not isinstance(config, PropagationConfig):
        raise ConfigError(f"config must be a PropagationConfig, got {config!r:.60}; give settings by name: policy=...")
    return (config or PropagationConfig()).changed(**changes)


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


def _check_pipeline(pipe: Any) -> None:
    """Refuse what no run can be followed on.

    Raises:
        PipelineError: the scheduler takes no steps, or the pipeline needs what a replayed step does not compute.
    """
    reason = next((REFUSED[one.__name__] for one in type(pipe).__mro__ if one.__name__ in REFUSED), None)
    if reason is not None:
        raise PipelineError(f"cannot accelerate {type(pipe).__name__}: {reason}")
    scheduler = getattr(pipe, "scheduler", None)
    for method in ("set_timesteps", "step"):
        if scheduler is not None and not callable(getattr(scheduler, method, None)):
            raise PipelineError(
                f"cannot accelerate {type(pipe).__name__}: its {type(scheduler).__name__} has no method '{method}', by "
                "which a run is followed; give it a scheduler that has"
            )


def is_propagated(pipe: Any) -> bool:
    """Whether propagation is switched on for the pipeline's denoiser, or for one of them, by whichever pipeline."""
    found = [_active.get(id(network)) for _, network in find_families(pipe)]
    return any(one is not None and one.active for one in found)


def _make_room(pipe: Any, network: Any) -> None:
    """Remove an earlier propagation of the same pipeline; refuse to share a denoiser with another pipeline."""
    earlier = _active.get(id(network))
    if earlier is None or not earlier.active:
        return
    if earlier.pipe is not pipe:
        raise PipelineError(
            f"this {type(network).__name__} is already propagated by another {type(earlier.pipe).__name__}; "
            "a denoiser serves one propagation at a time: call remove() on the first"
        )
    earlier.remove()


class Propagation:
    """Propagation switched on for one pipeline; a context manager, or `remove()` it by hand.

    Attributes:
        arguments: what its preset wants the pipeline to be called with; empty without one.
        stages: the pipeline's denoisers, in the order in which a run goes through them, and the method of each.
    """

    def __init__(
        self,
        pipe: Any,
        stages: Sequence[Stage],
        transforms: Sequence[Transform] = (),
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.pipe = pipe
        self.arguments = dict(arguments or {})
        self.stages = tuple(stages)
        self.active = False
        self._transforms = list(transforms)
        self._applied: list[Transform] = []
        self._denoiser = PatchStack()
        self._scheduler = PatchStack()
        self._followed: Any = None
        self._runs = Runs(self.stages, self._follow, self._count, self._serves, self._boundary)
        self._propagator = Propagator(self._runs)

    @property
    def method(self) -> Method:
        """What the denoiser is propagated with; of two, the first."""
        return self.stages[0].method

    @property
    def ledger(self) -> Ledger:
        """What ran in the last run."""
        return self._runs.ledger

    def apply(self) -> None:
        """Wire everything, or nothing if something fails."""
        try:
            self.ledger.outdated = ()
            self.ledger.usual = {id(stage.network): made_of(stage.network) for stage in self.stages}
            for transform in self._transforms:
                self._forget_costs()
                transform.bind(self.ledger)
                transform.apply(self.pipe)
                self._applied.append(transform)
            self._denoiser.apply(self._denoiser_patches())
            self._patch_scheduler()
            if getattr(self._followed, "num_inference_steps", None) is not None:
                self._runs.begin(self._followed, set_before=True)
        except BaseException:
            self.remove()
            raise
        self.active = True

    def remove(self) -> None:
        """Undo exactly what was wired; a second call does nothing.

        Raises:
            PatchOrderError: something else was put on top since; nothing is changed then.
        """
        self._denoiser.check()
        self._scheduler.check()
        self._denoiser.remove()
        self._scheduler.remove()
        self._runs.release()
        self.active = False
        while self._applied:
            self._forget_costs()
            transform = self._applied.pop()
            transform.undo(self.pipe)
            if transform.changes_cost:
                self.ledger.outdated += (transform.name,)

    def _forget_costs(self) -> None:
        for stage in self.stages:
            flops.forget(stage.network)

    def _denoiser_patches(self) -> Iterator[Patch]:
        for stage in self.stages:
            yield from self._stage_patches(stage)
        for companion in self.method.part.companions:
            network = getattr(self.pipe, companion.component, None)
            if network is not None:
                yield from call_patches(network, self._propagator.around_companion(companion, network))

    def _stage_patches(self, stage: Stage) -> Iterator[Patch]:
        propagator, part = self._propagator, stage.method.part
        if part.probe is not None:
            yield from call_patches(stage.network.get_submodule(part.probe), propagator.around_probe)
        for name in part.modules:
            yield from call_patches(stage.network.get_submodule(name), propagator.around_module(stage, name))
        yield from call_patches(stage.network, propagator.around_denoiser(stage))

    def _patch_scheduler(self) -> None:
        self._followed = scheduler = self.pipe.scheduler
        self._scheduler.apply(
            [
                Patch(scheduler, "set_timesteps", self._propagator.around_set_timesteps),
                Patch(scheduler, "step", self._propagator.around_step),
            ]
        )

    def _count(self) -> int | None:
        """Return how many steps the pipeline that is being called will take; a loop of one's own takes them all."""
        return getattr(calling_pipeline(), "num_timesteps", None)

    def _boundary(self, schedule: Schedule) -> int | None:
        """Return the first step of the second stage, None where a run does not go over to it."""
        return self.method.family.boundary(self.pipe, schedule)

    def _serves(self, pipe: Any) -> bool:
        """Whether a pipeline is this one, or one that shares its scheduler."""
        return pipe is self.pipe or getattr(pipe, "scheduler", None) is self.pipe.scheduler

    def _follow(self) -> Any:
        """Return the pipeline's scheduler; one that was exchanged since is patched in place of the old.

        A copy of the old one, which a pipeline may make in the middle of a run, goes on where the old one was.
        """
        self._follow_denoiser()
        old, new = self._followed, self.pipe.scheduler
        if self._scheduler.lost:
            self._patch_again()
        if new is not old:
            self._scheduler.remove()
            self._patch_scheduler()
            if type(new) is type(old) and new.config == old.config:
                self._runs.go_on(new)
                return new
            self._runs.begin(new)
            names = f"{type(old).__name__} for {type(new).__name__}"
            warn(f"the pipeline's scheduler was exchanged, {names}: following it")
        return new

    def _patch_again(self) -> None:
        """Patch a scheduler whose state somebody has put back; refuse that in the middle of a run."""
        if self._runs.running:
            raise PipelineError(
                f"cannot follow this run: the state of its {type(self._followed).__name__} is put back while it goes "
                "on, so that no step can be told from the next; run this pipeline without propagation"
            )
        self._scheduler.remove()
        self._patch_scheduler()
        self._runs.begin(self._followed)

    def _follow_denoiser(self) -> None:
        """Go over to the pipeline's denoisers, if one was exchanged since."""
        exchanged = next((stage for stage in self.stages if self._now(stage) is not plain(stage.network)), None)
        if exchanged is None:
            return
        if self._applied:
            names = ", ".join(transform.name for transform in self._applied)
            raise PipelineError(
                f"the pipeline's {exchanged.component} was exchanged, and {names} cannot go over to another one: "
                "call remove() before, and propagate() after"
            )
        methods = {stage.component: stage.method for stage in self.stages}
        stages = tuple(_renewed(methods, family, network) for family, network in find_families(self.pipe))
        self._denoiser.check()
        for stage in stages:
            _make_room(self.pipe, stage.network)
            stage.method.policy.prepare(stage.network)
        self._denoiser.remove()
        for stage in self.stages:
            _active.pop(id(stage.network), None)
        self.stages = stages
        self._runs.take(stages)
        self._denoiser.apply(self._denoiser_patches())
        for stage in stages:
            _active[id(stage.network)] = self
        new = next((stage.network for stage in stages if stage.component == exchanged.component), None)
        names = f"{type(exchanged.network).__name__} for {type(new).__name__}"
        warn(f"the pipeline's {exchanged.component} was exchanged, {names}: following it")

    def _now(self, stage: Stage) -> Any:
        """Return what stands in the pipeline where a stage's denoiser stood."""
        return plain(getattr(self.pipe, stage.component, None))  # type: ignore[arg-type]

    def __enter__(self) -> Propagation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        state = "active" if self.active else "removed"
        if all(stage.shares(self.stages[0]) for stage in self.stages):
            how = _described(self.method)
        else:
            how = "; ".join(f"{stage.component}: {_described(stage.method)}" for stage in self.stages)
        return f"<Propagation of {type(self.pipe).__name__}: {how}, {state}>"


def _described(method: Method) -> str:
    names = f"policy={method.policy.name}, cache={method.cache.name}, injector={method.injector.name}"
    names += "" if isinstance(method.guidance, Full) else f", guidance={method.guidance.name}"
    return f"{names}, part={method.part.name}, {'parallel' if method.parallel else 'serial'}"


def _renewed(methods: Mapping[str, Method], family: DenoiserFamily, network: Any) -> Stage:
    """Return the stage of a denoiser that was exchanged, with the method of the one before.

    Raises:
        PipelineError: there was none before.
    """
    if family.component not in methods:
        raise PipelineError(f"the pipeline has got a {family.component} since: call propagate() again")
    method = methods[family.component]
    settings: Any = method.settings
    part, _ = find_part(settings.part, family, network)
    return Stage(network, replace(method, family=family, part=part))
