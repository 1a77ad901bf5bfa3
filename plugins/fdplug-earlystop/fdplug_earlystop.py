"""Early stop of the diffusion process (Lyu et al., arXiv 2205.12524) for fdplug: a transform.

The paper stops the forward process early, at a noise level from which little is lost, and begins the reverse process
there: not with pure noise, but with the noised picture of a cheap generator. Here that generator is a pipeline in a few
steps, a folder of images, or a function; the steps before it are cut out of the scheduler, so that policies and the
ledger know of those alone that are left.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import fdplug
from fdplug.checks import number, whole
from fdplug.errors import ConfigError, PropagationError
from fdplug.patching import Patch, PatchStack
from fdplug.transforms import Transform

if TYPE_CHECKING:
    from fdplug_earlystop_priors import Asked, Counted
    from fdplug_earlystop_schedule import Cut
    from torch import Tensor

    from fdplug import Ledger

FDPLUG_CONTRACT = "1.1"
OWN = "own"


class EarlyStop(Transform):
    """Begins in the middle of a run, with a cheap picture noised to there (Early Stop, ES-DDPM).

    What the prior costs is in the ledger where it is a pipeline whose denoiser a family knows; images of a folder or a
    function are listed as uncounted.

    Args:
        strength: share of the steps that are taken after the prior, as in image-to-image.
        prior: `own`: the pipeline itself in a few steps; a hub id or a folder of another pipeline; a folder of images
            with captions (`manifest.jsonl` of `fdplug predict`, or `metadata.jsonl`); or a function of what is asked.
        steps: of a pipeline as prior.
        sampler: of a pipeline as prior, a built-in one: a name, or {name: options}; null: as it has it.
        size: height and width of a pipeline as prior, in pixels; null: those of the images.
        arguments: further arguments of a pipeline as prior, such as {guidance_scale: 1.0}.
    """

    name = "earlystop"
    changes_cost = False
    provides: ClassVar[frozenset[str]] = frozenset({"begins-with-a-picture"})
    needs: ClassVar[Mapping[str, str]] = {
        "injector:none": "what would be injected is that with which a run begins, here a noised picture and no noise",
    }
    excludes: ClassVar[Mapping[str, str]] = {
        "transform:paradigms": "parallel sampling takes the steps in turns of its own, and cannot see which are left",
    }

    def __init__(
        self,
        strength: float = 0.5,
        prior: Any = OWN,
        steps: int = 8,
        sampler: Any = None,
        size: int | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        from fdplug_earlystop_pipelines import built_in

        self.strength = number("strength", strength, 0, 1)
        if self.strength in (0, 1):
            raise ConfigError(f"strength {strength} leaves {'no step' if not strength else 'every step'}; give 0.5")
        if not (callable(prior) or (isinstance(prior, str | Path) and str(prior))):
            raise ConfigError(f"prior must be own, a hub id, a folder or a function, got {prior!r:.60}")
        self.prior = prior
        self.steps = whole("steps", steps, 1)
        self.size = None if size is None else whole("size", size, 1)
        self.arguments = dict(arguments or {})
        self._sampler = None if sampler is None else built_in(sampler)
        self._ledger: Ledger | None = None
        self._patches = PatchStack()
        self._cut: Cut | None = None
        self._forget()

    def _forget(self) -> None:
        self._frame: Any = None  # the pipeline's call that goes on, until its latents are there
        self._call: dict[str, Any] = {}
        self._waiting: tuple[Tensor, Mapping[str, Any]] | None = None  # latents that were prepared before the steps
        self._begun: Tensor | None = None  # the latents with which the run begins
        self._taken = 0
        self._ready = False  # whether the steps are cut and no latents were prepared for them

    def bind(self, ledger: Ledger) -> None:
        """Keep the ledger, to write down what the prior costs."""
        self._ledger = ledger

    def apply(self, pipe: Any) -> None:
        """Patch the pipeline's latents and words, and its scheduler's steps.

        Raises:
            ConfigError: the pipeline prepares no latents, or begins with a picture already.
        """
        from fdplug_earlystop_pipelines import check_pipeline

        check_pipeline(pipe)
        self._pipe, self._scheduler = pipe, pipe.scheduler
        self._prior = self._made(pipe)
        self._forget()
        patches = [
            Patch(pipe, "prepare_latents", self._around_prepare_latents),
            Patch(pipe, "progress_bar", self._around_progress_bar),
            Patch(pipe.scheduler, "set_timesteps", self._around_set_timesteps),
            Patch(pipe.scheduler, "step", self._around_step),
        ]
        if callable(getattr(pipe, "encode_prompt", None)):
            patches.append(Patch(pipe, "encode_prompt", self._around_encode_prompt))
        self._patches.apply(patches)

    def undo(self, pipe: Any) -> None:
        """Take every patch off, and give the scheduler its whole steps back."""
        self._patches.remove()
        if self._cut is not None:
            self._cut.restore()
            self._cut = None
        self._forget()

    def _made(self, pipe: Any) -> Counted:
        from fdplug_earlystop_pipelines import OfPipeline, loaded, twin
        from fdplug_earlystop_priors import Counted, OfFolder

        if callable(self.prior):
            return Counted(self.prior)
        own, folder = self.prior == OWN, Path(self.prior).expanduser()
        if not own and folder.is_dir() and not (folder / "model_index.json").is_file():
            return OfFolder(folder)
        build = functools.partial(twin, pipe, ("prepare_latents", "encode_prompt"))
        if not own:
            other = loaded(str(folder if folder.is_dir() else self.prior), pipe)
            build = functools.partial(twin, other, ())
        return OfPipeline(build, own, self.steps, self._sampler, self.size, self.arguments)

    def _around_encode_prompt(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._listen()
        return original(*args, **kwargs)

    def _listen(self) -> None:
        """Learn what the pipeline is called with, as early in a call as it can be."""
        from fdplug_earlystop_pipelines import call_of

        found = call_of(self._pipe)
        if found is not None and found[0] is not self._frame:
            self._frame, self._call = found

    def _around_progress_bar(self, original: Callable[..., Any], iterable: Any = None, total: int | None = None) -> Any:
        """Let the bar end with the steps that are left."""
        if total is not None and self._cut is not None:
            total = round(total * self._cut.left / self._cut.whole)
        return original(iterable=iterable, total=total)

    def _around_set_timesteps(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        from fdplug_earlystop_schedule import Cut, held

        self._listen()
        before = held(self._scheduler)
        result = original(*args, **kwargs)
        self._cut = Cut(self._scheduler, before, self.strength)
        self._begun, self._taken, self._ready = None, 0, True
        if self._waiting is not None:
            self._fill(*self._waiting)
        return result

    def _around_prepare_latents(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._pipe.scheduler is not self._scheduler:
            raise PropagationError("the pipeline's scheduler was exchanged: switch early stop off and on again")
        self._listen()
        bound = inspect.signature(original).bind(*args, **kwargs).arguments
        result = original(*args, **kwargs)
        several = isinstance(result, tuple)
        latents = (result[0] if several else result).clone()  # what the user gave is not written to
        if self._ready:
            self._fill(latents, bound)
        else:
            self._waiting = latents, bound
        return (latents, *result[1:]) if several else latents

    def _fill(self, latents: Tensor, asked: Mapping[str, Any]) -> None:
        """Put the noised prior in place of the noise; the pipeline holds this very tensor."""
        from fdplug_earlystop_latents import latents_of
        from fdplug_earlystop_priors import Asked, prompts_of
        from fdplug_earlystop_schedule import noised

        self._waiting, self._ready, self._frame = None, False, None
        noise = latents / float(getattr(self._scheduler, "init_noise_sigma", 1.0))
        height, width = asked.get("height"), asked.get("width")
        prior = self._run(Asked(prompts_of(self._call, len(noise)), noise, height, width, self._call))
        clean = latents_of(self._pipe, prior, noise, height, width)
        latents.copy_(noised(self._scheduler, clean, noise))
        self._begun = latents.clone()

    def _run(self, asked: Asked) -> Any:
        if self._ledger is None:
            return self._prior(asked)
        with self._ledger.paused():
            return self._prior(asked)

    def _around_step(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._taken:
            self._begin(inspect.signature(original).bind(*args, **kwargs).arguments["sample"])
        self._taken += 1
        return original(*args, **kwargs)

    def _begin(self, sample: Tensor) -> None:
        """Make sure that the run begins with the prior; write down what that cost."""
        import torch

        if self._begun is None or self._begun.shape != sample.shape or not torch.equal(self._begun.to(sample), sample):
            raise PropagationError(
                f"{type(self._pipe).__name__} does not begin with the latents that it prepared, or a loop of your own "
                "prepared none: early stop cannot put the noised prior there; leave it out"
            )
        self._begun = None
        if self._ledger is None:
            return
        passes = self._prior.passes
        if passes is None:
            self._ledger.uncounted += (f"what the prior took: {self._prior.said}",)
            return
        for one in passes:
            self._ledger.add("prior", one.network, one.arguments, one.rows)


@fdplug.hookimpl
def fdplug_transforms() -> Iterator[type[Transform]]:
    """Yield the transform."""
    yield EarlyStop
