"""`fdplug.optimize`: the search as a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fdplug.checks import whole
from fdplug.optimization.answer import Answer
from fdplug.optimization.budget import Budget
from fdplug.optimization.measuring.quality import Scores
from fdplug.optimization.measuring.workbench import adapted
from fdplug.optimization.optimizer import Optimizer
from fdplug.optimization.output.progress import Clock
from fdplug.optimization.request import Request, split
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.config import GenerationConfig


def optimize(
    pipe: Any,
    prompts: Sequence[Any],
    budget: str = "2x",
    *,
    call: Callable[..., Any] | None = None,
    sampler: Any = "own",
    steps: int | None = None,
    guidance: float | None = None,
    size: int | None = None,
    seed: int = 0,
    scores: Mapping[str, Callable[[Any, list[str]], Any]] | None = None,
    maximize: str = "psnr",
    calibration: int = 8,
    held_out: int = 32,
    batch_size: int = 4,
    trials: int = 40,
    time: float | None = None,
    folder: str | Path | None = None,
) -> Answer:
    """Return the best settings within a budget, and the proof.

    ```python
    answer = fdplug.optimize(pipe, prompts, budget="2x")
    print(answer.line)
    answer.preset.save("fast.yaml")  # fdplug.propagate(pipe, preset="fast.yaml")
    ```

    First come fewer steps with every solver and choice of timesteps that fits, then what the installed plugins declare;
    the best of both are judged on prompts that neither has seen. The pipeline is left as it was.

    Args:
        pipe: any diffusers pipeline whose denoiser belongs to a registered family.
        prompts: texts, or captions; the last ones are searched on, the first ones judged on.
        budget: `1.5s` (an image), `2x`, `12calls`, `8gflops`, `psnr=32`, `SCORE=-0.01` or `lossless`.
        call: calls the pipeline as you do: `call(pipe, prompts, generator=..., num_inference_steps=...)`, with
            `guidance_scale` and so on where they are given; returns the images.
        sampler: what you use now.
        steps: what you use now; the pipeline's own default if left out.
        guidance: guidance scale; the pipeline's own default if left out.
        size: height and width in pixels; the model's own if left out.
        seed: of images and search.
        scores: functions of images (N, 3, H, W) uint8 and prompts that return N numbers, by name; more is better.
        maximize: what is to be as large as possible within a budget of cost: `psnr`, or a score.
        calibration: most prompts to search on.
        held_out: most prompts to judge on.
        batch_size: images in one call.
        trials: proposals of the search.
        time: seconds that all may take.
        folder: where all that is measured is kept, so that a search that was killed goes on.

    Raises:
        ConfigError: a setting is impossible, the settings meet the budget already, or there are too few prompts.
        PipelineError: the pipeline is propagated already.
    """
    captions = [one if isinstance(one, Caption) else Caption(place, str(one)) for place, one in enumerate(prompts)]
    searched, judged_on = split(captions, calibration, held_out)
    generation = GenerationConfig(
        sampler=sampler, steps=steps or own_steps(pipe, sampler), guidance=guidance, size=size, seed=seed
    )
    request = Request(
        generation=generation,
        budget=Budget.parse(budget),
        calibration=searched,
        held_out=judged_on,
        maximize=maximize,
        batch_size=whole("batch_size", batch_size, 1),
        trials=whole("trials", trials, 0),
    )
    return Optimizer(
        pipe,
        request,
        Scores.given(scores or {}),
        None if folder is None else Path(folder),
        None if call is None else adapted(call),
        Clock(time),
    ).run()


def own_steps(pipe: Any, sampler: Any) -> int | None:
    """Return the steps that a pipeline takes by itself; None where another sampler than its own decides."""
    if sampler != "own":
        return None
    known = inspect.signature(pipe.__call__).parameters.get("num_inference_steps")
    return known.default if known is not None and isinstance(known.default, int) else None
