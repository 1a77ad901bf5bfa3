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
from fdplug.lookup import find_family, find_part
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
    family, network = find_family(pipe)
    part, rule = find_part(settings.part, family, network)
    built: Any = settings.built()
    method = _method(family, part, built, _limit(built, pipe), _made_for(chosen))
    _check_stack(method, rule, built.transforms)
    method.check_solver(getattr(pipe, "scheduler", None))
    if not isinstance(method.guidance, Full):
        rows_of(method.guidance, family, pipe)
    method.policy.prepare(network)
    if chosen is not None:
        check_denoiser(chosen, network)
    _make_room(pipe, network)
    handle = _handle(pipe, network, method, chosen, built.transforms)
    handle.apply()
    _active[id(network)] = handle
    return handle


def _handle(pipe: Any, network: Any, method: Method, preset: Preset | None, added: Sequence[Transform]) -> Propagation:
    if preset is None:
        return Propagation(pipe, network, method, added)
    tell_differences(preset, pipe, network)
    return Propagation(pipe, network, method, [*transforms(preset), *added], preset.arguments)


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
    """Whether propagation is switched on for the pipeline's denoiser, by whichever pipeline."""
    active = _active.get(id(find_family(pipe)[1]))
    return active is not None and active.active


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
    """

    def __init__(
        self,
        pipe: Any,
        network: Any,
        method: Method,
        transforms: Sequence[Transform] = (),
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.pipe = pipe
        self.arguments = dict(arguments or {})
        self.method = method
        self.active = False
        self._network = network
        self._transforms = list(transforms)
        self._applied: list[Transform] = []
        self._denoiser = PatchStack()
        self._scheduler = PatchStack()
        self._followed: Any = None
        self._runs = Runs(method, network, self._follow, self._count, self._serves)
        self._propagator = Propagator(self._runs)

    @property
    def ledger(self) -> Ledger:
        """What ran in the last run."""
        return self._runs.ledger

    def apply(self) -> None:
        """Wire everything, or nothing if something fails."""
        try:
            self.ledger.outdated = ()
            self.ledger.usual = {id(self._network): made_of(self._network)}
            for transform in self._transforms:
                flops.forget(self._network)
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
            flops.forget(self._network)
            transform = self._applied.pop()
            transform.undo(self.pipe)
            if transform.changes_cost:
                self.ledger.outdated += (transform.name,)

    def _denoiser_patches(self) -> Iterator[Patch]:
        propagator, part = self._propagator, self.method.part
        if part.probe is not None:
            yield from call_patches(self._network.get_submodule(part.probe), propagator.around_probe)
        for name in part.modules:
            yield from call_patches(self._network.get_submodule(name), propagator.around_module(name))
        yield from call_patches(self._network, propagator.around_denoiser)
        for companion in part.companions:
            network = getattr(self.pipe, companion.component, None)
            if network is not None:
                yield from call_patches(network, propagator.around_companion(companion, network))

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
        """Go over to the pipeline's denoiser, if that was exchanged since."""
        old, method = self._network, self.method
        current: Any = getattr(self.pipe, method.family.component, None)
        if plain(current) is plain(old):
            return
        if self._applied:
            names = ", ".join(transform.name for transform in self._applied)
            raise PipelineError(
                f"the pipeline's {method.family.component} was exchanged, and {names} cannot go over to another one: "
                "call remove() before, and propagate() after"
            )
        family, network = find_family(self.pipe)
        settings: Any = method.settings
        part, _ = find_part(settings.part, family, network)
        self._denoiser.check()
        _make_room(self.pipe, network)
        method.policy.prepare(network)
        self._denoiser.remove()
        self.method = replace(method, family=family, part=part)
        self._network = network
        self._runs.take(self.method, network)
        self._denoiser.apply(self._denoiser_patches())
        _active.pop(id(old), None)
        _active[id(network)] = self
        names = f"{type(old).__name__} for {type(network).__name__}"
        warn(f"the pipeline's {family.component} was exchanged, {names}: following it")

    def __enter__(self) -> Propagation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        method = self.method
        names = f"policy={method.policy.name}, cache={method.cache.name}, injector={method.injector.name}"
        names += "" if isinstance(method.guidance, Full) else f", guidance={method.guidance.name}"
        how = "parallel" if method.parallel else "serial"
        state = "active" if self.active else "removed"
        return f"<Propagation of {type(self.pipe).__name__}: {names}, part={method.part.name}, {how}, {state}>"
