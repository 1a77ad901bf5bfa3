"""Statistics of a denoiser's features, taken while a pipeline runs. No features are kept but those of the last step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from fdplug.analysis.moments import RunningMoments
from fdplug.analysis.pictures import Principal
from fdplug.analysis.ranges import Ranges
from fdplug.denoisers.base import plain
from fdplug.denoisers.blocks import Block, entering, find_blocks, labels, listening, main_tensor
from fdplug.errors import PropagationError
from fdplug.lookup import find_family
from fdplug.patching import Patch


class Features:
    """What is known about the features of every block at every step; `watch` a pipeline to fill it.

    A row is one row of the denoiser's batch: under classifier-free guidance an image makes two. The features are what a
    block hands to the next one: the outputs of down, middle and up blocks, or of transformer blocks.

    | measure | of a row at step s > 0 |
    |---|---|
    | `mse` | mean square of the difference between the features of steps s and s - 1 (paper, equation 2) |
    | `relative` | the same, divided by the mean square of the features of step s - 1 |
    | `fnorm` | Frobenius norm of the map that is left after the mean over channels; also at step 0 (paper, Figure 3b) |

    Attributes:
        blocks: in the order in which they run.
        labels: by block name, such as `E64`; known after the first run.
        timesteps: of the scheduler.
        measured: block name, step, measure -> moments over rows.
        over_steps: block name -> moments, over rows, of the standard deviation over steps of a row's `fnorm`.
        images: how many were generated.
        ranges: what entered the linear layers of the blocks.
    """

    def __init__(self, pictures: Principal | None = None) -> None:
        """Know nothing yet.

        Args:
            pictures: draws the principal components of some features.
        """
        self.pictures = pictures
        self.blocks: list[Block] = []
        self.labels: dict[str, str] = {}
        self.timesteps: tuple[float, ...] = ()
        self.measured: dict[tuple[str, int, str], RunningMoments] = defaultdict(RunningMoments)
        self.over_steps: dict[str, RunningMoments] = defaultdict(RunningMoments)
        self.images = 0
        self.ranges = Ranges()
        self._entered: dict[str, tuple[int, ...]] = {}

    @contextmanager
    def watch(self, pipe: Any, images: int) -> Iterator[None]:
        """Take in what the denoiser of `pipe` does in one run of `images` images.

        Raises:
            UnsupportedDenoiserError: no family knows the denoiser.
            PropagationError: the scheduler took no step, or other steps than in earlier runs.
        """
        family, denoiser = find_family(pipe)
        network = plain(denoiser)
        self.blocks = self.blocks or find_blocks(network, family.part(network, "encoder"))
        run = _Run(self, images, family.sample)
        patch = Patch(pipe.scheduler, "step", run.around_step)
        before = network.register_forward_pre_hook(run.begin_call, with_kwargs=True)
        patch.apply()
        try:
            names = [block.name for block in self.blocks]
            with listening(network, names, run.hear), self.ranges.listen(network, self.blocks, lambda: run.step):
                yield
        finally:
            patch.remove()
            before.remove()
        self._finish(run, pipe.scheduler.timesteps)

    def _finish(self, run: _Run, timesteps: Tensor) -> None:
        if run.step == 0:
            raise PropagationError("the scheduler took no step in this run: there is nothing to analyze")
        found = tuple(float(one) for one in timesteps[: run.step])
        if self.timesteps and self.timesteps != found:
            raise PropagationError(f"runs differ: {len(self.timesteps)} steps before, {len(found)} now, or other ones")
        self.timesteps, self._entered = found, run.entered
        order = list(run.entered)
        ran = [block for block in self.blocks if block.name in run.entered]
        self.blocks = sorted(ran, key=lambda block: order.index(block.name))
        self.labels = labels(self.blocks, run.entered)
        self.images += run.images
        for name, norms in run.norms.items():
            self.over_steps[name].add(_spread(norms))

    def half(self, half: str) -> list[Block]:
        """The blocks of one half."""
        return [block for block in self.blocks if block.half == half]

    def mean(self, name: str, step: int, measure: str) -> float:
        """The mean of a measure over rows."""
        return self.measured[name, step, measure].mean


def _spread(norms: list[Tensor]) -> list[float]:
    """Return, per row of all calls, the standard deviation of its norms over steps."""
    return torch.stack(norms).std(0, correction=0).tolist()


class _Run:
    """One run of a pipeline: its step, and the features of the step before."""

    def __init__(self, owner: Features, images: int, sample: str) -> None:
        self.owner, self.images, self.sample = owner, images, sample
        self.step = 0
        self.call = 0  # some pipelines call the denoiser twice a step instead of stacking a guided batch
        self.entered: dict[str, tuple[int, ...]] = {}
        self.norms: dict[str, list[Tensor]] = defaultdict(list)
        self._last: dict[tuple[str, int], Tensor] = {}
        self._norms: dict[str, list[Tensor]] = defaultdict(list)
        self._size: tuple[int, int] | None = None

    def around_step(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Count a step of the scheduler."""
        for name, norms in self._norms.items():
            self.norms[name].append(torch.cat(norms))
        self._norms.clear()
        self.step, self.call = self.step + 1, 0
        return original(*args, **kwargs)

    def begin_call(self, module: Any, args: Any, kwargs: Any) -> None:
        """Count a call of the denoiser."""
        sample = kwargs.get(self.sample, args[0] if args else None)
        self._size = (sample.shape[-2], sample.shape[-1]) if isinstance(sample, Tensor) and sample.ndim > 3 else None
        self.call += 1

    def hear(self, name: str, args: Any, kwargs: Any, output: Any) -> None:
        """Measure the features that a block hands on."""
        features = main_tensor(output).detach()
        self.entered.setdefault(name, tuple(entering(args, kwargs).shape))
        key = (name, self.call)
        last = self._last.get(key)
        if last is not None and last.shape == features.shape:
            self._compare(name, features.float(), last.float())
        norms = frobenius(features.float())
        self._norms[name].append(norms)
        self._note(name, "fnorm", norms)
        self._last[key] = features
        if self.owner.pictures is not None and not self.owner.images:
            self.owner.pictures.draw(name, self.step, features, self.images, self._size)

    def _compare(self, name: str, now: Tensor, before: Tensor) -> None:
        change = (now - before).square().flatten(1).mean(1)
        self._note(name, "mse", change)
        self._note(name, "relative", change / before.square().flatten(1).mean(1).clamp(min=1e-12))

    def _note(self, name: str, measure: str, rows: Tensor) -> None:
        self.owner.measured[name, self.step, measure].add(rows.tolist())


def frobenius(features: Tensor) -> Tensor:
    """Return, per row, the Frobenius norm of the mean over channels.

    Args:
        features: (B, C, H, W), with frames (B, C, F, H, W), or tokens (B, N, C).
    """
    return features.mean(-1 if features.ndim == 3 else 1).flatten(1).norm(dim=1)
