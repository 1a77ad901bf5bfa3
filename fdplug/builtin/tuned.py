"""What `fdplug tune` writes: key steps, forecasts and prior noise; and the plugins that read its file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fdplug import checks
from fdplug.builtin.span_forecast import SpanForecast
from fdplug.caches import FeatureCache
from fdplug.errors import ConfigError, PropagationError
from fdplug.errors.wording import shown
from fdplug.files.json_text import read_json
from fdplug.files.schema import OBJECT, TEXT, ListOf, Object, OrNone, check, number, one_of, whole
from fdplug.files.source import Source
from fdplug.files.writing import write_text
from fdplug.hooks import hookimpl
from fdplug.injectors import NoiseInjector, PriorNoise
from fdplug.policies import KeyStepPolicy, Schedule
from fdplug.profiling.fingerprint import fingerprint
from fdplug.samplers import Sampler
from fdplug.samplers.solvers import PLACED

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The best key steps of one number.

    Attributes:
        keys: the key steps, in order.
        error: mean squared change of the final sample that the calibration expects, by first order.
        gflops: per image.
        measured: the same change as measured on the calibration captions; None if it was not.
        psnr: measured there against the un-accelerated images, in dB; None if it was not, or nothing changed.
        seconds: per image, measured there; None if it was not.
        shares: per key step, the share of the linear forecast in its span; None if features are to be reused.
    """

    keys: tuple[int, ...]
    error: float
    gflops: float
    measured: float | None = None
    psnr: float | None = None
    seconds: float | None = None
    shares: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The best prior noise for the chosen key steps: its share, its noise time, the error with it and without."""

    alpha: float
    tau: float
    error: float
    without: float


@dataclass(frozen=True, kw_only=True)
class TunedSchedule:
    """What was tuned, for what.

    Attributes:
        model: name of the model, for people.
        denoiser: fingerprint of the denoiser, see `fingerprint`.
        timesteps: the scheduler's timesteps.
        chosen: the number of key steps that was asked for.
        curve: the best choice for 1, 2, ..., T key steps; GFLOPs per image.
        calibration: prompts, seed, guidance and so on, for people.
        noise: what `--injector tune` found.
    """

    model: str
    denoiser: str
    timesteps: tuple[float, ...]
    chosen: int
    curve: tuple[Choice, ...]
    calibration: dict[str, Any]
    noise: Noise | None = None

    def save(self, path: str | Path) -> None:
        """Write the file as JSON, whole or not at all."""
        write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", Path(path))

    @classmethod
    def load(cls, path: str | Path) -> TunedSchedule:
        """Read a file that `save` wrote.

        Raises:
            ConfigError: it cannot be read, is of another format, or its key steps are none of the run it is for.
        """
        source = Source(Path(path), "tuned schedule", "write one with `fdplug tune`", ConfigError)
        held = check(source, FORM, read_json(source))
        _check_curve(source, held)
        curve = tuple(_choice(one) for one in held.pop("curve"))
        noise = held.pop("noise", None)
        timesteps = tuple(held.pop("timesteps"))
        del held["format"]
        return cls(curve=curve, timesteps=timesteps, noise=None if noise is None else Noise(**noise), **held)


_CHOICE = Object(
    {"keys": ListOf(whole()), "error": number(), "gflops": number(0)},
    {**{name: OrNone(number()) for name in ("measured", "psnr", "seconds")}, "shares": OrNone(ListOf(number()))},
    closed=True,
)
FORM = Object(
    {
        "format": one_of(FORMAT),
        "model": TEXT,
        "denoiser": TEXT,
        "timesteps": ListOf(number(), least=1),
        "chosen": whole(1),
        "curve": ListOf(_CHOICE, least=1),
        "calibration": OBJECT,
    },
    {
        "noise": OrNone(
            Object({"alpha": number(0), "tau": number(), "error": number(), "without": number()}, closed=True)
        )
    },
    closed=True,
)


def _check_curve(source: Source, held: dict[str, Any]) -> None:
    """Refuse key steps that are not 1, 2, ..., T different ones of a run of T steps."""
    steps, curve = len(held["timesteps"]), held["curve"]
    if len(curve) != steps or held["chosen"] > steps:
        raise source.refused(f"it has {steps} timesteps, {len(curve)} choices and chose {held['chosen']} key steps")
    for count, one in enumerate(curve, 1):
        keys = one["keys"]
        if len(keys) != count or keys != sorted(set(keys)) or keys[-1] >= steps:
            raise source.refused(
                f"curve[{count - 1}].keys is {shown(keys)}, {count} of the steps 0 to {steps - 1} are needed"
            )


def _choice(held: dict[str, Any]) -> Choice:
    shares = held.pop("shares", None)
    return Choice(keys=tuple(held.pop("keys")), shares=None if shares is None else tuple(shares), **held)


class Tuned(KeyStepPolicy):
    """The key steps that `fdplug tune` found for a model, a sampler and a number of steps.

    Args:
        file: what `fdplug tune` wrote.
        keys: number of key steps; the file's own choice if left out.
        check: refuse a denoiser other than the one that was tuned.
    """

    name = "tuned"

    def __init__(self, file: str, keys: int | None = None, check: bool = True) -> None:
        self.schedule = TunedSchedule.load(_file_name(file))
        self.file, self.check = file, check
        self.count = _count(self.schedule, file, keys)

    def prepare(self, denoiser: Any) -> None:
        """Refuse another denoiser."""
        if self.check and fingerprint(denoiser) != self.schedule.denoiser:
            raise ConfigError(
                f"{self.file} was tuned for another denoiser, that of '{self.schedule.model}': tune for this one, "
                "or set check to false"
            )

    def key_steps(self, schedule: Schedule) -> frozenset[int]:
        """Return the tuned key steps; raise `PropagationError` for other timesteps than the tuned ones."""
        if not _close(schedule.timesteps, self.schedule.timesteps):
            tuned, given = len(self.schedule.timesteps), schedule.num_steps
            raise PropagationError(
                f"{self.file} was tuned for another sampler or step count: {tuned} steps from "
                f"{self.schedule.timesteps[0]:g}, this run has {given} from {schedule.timesteps[0]:g}; tune again"
            )
        return frozenset(self.schedule.curve[self.count - 1].keys)


class TunedForecast(SpanForecast):
    """Features forecast from the last two key steps, in every span by as much as `fdplug tune --part trunk` found best.

    Between reuse (share 0) and the linear forecast in noise time (share 1); with policy `tuned` of the same file.

    Args:
        file: what `fdplug tune` wrote.
        keys: number of key steps; the file's own choice if left out.
    """

    name = "tuned"

    def __init__(self, file: str, keys: int | None = None) -> None:
        tuned = TunedSchedule.load(_file_name(file))
        chosen = tuned.curve[_count(tuned, file, keys) - 1]
        if chosen.shares is None:
            raise ConfigError(f"{file} holds no forecast; tune again with --part trunk, or take cache reuse")
        super().__init__(dict(zip(chosen.keys, chosen.shares, strict=True)))

    @classmethod
    def rescaled(cls, options: Mapping[str, Any], steps: int, wanted: int) -> Mapping[str, Any] | None:
        """Return None: the file is for one number of steps."""
        return None


def _count(tuned: TunedSchedule, file: str, keys: int | None) -> int:
    count = tuned.chosen if keys is None else checks.whole("keys", keys, 1)
    if count > len(tuned.curve):
        raise ConfigError(f"keys is {count}, but {file} is for a run of {len(tuned.curve)} steps")
    return count


class TunedNoise(PriorNoise):
    """The prior noise that `fdplug tune --injector tune` found for its key steps.

    Args:
        file: what `fdplug tune` wrote.
    """

    name = "tuned"

    def __init__(self, file: str) -> None:
        noise = TunedSchedule.load(_file_name(file)).noise
        if noise is None:
            raise ConfigError(f"{file} holds no prior noise; tune again with --injector tune")
        super().__init__(noise.alpha, noise.tau)


class TunedTimesteps(Sampler):
    """Fewer steps at the timesteps that `fdplug tune` found: those of the key steps, as a solver's own.

    Nothing is replayed. With `euler` it is what DDIM with trunk and cache `reuse` is at the same key steps.

    Args:
        file: what `fdplug tune --part trunk` wrote; a run of as many steps as it has key steps is asked for by its
            number of steps.
        solver: `euler`, `dpm-solver++` or `dpm-solver++1`, the solvers that take timesteps of one's own.
        leave_out: how many steps at the end are not taken; the last one that is taken ends where the run would have.
    """

    name = "tuned"
    scheduler = PLACED["euler"].scheduler

    def __init__(self, file: str, solver: str = "euler", leave_out: int = 0) -> None:
        super().__init__(leave_out)
        self.file, self.schedule = file, TunedSchedule.load(_file_name(file))
        self.solver = checks.choice("solver", solver, tuple(PLACED))
        self.steps = self.schedule.chosen  # type: ignore[misc]

    def build(self, config: Mapping[str, Any]) -> Any:
        """Return the solver's scheduler."""
        return PLACED[self.solver]().build(config)

    def arguments(self, steps: int) -> dict[str, Any]:
        """Return the timesteps of the best `steps` key steps, noisiest first."""
        keys = self.schedule.curve[_count(self.schedule, self.file, steps) - 1].keys
        return {"timesteps": [round(self.schedule.timesteps[key]) for key in keys]}


def _file_name(given: Any) -> str | Path:
    if not isinstance(given, str | Path):
        raise ConfigError(f"file must be the name of a file that `fdplug tune` wrote, got {shown(given)}")
    return given


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= 1e-3 * max(1, abs(a)) for a, b in zip(one, other, strict=True))


@hookimpl
def fdplug_key_step_policies() -> Iterator[type[KeyStepPolicy]]:
    """Yield the policy."""
    yield Tuned


@hookimpl
def fdplug_feature_caches() -> Iterator[type[FeatureCache]]:
    """Yield the cache."""
    yield TunedForecast


@hookimpl
def fdplug_noise_injectors() -> Iterator[type[NoiseInjector]]:
    """Yield the injector."""
    yield TunedNoise


@hookimpl
def fdplug_samplers() -> Iterator[type[Sampler]]:
    """Yield the sampler."""
    yield TunedTimesteps
