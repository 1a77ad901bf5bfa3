"""`propagate`: the only place that wires propagation into a pipeline and takes it out again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from fdplug.config import PropagationConfig
from fdplug.denoisers.base import plain
from fdplug.errors import ConfigError, PipelineError, warn
from fdplug.guidance import Full
from fdplug.lookup import find_families, find_family
from fdplug.patching import Patch, PatchStack, call_patches
from fdplug.pipeline.active import bring_back, check_unshared, enter, leave, make_room
from fdplug.pipeline.followed_companions import FollowedCompanions
from fdplug.pipeline.followed_scheduler import FollowedScheduler
from fdplug.pipeline.refused import check_pipeline
from fdplug.pipeline.stages import renewed, stage_of
from fdplug.presets.fitting import check_denoiser, tell_differences, transforms
from fdplug.presets.preset import Preset, load
from fdplug.profiling import flops
from fdplug.profiling.ledger import Ledger
from fdplug.propagation.calls.caller import calling_pipeline
from fdplug.propagation.loop.runs import Runs
from fdplug.propagation.method import Method
from fdplug.propagation.propagator import Propagator
from fdplug.propagation.stage import Stage
from fdplug.propagation.watching.places import Places, of_part
from fdplug.schedule import Schedule
from fdplug.transforms import Transform


def propagate(
    pipe: Any, config: PropagationConfig | None = None, *, preset: str | Path | Preset | None = None, **changes: Any
) -> Propagation:
    """Switch encoder propagation on for a stock diffusers pipeline; the defaults are the paper's settings.

    ```python
    with fdplug.propagate(pipe):  # or keep what it returns, and call its `remove()`
        image = pipe("a red circle", num_inference_steps=50).images[0]
    ```

    This is lossy: images change a little. A second call on the same pipeline replaces the first, which comes back where
    the second is a `with` block, or the first is one that goes on.

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
    check_pipeline(pipe)
    denoisers = find_families(pipe)
    if chosen is not None:
        check_denoiser(chosen, find_family(pipe)[1])
    settings.check_components([family.component for family, _ in denoisers])
    built: Any = settings.built()
    stages = [stage_of(pipe, family, network, built, chosen) for family, network in denoisers]
    check_unshared(pipe, stages)
    replaced = make_room(pipe, stages)
    try:
        handle = _handle(pipe, stages, chosen, built.transforms)
        handle.apply()
    except BaseException:
        for one in replaced:
            one.resume()
        raise
    handle.replaced = replaced
    enter(stages, handle)
    return handle


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


class Propagation:
    """Propagation switched on for one pipeline; a context manager, or `remove()` it by hand.

    Attributes:
        arguments: what its preset wants the pipeline to be called with; empty without one.
        stages: the pipeline's denoisers, in the order in which a run goes through them, and the method of each.
        inside: whether its `with` block goes on.
        wanted: whether it was not removed so far.
        replaced: the propagations of the same pipeline that it has taken the place of.
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
        self.active = self.inside = False
        self.wanted = True
        self.replaced: Sequence[Propagation] = ()
        self._transforms = list(transforms)
        self._applied: list[Transform] = []
        self._denoiser = PatchStack()
        self._places: dict[str, Places] = {}
        self._runs = Runs(self.stages, self._follow, self._count, self._serves, self._boundary)
        self._propagator = Propagator(self._runs)
        self._scheduler = FollowedScheduler(pipe, self._propagator, self._runs)
        self._companions = FollowedCompanions(pipe, self._propagator, self._runs)

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
            self.ledger.outdated, self._runs.is_released = (), False
            for transform in self._transforms:
                self._forget_costs()
                transform.bind(self.ledger)
                transform.apply(self.pipe)
                self._applied.append(transform)
            self._denoiser.apply(self._denoiser_patches())
            self._companions.apply()
            self._scheduler.apply()
        except BaseException:
            self.suspend()
            raise
        self.active = True

    def remove(self) -> None:
        """Undo exactly what was wired; a second call does nothing.

        A propagation that it has replaced comes back if its `with` block goes on.

        Raises:
            PatchOrderError: something else was put on top since; nothing is changed then.
        """
        self._end(everything=False)

    def _end(self, everything: bool) -> None:
        self.suspend()
        self.wanted = False
        replaced, self.replaced = self.replaced, ()
        bring_back(replaced, everything)

    def check_idle(self) -> None:
        """Raise `PropagationError` if another thread is in the middle of a run."""
        self._runs.guard.check_idle()

    def resume(self) -> None:
        """Wire everything again."""
        self.apply()
        enter(self.stages, self)

    def suspend(self) -> None:
        """Undo exactly what was wired, perhaps for a while."""
        patched = (self._denoiser, self._companions, self._scheduler)
        for one in patched:
            one.check()
        for one in patched:
            one.remove()
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
        self._places = {stage.component: of_part(stage.network, stage.method.part) for stage in self.stages}
        for stage in self.stages:
            yield from self._stage_patches(stage)

    def _stage_patches(self, stage: Stage) -> Iterator[Patch]:
        propagator, part = self._propagator, stage.method.part
        if part.probe is not None:
            yield from call_patches(stage.network.get_submodule(part.probe), propagator.around_probe)
        for name in part.modules:
            yield from call_patches(stage.network.get_submodule(name), propagator.around_module(stage, name))
        yield from call_patches(stage.network, propagator.around_denoiser(stage))

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
        """Return the pipeline's scheduler, and see to it that it and the denoisers are patched."""
        self._follow_denoiser()
        self._companions.follow()
        return self._scheduler.follow()

    def _follow_denoiser(self) -> None:
        """Go over to the pipeline's denoisers, if one, or a module of its part, was exchanged since."""
        what, is_cut = next(filter(None, map(self._exchanged, self.stages)), ""), self._runs.running
        if not what:
            return
        if self._applied:
            names = ", ".join(transform.name for transform in self._applied)
            raise PipelineError(
                f"{what}, and {names} cannot go over to another one: call remove() before, and propagate() after"
            )
        methods = {stage.component: stage.method for stage in self.stages}
        stages = tuple(renewed(methods, family, network) for family, network in find_families(self.pipe))
        self._denoiser.check()
        self._companions.check()
        own = {id(stage.network) for stage in self.stages}
        make_room(self.pipe, [stage for stage in stages if id(stage.network) not in own])
        for stage in stages:
            stage.method.policy.prepare(stage.network)
        self._denoiser.remove()
        self._companions.remove()
        leave(self.stages)
        self.stages = stages
        self._runs.take(stages)
        self._denoiser.apply(self._denoiser_patches())
        self._companions.apply()
        enter(stages, self)
        warn(f"{what}: following it{', from the next run on' if is_cut else ''}")

    def _exchanged(self, stage: Stage) -> str:
        """Say what was exchanged of a stage's denoiser; nothing where all is as it was."""
        now = self._now(stage)
        if now is not plain(stage.network):
            names = f"{type(stage.network).__name__} for {type(now).__name__}"
            return f"the pipeline's {stage.component} was exchanged, {names}"
        place = self._places[stage.component].moved()
        return "" if place is None else f"{place} of the pipeline's {stage.component} was exchanged"

    def _now(self, stage: Stage) -> Any:
        """Return what stands in the pipeline where a stage's denoiser stood."""
        return plain(getattr(self.pipe, stage.component, None))  # type: ignore[arg-type]

    def __enter__(self) -> Propagation:
        self.inside = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inside = False
        self._end(everything=True)

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
