"""Parallel sampling (ParaDiGMS, Shih et al., arXiv 2305.16317) for fdplug: a transform.

A window of steps is guessed, evaluated in one batch, and corrected by Picard iteration until the guesses agree with
what follows from them. The pipeline's own loop drives it: every turn of the loop is one iteration instead of one step.
Each iteration makes at least one more step exact, so that the loop is never too short; once the last sample is reached,
the remaining turns cost nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import fdplug
from fdplug.checks import number, whole
from fdplug.errors import ConfigError, PropagationError
from fdplug.patching import Patch, PatchStack, call_patches
from fdplug.transforms import Transform

if TYPE_CHECKING:
    from torch import Tensor

    from fdplug import Ledger
    from fdplug.denoisers import DenoiserFamily

FDPLUG_CONTRACT = "1.0"
SOLVERS = ("DDIMScheduler", "DDPMScheduler")


class ParallelSampling(Transform):
    """Evaluates a window of steps in one batch and corrects it by Picard iteration (ParaDiGMS).

    Faster only where a batch costs little more than one row; it evaluates the denoiser more often than serial sampling.

    Args:
        window: steps in one batch; the paper's 10.
        tolerance: error that counts as agreement, as a share of the scheduler's own noise; the paper's 0.1. 0 gives the
            samples of the serial solver.
    """

    name = "paradigms"
    changes_cost = False
    needs: ClassVar[Mapping[str, str]] = {
        "policy:all": "steps are evaluated many times and not in order, so that no key step precedes the others",
        "injector:none": "samples are corrected from step to step, so that injected noise would be lost",
    }
    excludes: ClassVar[Mapping[str, str]] = {
        "decoding:split": "its window is a batch of its own, whose rows are not those of a span",
        "rows-left-out": "its window holds the rows of several steps, of which guidance would leave some out",
    }

    def __init__(self, window: int = 10, tolerance: float = 0.1) -> None:
        self.window = whole("window", window, 1)
        self.tolerance = number("tolerance", tolerance, 0)
        self.iterations = 0
        self.evaluations = 0
        self._ledger: Ledger | None = None
        self._picard: Picard | None = None
        self._patches = PatchStack()

    def bind(self, ledger: Ledger) -> None:
        """Keep the ledger, to say how many rows run."""
        self._ledger = ledger

    def apply(self, pipe: Any) -> None:
        """Patch the denoiser and the scheduler.

        Raises:
            ConfigError: the scheduler is none of the one-step solvers that keep no state.
        """
        from fdplug.pipeline import find_family

        if type(pipe.scheduler).__name__ not in SOLVERS:
            raise ConfigError(
                f"parallel sampling needs a solver that keeps no state, {' or '.join(SOLVERS)}; "
                f"the pipeline has {type(pipe.scheduler).__name__}, take sampler ddim or ddpm"
            )
        self._family, network = find_family(pipe)
        self._forward, self._pipe, self._scheduler = network.forward, pipe, pipe.scheduler
        self._picard = None
        self._patches.apply(
            [
                *call_patches(network, self._around_denoiser),
                Patch(pipe.scheduler, "set_timesteps", self._around_set_timesteps),
                Patch(pipe.scheduler, "step", self._around_step),
            ]
        )

    def undo(self, pipe: Any) -> None:
        """Take every patch off."""
        self._patches.remove()
        self._picard = None
        self._count(1)

    @property
    def report(self) -> str:
        """The last run in one line."""
        return f"{self.iterations} iterations, {self.evaluations} evaluations"

    def _count(self, repeats: int) -> None:
        if self._ledger is not None:
            self._ledger.repeats = repeats

    def _around_set_timesteps(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        self._picard, self.iterations, self.evaluations = Picard(self), 0, 0
        self._count(1)
        return result

    def _around_denoiser(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        picard = self._picard
        if picard is None:
            return original(*args, **kwargs)
        if self._pipe.scheduler is not self._scheduler:
            raise PropagationError("the pipeline's scheduler was exchanged: switch parallel sampling off and on again")
        arguments = dict(inspect.signature(self._forward).bind(*args, **kwargs).arguments)
        return picard.evaluate(original, arguments, self._family)

    def _around_step(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._picard is None:
            return original(*args, **kwargs)
        bound = inspect.signature(original).bind(*args, **kwargs).arguments
        picard = self._picard
        result = picard.step(original, **{**bound.pop("kwargs", {}), **bound})
        if picard.turns == 0:
            self._picard = None
            self._count(1)
        return result

    def counted(self, steps: int) -> None:
        """Note that one iteration evaluated this many steps; none once the run has converged."""
        self.iterations += 1 if steps else 0
        self.evaluations += steps
        self._count(steps)


class Picard:
    """One run: a window of samples, from the last one that is settled on."""

    def __init__(self, settings: ParallelSampling) -> None:
        self._settings = settings
        self._scheduler = settings._scheduler
        self._samples: list[Tensor] = []
        self._states: list[Any] = []
        self._begin = -1
        self._groups = 0
        self._output: Any = None
        self._asked = False
        self.turns = -1

    @property
    def _window(self) -> range:
        """The steps whose results are guessed: one sample goes into each, one comes out of the last."""
        return range(self._begin, min(self._begin + self._settings.window, len(self._timesteps)))

    def evaluate(self, original: Callable[..., Any], arguments: dict[str, Any], family: DenoiserFamily) -> Any:
        """Call the denoiser for the whole window; the first call of a run is left as it is, to learn the batch."""
        import torch

        if self._asked:
            raise PropagationError(
                "this pipeline calls its denoiser twice per step: parallel sampling cannot follow it"
            )
        self._asked = True
        if self._begin < 0:
            self._start(arguments, family)
            self._settings.counted(1)
            return original(**arguments)
        steps = self._window
        self._settings.counted(len(steps))
        if steps:
            values = self._timesteps[steps.start : steps.stop]
            spread = {
                name: self._spread(value, len(steps))
                for name, value in arguments.items()
                if name in (*family.conditioning, *family.batch_arguments)
            }
            times = family.timesteps(values, arguments[family.timestep], self._samples[0].shape[0])
            spread[family.timestep] = times.repeat(self._groups)
            window = torch.cat(self._samples[: len(steps)])
            spread[family.sample] = torch.cat([window] * self._groups)
            self._output = original(**{**arguments, **spread})
        return self._output

    def _start(self, arguments: dict[str, Any], family: DenoiserFamily) -> None:
        self._timesteps = self._scheduler.timesteps
        self._rows = arguments[family.sample].shape[0]
        given = float(_first(arguments[family.timestep]))
        self._begin = [float(one) for one in self._timesteps].index(given)
        self.turns = len(self._timesteps) - self._begin

    def _spread(self, value: Any, times: int) -> Any:
        """Repeat conditioning, guidance group by guidance group: (G * B, ...) to (G * times * B, ...)."""
        from fdplug import trees

        def repeat(tensor: Tensor) -> Tensor:
            if tensor.dim() == 0 or tensor.shape[0] != self._rows:
                return tensor
            grouped = tensor.unflatten(0, (self._groups, 1, -1))
            return grouped.expand(-1, times, *grouped.shape[2:]).flatten(0, 2)

        return trees.map_tensors(repeat, value)

    def step(
        self, original: Callable[..., Any], model_output: Tensor, timestep: Any, sample: Tensor, **rest: Any
    ) -> Any:
        """Correct the window, settle on what agrees, and return the last settled sample, (B, ...)."""
        self._asked = False
        self.turns -= 1
        if not self._samples:
            self._groups = self._rows // sample.shape[0]
            self._samples = [sample]
        steps = self._window
        if steps:
            noises = model_output.chunk(max(1, model_output.shape[0] // sample.shape[0]))
            steps = steps[: len(noises)]
            results = [self._one(original, step, noise, rest) for step, noise in zip(steps, noises, strict=True)]
            self._slide(self._corrected(results), steps)
        return _like(self._last, self._samples[0])

    def _one(self, original: Callable[..., Any], step: int, noise: Tensor, rest: dict[str, Any]) -> Tensor:
        """Take one step of the solver; the noise that it draws is that which serial sampling would draw, every time."""
        index = step - self._begin
        generators = _generators(rest.get("generator"))
        if step < len(self._states):
            for generator, state in zip(generators, self._states[step], strict=True):
                generator.set_state(state)
        else:
            self._states += [[one.get_state() for one in generators] for _ in range(step - len(self._states) + 1)]
        self._last = original(noise, self._timesteps[step], self._samples[index], **rest)
        return self._last[0]

    def _corrected(self, results: list[Tensor]) -> list[Tensor]:
        """Picard: what follows from the first sample by adding up every step's own change."""
        corrected = [results[0]]
        for index in range(1, len(results)):
            corrected.append(corrected[-1] + (results[index] - self._samples[index]))
        return corrected

    def _slide(self, corrected: list[Tensor], steps: range) -> None:
        """Move the window behind the samples that agree with the guess; guess new ones as the last known one."""
        guessed = self._samples[1 : len(corrected) + 1]
        agreed = 1
        if len(guessed) == len(corrected) > 1:
            errors = [float((new - old).square().mean()) for new, old in zip(corrected, guessed, strict=True)]
            limits = [self._settings.tolerance**2 * variance for variance in self._variances(steps)]
            wrong = [index for index, error in enumerate(errors) if error > limits[index]]
            agreed = max(1, wrong[0]) if wrong else len(corrected)
        self._begin += agreed
        known = corrected[agreed - 1 :]
        missing = len(self._window) + 1 - len(known)
        self._samples = known + [known[-1]] * max(0, missing)

    def _variances(self, steps: range) -> list[float]:
        """The variance of the noise that DDPM adds at each step, on which errors are measured."""
        import torch

        share = torch.as_tensor(self._scheduler.alphas_cumprod).double().cpu()
        last = min(steps.stop, len(self._timesteps) - 1)
        kept = [float(share[int(self._timesteps[step])]) for step in (*steps, last)]
        found = [(1 - new) / (1 - old) * (1 - old / new) for old, new in pairwise(kept)]
        return [one if one > 0 else max(*found, 1e-12) for one in found]


def _first(given: Any) -> Any:
    """Return the first of the timesteps that a denoiser is given."""
    return given.flatten()[0] if hasattr(given, "flatten") else given


def _generators(given: Any) -> list[Any]:
    """Return the generators that a scheduler draws from; torch's own where it is given none."""
    import torch

    if given is None:
        return [torch.default_generator]
    return list(given) if isinstance(given, list | tuple) else [given]


def _like(result: Any, sample: Tensor) -> Any:
    """Return a scheduler's result with another sample."""
    if isinstance(result, tuple):
        return (sample, *result[1:])
    result["prev_sample"] = sample
    return result


@fdplug.hookimpl
def fdplug_transforms() -> Iterator[type[Transform]]:
    """Yield the transform."""
    yield ParallelSampling
