"""Whether a preset is for the pipeline at hand, and the sampler that it brings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fdplug import registry
from fdplug.errors import ConfigError, warn
from fdplug.lookup import find_family
from fdplug.presets.preset import Preset
from fdplug.profiling.fingerprint import fingerprint
from fdplug.transforms import Transform


class PresetSampler(Transform):
    """The sampler of a preset in place of the pipeline's own scheduler.

    Args:
        sampler: its spec.
    """

    name = "preset-sampler"
    changes_cost = False

    def __init__(self, sampler: Any) -> None:
        self._sampler = registry.build("sampler", sampler)
        self._own: Any = None

    def apply(self, pipe: Any) -> None:
        """Exchange the scheduler."""
        self._own = pipe.scheduler
        pipe.scheduler = self._sampler.fit(pipe.scheduler)

    def undo(self, pipe: Any) -> None:
        """Put the pipeline's own scheduler back."""
        pipe.scheduler, self._own = self._own, None


def transforms(preset: Preset) -> list[Transform]:
    """Return what a preset changes besides propagation."""
    return [] if preset.settings.sampler is None else [PresetSampler(preset.settings.sampler)]


def check_denoiser(preset: Preset, network: Any) -> None:
    """Refuse a preset that was made for another denoiser.

    Raises:
        ConfigError: the denoiser is another one.
    """
    made_for = preset.made_for
    if made_for.denoiser is not None and fingerprint(network) != made_for.denoiser:
        model = f", that of '{made_for.model}'" if made_for.model else ""
        raise ConfigError(
            f"{preset.name} was made for another denoiser{model}: its figures say nothing about this one; run `fdplug "
            "optimize` for it, or remove `denoiser` from the file to take the settings nevertheless"
        )


def tell_differences(preset: Preset, pipe: Any, network: Any, size: int | None = None) -> None:
    """Warn of what else was different where the preset was measured.

    Args:
        preset: the preset.
        pipe: the pipeline, with its own scheduler.
        network: its denoiser.
        size: in pixels, where it is known.
    """
    differing = list(_differing(preset, pipe, network, size))
    if differing:
        message = f"{preset.name} was measured with {' and '.join(differing)}; other figures may hold here"
        warn(message)


def check_preset(preset: Preset, pipe: Any, size: int | None = None) -> None:
    """Refuse a preset that was made for another denoiser; warn of what else differs.

    Args:
        preset: the preset.
        pipe: the pipeline, with its own scheduler.
        size: in pixels, where it is known.

    Raises:
        ConfigError: the denoiser is another one.
    """
    network = find_family(pipe)[1]
    check_denoiser(preset, network)
    tell_differences(preset, pipe, network, size)


def _differing(preset: Preset, pipe: Any, network: Any, size: int | None) -> Iterator[str]:
    """Yield what differs, as it was measured and as it is."""
    parameter = next(network.parameters())
    found = {
        "pipeline": type(pipe).__name__,
        "scheduler": type(pipe.scheduler).__name__,
        "dtype": str(parameter.dtype).removeprefix("torch."),
        "size": size,
    }
    for name, here in found.items():
        made = getattr(preset.made_for, name)
        if made is not None and here is not None and made != here:
            yield f"{name} {made}, not {here}"
