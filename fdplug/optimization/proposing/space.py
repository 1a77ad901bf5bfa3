"""What there is to try: every setting that an installed plugin declares, as far as it fits the pipeline."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fdplug import registry
from fdplug.errors import FdplugError
from fdplug.lookup import find_family, find_part
from fdplug.parts import Part
from fdplug.space import Space

SAME_STEPS = 20
"""With so many steps samplers are compared: those whose schedules are equal are one."""
PLACING = ("timestep_spacing", "use_karras_sigmas")


@dataclass(frozen=True)
class Catalogue:
    """What there is to try.

    Attributes:
        samplers: specs that fit the pipeline, each another schedule or solver.
        parts: specs of parts that its denoiser has.
        at_once: those of the parts whose spans may be decoded in one batch.
        transforms: specs of changes of the pipeline.
        plugins: by kind (`policy`, `cache`, `injector`, `guidance`) and name: the values to try.
    """

    samplers: tuple[Any, ...]
    parts: tuple[Any, ...]
    at_once: tuple[Any, ...]
    transforms: tuple[Any, ...]
    plugins: Mapping[str, Mapping[str, Space]]

    @property
    def stamp(self) -> str:
        """The same text for the same space: a search goes on only there, another one begins anew."""
        plugins = {kind: {name: _listed(one) for name, one in found.items()} for kind, found in self.plugins.items()}
        return digest([self.samplers, self.parts, self.transforms, plugins])


def digest(held: Any) -> str:
    """Return a short text that is the same for what json writes the same way."""
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:12]


def catalogue(pipe: Any, steps: int) -> Catalogue:
    """Return what there is to try on a pipeline in runs of up to so many steps."""
    kinds = ("policy", "cache", "injector", "guidance")
    parts = list(_parts(pipe, steps))
    return Catalogue(
        samplers=tuple(_samplers(pipe, steps)),
        parts=tuple(spec for spec, _ in parts),
        at_once=tuple(spec for spec, part in parts if part.sample_free),
        transforms=tuple(spec for name, space in _declared("transform", steps) for spec in _choices(name, space)),
        plugins={kind: dict(_declared(kind, steps)) for kind in kinds},
    )


def timesteps(scheduler: Any, sampler: Any, steps: int) -> tuple[float, ...]:
    """Return the timesteps of a run of so many steps, one for each denoiser call.

    Args:
        scheduler: the pipeline's own.
        sampler: spec of the sampler in its place.
        steps: of the run.
    """
    built = registry.build("sampler", sampler)
    arguments = built.arguments(steps)
    if "timesteps" in arguments:
        return tuple(map(float, arguments["timesteps"]))
    if "sigmas" in arguments:
        return _even(len(arguments["sigmas"]))
    fitted = built.fit(scheduler)
    try:
        fitted.set_timesteps(steps)
    except ValueError:  # a schedule that depends on the size of the image: one call a step
        return _even(steps)
    return tuple(map(float, fitted.timesteps))


def calls(scheduler: Any, sampler: Any, steps: int) -> int:
    """Return how many denoiser calls a run of so many steps makes."""
    return len(timesteps(scheduler, sampler, steps))


def _even(steps: int) -> tuple[float, ...]:
    return tuple(1000.0 * (1 - step / steps) for step in range(steps))


def _declared(kind: str, steps: int) -> Iterator[tuple[str, Space]]:
    """Yield the plugins of a kind that have anything to try."""
    for name, entry in sorted(registry.entries(kind).items()):
        found = entry.cls.space(steps)
        if found is not None and not entry.rivals:
            yield name, found


def _choices(name: str, space: Space) -> Iterator[Any]:
    """Yield a spec for every combination of values; a value of None is the option's absence."""
    for values in itertools.product(*space.values()):
        options = {key: value for key, value in zip(space, values, strict=True) if value not in (None, False)}
        yield {name: options} if options else name


def _samplers(pipe: Any, steps: int) -> Iterator[Any]:
    """Yield the samplers that fit the model, the pipeline's own first, and of equal schedules the first."""
    declared = dict(_declared("sampler", steps))
    ordered = sorted(declared, key=lambda name: (name != "own", name))
    seen: set[str] = set()
    for spec in (spec for name in ordered for spec in _choices(name, declared[name])):
        try:
            stamp = _stamp(pipe, spec)
        except (FdplugError, ValueError, TypeError, NotImplementedError):
            continue  # it is not for a model that predicts this, or not for this noise schedule
        if stamp not in seen:
            seen.add(stamp)
            yield spec


def _stamp(pipe: Any, spec: Any) -> str:
    """Return a text that is the same for samplers that do the same."""
    built = registry.build("sampler", spec)
    fitted = built.fit(pipe.scheduler)
    arguments = built.arguments(SAME_STEPS)
    if "num_inference_steps" in arguments:
        try:
            fitted.set_timesteps(SAME_STEPS)
        except ValueError:
            return str(spec)
    levels = getattr(fitted, "sigmas", None)
    places = [round(float(one), 4) for listed in (fitted.timesteps, levels) if listed is not None for one in listed]
    kept = {key: value for key, value in fitted.config.items() if key not in PLACING and key[0] != "_"}
    return f"{type(fitted).__name__} {sorted(map(str, kept.items()))} {places} {sorted(map(str, arguments.items()))}"


def _parts(pipe: Any, steps: int) -> Iterator[tuple[Any, Part]]:
    """Yield parts that the denoiser has, with their specs: its family's, then those of plugins."""
    family, network = find_family(pipe)
    own = family.space(steps) or {}
    added = [spec for name, space in _declared("part", steps) for spec in _choices(name, space)]
    for spec in (*own.get("part", ()), *added):
        try:
            yield spec, find_part(spec, family, network)[0]
        except FdplugError:
            continue


def _listed(space: Space) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in space.items()}
