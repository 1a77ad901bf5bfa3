"""A preset: a YAML file with every setting, what it was made for, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from fdplug import registry
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError, UnknownPluginError
from fdplug.files.schema import OBJECT, TEXT, ListOf, Object, OrNone, Plain, check, number, one_of, whole
from fdplug.files.source import Source, is_file
from fdplug.files.writing import write_text
from fdplug.files.yaml_text import read_yaml
from fdplug.presets.rescaling import rescaled
from fdplug.settings import plain

FORMAT = 1
FOLDER = Path(__file__).parent / "data"
EVIDENCE = ("measured", "unjudged", "published")
REMEDY = "write one with `fdplug optimize --out fast.yaml`"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The settings of a preset.

    Attributes:
        sampler: spec of a sampler; None keeps the pipeline's own scheduler.
        steps: what the pipeline is called with; None leaves it to the user.
        timesteps: how many denoiser calls the un-accelerated run of so many steps makes.
        guidance: guidance scale; None leaves it to the pipeline.
        propagation: settings of `propagate` that are not their defaults; None runs every step.
    """

    sampler: Any = None
    steps: int | None = None
    timesteps: int | None = None
    guidance: float | None = None
    propagation: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class MadeFor:
    """What a preset was made for; None fits everything.

    Attributes:
        pipeline: name of the pipeline's class.
        model: name of the model, for people.
        denoiser: fingerprint of the denoiser.
        scheduler: class of the pipeline's own scheduler.
        size: height and width in pixels; None: the model's own.
        dtype: of the denoiser's weights.
    """

    pipeline: str | None = None
    model: str | None = None
    denoiser: str | None = None
    scheduler: str | None = None
    size: int | None = None
    dtype: str | None = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A saved choice of all settings.

    Attributes:
        about: one line about it.
        settings: the choice.
        made_for: where it is valid.
        evidence: `measured` on held-out prompts, `unjudged` (on calibration prompts only), or `published` by others and
            not measured here.
        figures: what was measured.
        circumstances: prompts, seeds, hardware and versions of the measurement.
        model_card: a paragraph for a model card.
        plugins: distributions besides fdplug that its settings need.
        name: how messages call it: its file or its name.
    """

    about: str
    settings: Chosen
    made_for: MadeFor = field(default_factory=MadeFor)
    evidence: str = "measured"
    figures: Mapping[str, Any] = field(default_factory=dict)
    circumstances: Mapping[str, Any] = field(default_factory=dict)
    model_card: str = ""
    plugins: Sequence[str] = ()
    name: str = "preset"

    @property
    def config(self) -> PropagationConfig:
        """The settings of `propagate`; those that change nothing where every step is run."""
        given = self.settings.propagation
        return PropagationConfig.unaccelerated() if given is None else PropagationConfig.of(given)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the pipeline is to be called with."""
        chosen = self.settings
        found: dict[str, Any] = {}
        if chosen.steps is not None:
            found |= registry.build("sampler", chosen.sampler or "own").arguments(chosen.steps)
        return found | ({} if chosen.guidance is None else {"guidance_scale": chosen.guidance})

    def under(self, given: Mapping[str, Any]) -> tuple[Preset, dict[str, Any]]:
        """Return the preset, for as many steps as are given if any are, and a run's settings: its own, then the given.

        Args:
            given: settings of a run that somebody chose besides, such as `steps` and `guidance`.

        Raises:
            ConfigError: it cannot be rescaled to so many steps.
        """
        preset = self if given.get("steps") is None else self.rescaled(given["steps"])
        chosen = preset.settings
        own = {"sampler": chosen.sampler, "steps": chosen.steps, "guidance": chosen.guidance}
        return preset, {**{name: value for name, value in own.items() if value is not None}, **given}

    def described(self) -> dict[str, Any]:
        """Return what its file holds."""
        return {"format": FORMAT, **{key: plain(value) for key, value in asdict(self).items() if key != "name"}}

    def save(self, path: str | Path) -> None:
        """Write the file as YAML, whole or not at all."""
        write_text(yaml.safe_dump(self.described(), sort_keys=False, allow_unicode=True, width=110), Path(path))

    def rescaled(self, steps: int) -> Preset:
        """Return the preset for another number of steps; its figures, which do not hold then, are left out.

        Raises:
            ConfigError: its policy or cache has no such settings.
        """
        old = self.settings
        if old.steps in (None, steps):
            return replace(self, settings=replace(old, steps=steps))
        if old.timesteps != old.steps:
            raise ConfigError(f"{self.name} is for a sampler whose calls are not its steps: optimize for {steps} anew")
        assert old.steps is not None
        given = old.propagation
        propagation = None if given is None else rescaled(given, old.steps, steps, self.name)
        settings = replace(old, steps=steps, timesteps=steps, propagation=propagation)
        about = f"{self.about}; rescaled from {old.steps} to {steps} steps, which was not measured"
        return replace(self, about=about, settings=settings, evidence="unjudged", figures={}, model_card="")


_FORM = Object(
    {
        "format": one_of(FORMAT),
        "about": TEXT,
        "settings": Object(
            {},
            {
                "sampler": Plain("a sampler", lambda value: value is None or isinstance(value, str | dict)),
                "steps": OrNone(whole(1)),
                "timesteps": OrNone(whole(1)),
                "guidance": OrNone(number(0)),
                "propagation": OrNone(OBJECT),
            },
            closed=True,
        ),
    },
    {
        "made_for": Object(
            {},
            {
                **dict.fromkeys(("pipeline", "model", "denoiser", "scheduler", "dtype"), OrNone(TEXT)),
                "size": OrNone(whole(8)),
            },
            closed=True,
        ),
        "evidence": one_of(*EVIDENCE),
        "figures": OBJECT,
        "circumstances": OBJECT,
        "model_card": TEXT,
        "plugins": ListOf(TEXT),
    },
    closed=True,
)


def distributions(settings: Chosen) -> list[str]:
    """Return the installed distributions besides fdplug whose plugins are in the settings."""
    given = settings.propagation or {}
    kinds = PropagationConfig.kinds()
    named = [("sampler", settings.sampler)] + [(kinds[key], given[key]) for key in kinds if key in given]
    specs = [(kind, one) for kind, spec in named for one in (spec if isinstance(spec, list | tuple) else [spec])]
    known = [registry.entries(kind).get(registry.parse(kind, one)[0]) for kind, one in specs if one is not None]
    return sorted({entry.provider.split()[0] for entry in known if entry is not None} - {"fdplug"})


def names() -> list[str]:
    """Return the names of the presets that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(given: str | Path | Preset) -> Preset:
    """Return the preset of a file, or one that comes with the package by its name.

    Raises:
        ConfigError: there is none, or it is not as it should be; the message says what differs.
    """
    if isinstance(given, Preset):
        return given
    named = FOLDER / f"{given}.yaml"
    path = named if str(given) in names() and not is_file(given) else Path(given)
    remedy = f"{REMEDY}, or name one of {', '.join(names())}"
    source = Source(path, "preset", remedy, ConfigError)
    held = check(source, _FORM, read_yaml(source))
    del held["format"]
    settings, made_for = Chosen(**held.pop("settings")), MadeFor(**held.pop("made_for", {}))
    held["plugins"] = tuple(held.get("plugins", ()))
    preset = Preset(settings=settings, made_for=made_for, name=str(given), **held)
    _check_plugins(source, preset)
    return preset


def is_preset(held: Any) -> bool:
    """Whether what a YAML file holds is a preset, by its keys."""
    return isinstance(held, dict) and {"format", "about", "settings"} <= set(held)


def _check_plugins(source: Source, preset: Preset) -> None:
    """Refuse settings whose plugins are not installed, or that cannot be right."""
    try:
        registry.check("sampler", preset.settings.sampler or "own")
        assert preset.config
    except UnknownPluginError as error:
        install = f"; pip install {' '.join(preset.plugins)}" if preset.plugins else ""
        raise source.refused(f"{error}{install}") from error
    except ConfigError as error:
        raise source.refused(error) from error
