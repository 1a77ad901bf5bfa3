"""`propagate`: the only place that wires propagation into a pipeline and takes it out again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

from fdplug import registry
from fdplug.checks import choice, span_limit
from fdplug.denoisers import DenoiserFamily, Part
from fdplug.errors import ConfigError, PipelineError, warn
from fdplug.lookup import find_family, find_part
from fdplug.parts import PartRule
from fdplug.patching import Patch, PatchStack, call_patches
from fdplug.policies import KeyStepPolicy
from fdplug.profiling import flops
from fdplug.profiling.ledger import Ledger
from fdplug.propagation.decoding import AT_ONCE, Decoding
from fdplug.propagation.method import Method
from fdplug.propagation.propagator import Propagator
from fdplug.propagation.span_budget import SpanBudget
from fdplug.registry import Spec
from fdplug.stacking import Layer, check_stack
from fdplug.transforms import Transform

DECODINGS = ("auto", "parallel", "serial")
_active: WeakValueDictionary[int, Propagation] = WeakValueDictionary()


def propagate(
    pipe: Any,
    *,
    policy: Spec = "paper",
    cache: Spec = "reuse",
    injector: Spec = "prior",
    part: str | Mapping[str, Any] | PartRule = "encoder",
    decoding: str | Decoding = "auto",
    max_span_batch: int | str | None = None,
    transforms: Sequence[Spec] = (),
) -> Propagation:
    """Switch encoder propagation on for a stock diffusers pipeline; the defaults are the paper's settings.

    ```python
    with fdplug.propagate(pipe):  # or keep what it returns, and call its `remove()`
        image = pipe("a red circle", num_inference_steps=50).images[0]
    ```

    This is lossy: images change a little. A second call on the same pipeline replaces the first.

    Args:
        pipe: any diffusers pipeline whose denoiser belongs to a registered family.
        policy: which steps are key steps.
        cache: what is handed out at the other steps.
        injector: noise injected before each scheduler step.
        part: what is computed at key steps only: a name of the denoiser's family or of a plugin, `{name: options}`.
        decoding: `parallel` answers a whole span of steps in one batch, `serial` one step at a time; `auto` is parallel
            where the part and the policy allow it; images are the same up to rounding. `fdplug.split_decode()` uses
            several GPUs.
        max_span_batch: most rows (steps x batch, guidance included) in one parallel call, None for the whole span,
            `auto` for as many as take at most a quarter more memory than the pipeline as it is.
        transforms: further changes of the pipeline, applied first and undone last.

    Raises:
        UnsupportedDenoiserError: no family knows the pipeline's denoiser.
        UnknownPluginError, ConfigError: a name or an option is wrong.
        StackError: the plugins say that they cannot be combined.
        PropagationError: the part holds no module, or the run cannot be accelerated.
    """
    family, network = find_family(pipe)
    chosen, rule = find_part(part, family, network)
    method = _method(family, chosen, policy, cache, injector, decoding, _limit(max_span_batch, pipe))
    built = [registry.build("transform", spec) for spec in transforms]
    _check_stack(method, rule, built)
    method.policy.prepare(network)
    _make_room(pipe, network)
    handle = Propagation(pipe, network, method, built)
    handle.apply()
    _active[id(network)] = handle
    return handle


def _method(
    family: DenoiserFamily,
    part: Part,
    policy: Spec,
    cache: Spec,
    injector: Spec,
    decoding: str | Decoding,
    max_span_batch: int | SpanBudget | None,
) -> Method:
    rule = registry.build("policy", policy)
    how = "parallel" if isinstance(decoding, Decoding) else choice("decoding", decoding, DECODINGS)
    if isinstance(decoding, Decoding) and isinstance(max_span_batch, SpanBudget):
        raise ConfigError(
            "max_span_batch='auto' depends on measured memory, so that processes could take different spans; "
            "give a number of rows per process"
        )
    return Method(
        family=family,
        part=part,
        policy=rule,
        cache=registry.build("cache", cache),
        injector=registry.build("injector", injector),
        parallel=_is_parallel(how, part, rule),
        max_span_batch=max_span_batch,
        decoding=decoding if isinstance(decoding, Decoding) else AT_ONCE,
        insists=how == "parallel",
    )


def _limit(given: int | str | None, pipe: Any) -> int | SpanBudget | None:
    limit = span_limit(given)
    return SpanBudget(pipe) if limit == "auto" else limit


def _check_stack(method: Method, rule: PartRule | None, transforms: Sequence[Transform]) -> None:
    part = method.part
    facts = {"sample-free": part.sample_free, f"part:{part.name}": rule is None}
    layers = [
        Layer(f"policy:{method.policy.name}", method.policy),
        Layer(f"cache:{method.cache.name}", method.cache),
        Layer(f"injector:{method.injector.name}", method.injector),
        Layer(f"decoding:{method.decoding.name}", method.decoding),
        *([Layer(f"part:{rule.name}", rule)] if rule else []),
        *(Layer(f"transform:{transform.name}", transform) for transform in transforms),
    ]
    check_stack(layers, frozenset(fact for fact, holds in facts.items() if holds))


def _is_parallel(decoding: str, part: Part, policy: KeyStepPolicy) -> bool:
    if decoding == "parallel" and policy.stepwise:
        raise ConfigError(
            f"policy '{policy.name}' decides step by step or module by module, so its spans cannot be decoded in "
            "parallel; take decoding='serial' or 'auto'"
        )
    if decoding == "parallel" and not part.sample_free:
        raise ConfigError(f"with part '{part.name}' every prediction depends on the sample; take decoding='serial'")
    return decoding != "serial" and part.sample_free and not policy.stepwise


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
    """Propagation switched on for one pipeline; a context manager, or `remove()` it by hand."""

    def __init__(self, pipe: Any, network: Any, method: Method, transforms: Sequence[Transform] = ()) -> None:
        self.pipe = pipe
        self.method = method
        self.active = False
        self._network = network
        self._transforms = list(transforms)
        self._applied: list[Transform] = []
        self._denoiser = PatchStack()
        self._scheduler = PatchStack()
        self._followed: Any = None
        self._propagator = Propagator(method, network, self._follow, lambda: getattr(pipe, "num_timesteps", None))

    @property
    def ledger(self) -> Ledger:
        """What ran in the last run."""
        return self._propagator.ledger

    def apply(self) -> None:
        """Wire everything, or nothing if something fails."""
        try:
            self.ledger.outdated = ()
            for transform in self._transforms:
                flops.forget(self._network)
                transform.bind(self.ledger)
                transform.apply(self.pipe)
                self._applied.append(transform)
            self._denoiser.apply(self._denoiser_patches())
            self._patch_scheduler()
        except BaseException:
            self.remove()
            raise
        self.active = True

    def remove(self) -> None:
        """Undo exactly what was wired; a second call does nothing.

        Raises:
            PatchOrderError: something else was put on top since; nothing is changed then.
        """
        self._denoiser.remove()
        self._scheduler.remove()
        self._propagator.forget()
        while self._applied:
            flops.forget(self._network)
            transform = self._applied.pop()
            transform.undo(self.pipe)
            if transform.changes_cost:
                self.ledger.outdated += (transform.name,)
        self.active = False

    def _denoiser_patches(self) -> Iterator[Patch]:
        propagator, part = self._propagator, self.method.part
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

    def _follow(self) -> Any:
        """Return the pipeline's scheduler; one that was exchanged since is patched in place of the old.

        A copy of the old one, which a pipeline may make in the middle of a run, goes on where the old one was.
        """
        old, new = self._followed, self.pipe.scheduler
        if new is not old:
            self._scheduler.remove()
            self._patch_scheduler()
            if type(new) is type(old) and new.config == old.config:
                self._propagator.go_on(new)
                return new
            self._propagator.begin(new)
            names = f"{type(old).__name__} for {type(new).__name__}"
            warn(f"the pipeline's scheduler was exchanged, {names}: following it")
        return new

    def __enter__(self) -> Propagation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        method = self.method
        names = f"policy={method.policy.name}, cache={method.cache.name}, injector={method.injector.name}"
        how = "parallel" if method.parallel else "serial"
        state = "active" if self.active else "removed"
        return f"<Propagation of {type(self.pipe).__name__}: {names}, part={method.part.name}, {how}, {state}>"
