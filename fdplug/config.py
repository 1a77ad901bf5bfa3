"""The settings of `propagate`, each with its name, type, default, help and check: the only list of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fdplug import registry
from fdplug.checks import choice, span_limit
from fdplug.errors import ConfigError, suggestion
from fdplug.errors.wording import shown
from fdplug.parts import PartRule
from fdplug.propagation.decoding import Decoding
from fdplug.registry import Spec
from fdplug.settings import Settings, setting

DECODINGS = ("auto", "parallel", "serial")


def plugin(kind: str, default: Spec, help: str, option: str | None = None) -> Any:
    """Return the field of a setting that names a plugin of this kind: its name and options are looked up."""

    def check(name: str, value: Any) -> Any:
        registry.check(kind, value)
        return value

    return setting(default, help, check, kind=kind, option=option)


def _part(name: str, value: Any) -> Any:
    """Look up a plugin's part; whether a denoiser's family has a part of that name is known with the model."""
    if not isinstance(value, PartRule) and registry.parse("part", value)[0] in registry.entries("part"):
        registry.check("part", value)
    return value


def _decoding(name: str, value: Any) -> Any:
    if not isinstance(value, Decoding):
        choice(name, value, DECODINGS)
    return value


def _transforms(name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{name} is a list of transforms, got {shown(value)}")
    for one in value:
        registry.check("transform", one)
    return tuple(value)


def _components(name: str, value: Any) -> Mapping[str, Any]:
    """Check the settings of each denoiser, which is found with the pipeline."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is a mapping, as {{transformer_2: {{policy: paper}}}}, got {shown(value)}")
    for component, own in value.items():
        if not isinstance(own, Mapping):
            raise ConfigError(f"{name}: the settings of {component} are a mapping, got {shown(own)}")
        shared = [one for one in own if one in ("transforms", name)]
        if shared:
            raise ConfigError(f"{name}: {shared[0]} of {component}: this is a setting of the whole pipeline alone")
        PropagationConfig.of(own)
    return {component: dict(own) for component, own in value.items()}


def _a_whole_number_or_auto(text: str) -> int | str:
    """Read a number of rows, or `auto`."""
    return text if text == "auto" else int(text)


@dataclass(frozen=True, kw_only=True)
class PropagationConfig(Settings):
    """How features are propagated; the defaults are the paper's settings.

    A plugin is a name, `{name: {option: value}}`, or a ready object.
    """

    what: ClassVar[str] = "propagation setting"

    policy: Spec = plugin("policy", "paper", "key steps, as {uniform: {interval: 4}}")
    cache: Spec = plugin("cache", "reuse", "how features of key steps serve the others")
    injector: Spec = plugin("injector", "prior", "noise that is put back late in the run")
    part: Spec = setting("encoder", "what key steps alone compute, as trunk", _part)
    decoding: str | Decoding = setting(
        "auto",
        "parallel (spans in one batch), serial, auto",
        _decoding,
        choices=DECODINGS,
    )
    max_span_batch: int | str | None = setting(
        None,
        "most rows of steps in one batch; auto: a quarter more memory",
        lambda name, value: span_limit(value),
        reads=_a_whole_number_or_auto,
    )
    guidance: Spec = plugin(
        "guidance",
        "full",
        "steps with all rows, as {first: {share: 0.5}}",
        option="guidance_rows",
    )
    transforms: tuple[Spec, ...] = setting(
        (), "further changes of the pipeline, applied first, undone last", _transforms, kind="transform"
    )
    components: Mapping[str, Any] | None = setting(
        None, "own settings of one of two denoisers: {transformer_2: {...}}", _components
    )

    def built(self) -> PropagationConfig:
        """Return the same settings with a ready object for every plugin; the part is found with the denoiser."""
        return self.changed(**{name: _build(kind, getattr(self, name)) for name, kind in self.kinds().items()})

    def of_component(self, component: str) -> PropagationConfig:
        """Return the settings of one of a pipeline's denoisers, with a ready object for every plugin of its own.

        Those of a denoiser without settings of its own are these settings themselves.
        """
        own = (self.components or {}).get(component)
        if not own:
            return self
        kinds = {name: kind for name, kind in self.kinds().items() if name in own}
        return self.changed(**{**own, **{name: _build(kind, own[name]) for name, kind in kinds.items()}})

    def check_components(self, known: Sequence[str]) -> None:
        """Refuse settings of a denoiser that the pipeline does not have.

        Raises:
            ConfigError: names those that it has.
        """
        for name in self.components or ():
            if name not in known:
                hint = suggestion(name, known, ";")
                raise ConfigError(f"components: this pipeline has no denoiser '{name}'{hint} it has {', '.join(known)}")

    @classmethod
    def kinds(cls) -> dict[str, str]:
        """Return the kinds of plugins by the names of the settings that name them."""
        return {name: field.metadata["kind"] for name, field in cls.fields().items() if field.metadata["kind"]}

    @classmethod
    def unaccelerated(cls) -> PropagationConfig:
        """Return the settings that change nothing, bit for bit, but let the ledger count."""
        return cls(policy="all", injector="none")


def _build(kind: str, value: Any) -> Any:
    return [registry.build(kind, one) for one in value] if isinstance(value, tuple) else registry.build(kind, value)


def name_of(kind: str, spec: Spec) -> str:
    """Return the registered name in a spec of a plugin, or that of a ready object."""
    ready = getattr(spec, "name", None)
    return ready if isinstance(ready, str) else registry.parse(kind, spec)[0]


def refuse_flat(given: Iterable[str]) -> None:
    """Refuse settings of propagation beside those of the model, where they stood once.

    Raises:
        ConfigError: shows the form of today.
    """
    fields = PropagationConfig.fields()
    flat = [name for name in given if name in fields and fields[name].metadata["option"] is None]
    if flat:
        nested = ", ".join(f"{name}: ..." for name in flat)
        raise ConfigError(
            f"{' and '.join(flat)} {'are settings' if flat[1:] else 'is a setting'} of propagation, write "
            f"model: {{propagation: {{{nested}}}}}, on the command line --model.propagation.{flat[0]}"
        )
    if "propagate" in given:
        raise ConfigError(
            "model.propagate has become model.propagation: write model: {propagation: null} to run the pipeline as it "
            "is, model: {propagation: {policy: paper}} to accelerate it"
        )
