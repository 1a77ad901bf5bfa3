"""Feature offloading for fdplug: features wait in host memory, or in 8 bits, until they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import fdplug
from fdplug.caches import FeatureCache, Features
from fdplug.checks import choice
from fdplug.errors import ConfigError, NoEffectWarning, warn
from fdplug.policies import Schedule

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FDPLUG_CONTRACT = "1.0"
CODES = ("same", "int8", "fp8")


class Offload(FeatureCache):
    """Features of the last key step, kept in pinned host memory or in 8 bits: for long videos and large spans.

    A key step itself sees its own features, uncoded. `report()` states the memory saved and the error made.

    Args:
        code: `same` keeps every value as it is; `int8` and `fp8` (e4m3) keep 8 bits with a scale per row and channel.
        host: keep what is kept in host memory, pinned where the features come from a GPU.
    """

    name = "offload"

    def __init__(self, code: str = "same", host: bool = True) -> None:
        self.code = choice("code", code, CODES)
        self.host = bool(host)
        if not host and code == "same":
            raise ConfigError("code='same' with host=False is plain reuse; take cache='reuse', or code int8 or fp8")
        self.exact = code == "same"
        self._sizes: dict[str, Sizes] = {}
        self._errors: list[tuple[Tensor, Tensor]] = []
        self.reset()

    def begin(self, schedule: Schedule) -> None:
        """Forget everything, the report included."""
        super().begin(schedule)
        self._sizes, self._errors = {}, []

    def reset(self) -> None:
        """Forget the features; the report of the last run stays."""
        self._kept: dict[str, list[Kept]] = {}
        self._fresh: tuple[str, int, Features] | None = None

    def write(self, name: str, step: int, features: Features) -> None:
        """Code and move; the features themselves are held until another module's are written."""
        kept = [_keep(feature, self.code, self.host) for feature in features]
        self._warn_without_effect(features, kept)
        self._fresh = (name, step, features)
        self._sizes[name] = Sizes.of(features, kept)
        if not self.exact:
            self._errors += [_error(feature, one.restored()) for feature, one in zip(features, kept, strict=True)]
        self._kept[name] = kept

    def read(self, name: str, steps: Sequence[int]) -> Features:
        """Bring features back, time-major; at their own key step as they were."""
        import torch

        restored = [one.restored() for one in self._kept[name]]
        spans = [self._own(name, step) or tuple(restored) for step in steps]
        return tuple(torch.cat(parts) if len(parts) > 1 else parts[0].clone() for parts in zip(*spans, strict=True))

    def report(self) -> Report:
        """State what the last run kept, at its largest, and how far it was from the features."""
        sizes = list(self._sizes.values())
        error = 0.0
        if self._errors:
            wrong, total = (sum(float(pair[index]) for pair in self._errors) for index in (0, 1))
            error = (wrong / total) ** 0.5 if total else 0.0
        return Report(sum(one.full for one in sizes), sum(one.device for one in sizes), _host(sizes), error)

    def _own(self, name: str, step: int) -> Features | None:
        fresh = self._fresh
        return fresh[2] if fresh is not None and fresh[:2] == (name, step) else None

    def _warn_without_effect(self, features: Features, kept: list[Kept]) -> None:
        if not self._sizes and all(one.data is feature for one, feature in zip(kept, features, strict=True)):
            warn(
                "cache 'offload' saves nothing: the features are in host memory already; take code int8 or fp8",
                NoEffectWarning,
            )


@dataclass(frozen=True)
class Report:
    """What a run kept.

    Attributes:
        full: bytes of the features as they were.
        device: bytes kept where they were computed.
        host: bytes kept in host memory instead.
        error: root mean square of what coding changed, relative to that of the features.
    """

    full: int
    device: int
    host: int
    error: float

    @property
    def saved(self) -> int:
        """Bytes saved where the features were computed."""
        return self.full - self.device

    def __str__(self) -> str:
        saved, full = self.saved / 2**20, self.full / 2**20
        return f"{saved:.1f} of {full:.1f} MiB saved, {self.host / 2**20:.1f} MiB on the host, error {self.error:.2%}"


@dataclass(frozen=True)
class Sizes:
    """Bytes of one module's features."""

    full: int
    device: int
    host: int

    @classmethod
    def of(cls, features: Features, kept: list[Kept]) -> Sizes:
        """Count what was given and what is kept; on a CPU what is kept there saves only what coding does."""
        moved = [one.data.device != feature.device for one, feature in zip(kept, features, strict=True)]
        sizes = [one.nbytes for one in kept]
        device = sum(size for size, away in zip(sizes, moved, strict=True) if not away)
        return cls(sum(feature.nbytes for feature in features), device, sum(sizes) - device)


def _host(sizes: list[Sizes]) -> int:
    return sum(one.host for one in sizes)


@dataclass(frozen=True)
class Kept:
    """One tensor as it is kept: coded with a scale, or as it was."""

    data: Tensor
    scale: Tensor | None
    dtype: torch.dtype
    device: torch.device

    @property
    def nbytes(self) -> int:
        """Bytes, the scale included."""
        return self.data.nbytes + (0 if self.scale is None else self.scale.nbytes)

    def restored(self) -> Tensor:
        """Return the tensor where and as it was."""
        data = self.data.to(self.device, non_blocking=True)
        return data if self.scale is None else (data.float() * self.scale).to(self.dtype)


def _keep(feature: Tensor, code: str, host: bool) -> Kept:
    data, scale = _coded(feature, code)
    if host and data.device.type != "cpu":
        data = _moved(data)
    return Kept(data, scale, feature.dtype, feature.device)


def _coded(feature: Tensor, code: str) -> tuple[Tensor, Tensor | None]:
    """Return 8-bit values and a scale per row and channel, (B, C, 1, ...); what is no feature map is left as it is."""
    import torch

    if code == "same" or not feature.is_floating_point() or feature.dim() < 2:
        return feature, None
    largest = 127.0 if code == "int8" else torch.finfo(torch.float8_e4m3fn).max
    values = feature.float()
    scale = values.abs().amax(tuple(range(2, feature.dim())) or 1, keepdim=True).clamp_min(1e-20) / largest
    scaled = values / scale
    return (scaled.round().to(torch.int8) if code == "int8" else scaled.to(torch.float8_e4m3fn)), scale


def _moved(data: Tensor) -> Tensor:
    """Copy to host memory without waiting; whoever reads copies back on the same stream, behind this."""
    import torch

    target = torch.empty(data.shape, dtype=data.dtype, pin_memory=data.is_cuda)
    return target.copy_(data, non_blocking=data.is_cuda)


def _error(feature: Tensor, restored: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared error and the squared size, without waiting for an accelerator."""
    exact = feature.float()
    return (restored.float() - exact).square().sum(), exact.square().sum()


@fdplug.hookimpl
def fdplug_feature_caches() -> Iterator[type[FeatureCache]]:
    """Yield the cache."""
    yield Offload
