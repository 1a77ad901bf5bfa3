"""`fdplug.optimize` on a real tiny pipeline: it leaves it as it was, and its presets do what was measured."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug import registry
from fdplug.errors import PipelineError
from fdplug.optimization import optimizer
from fdplug.optimization.measuring.price import Prices, Replay
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.testing import latents
from tests.optimization.conftest import few_samplers

PROMPTS = ["a red circle", "a blue square", "green", "small", "a", "red on gray"]
SMALL = {"steps": 4, "calibration": 2, "held_out": 4, "trials": 3, "batch_size": 2}


PRICES = Prices(0.01, 0.01, 1.0, {f'"{part}"': Replay(0.1, ((2, 0.011), (8, 0.02))) for part in ("trunk", "encoder")})


@pytest.fixture
def few(monkeypatch):
    """Offer three samplers, and take prices from a table."""
    few_samplers(monkeypatch)
    monkeypatch.setattr(optimizer, "measured", lambda *given, **more: PRICES)


def state(pipe):
    """What a search must not change: the scheduler, everything on the denoiser's instances, and the images."""
    modules = {name: set(vars(module)) for name, module in pipe.unet.named_modules()}
    return id(pipe.scheduler), dict(pipe.scheduler.config), vars(pipe.scheduler).keys(), modules


def test_it_answers_and_leaves_the_pipeline_as_it_was(pipe, few, tmp_path):
    image = latents(pipe)
    before = state(pipe)
    answer = fdplug.optimize(pipe, PROMPTS, "2calls", **SMALL)
    assert state(pipe) == before
    assert torch.equal(latents(pipe), image)
    row = answer.verdict.row
    assert row.price.calls <= 2
    path = tmp_path / "fast.yaml"
    answer.preset.save(path)
    captions = [Caption(number, text) for number, text in enumerate(PROMPTS[:2])]
    generation = GenerationConfig(sampler=row.candidate.sampler, steps=row.candidate.steps)
    own, pipe.scheduler = pipe.scheduler, registry.build("sampler", row.candidate.sampler).fit(pipe.scheduler)
    by_hand = run(pipe, captions, generation, row.candidate.config).images
    pipe.scheduler = own
    with fdplug.propagate(pipe, preset=path) as on:
        assert on.arguments["num_inference_steps"] == row.candidate.steps
        assert torch.equal(run(pipe, captions, generation, on).images, by_hand)


@pytest.mark.parametrize("after", [1, 9])
def test_an_exception_in_the_middle_leaves_nothing_behind(pipe, few, after):
    calls = []

    def failing(pipe, prompts, generator, **arguments):
        calls.append(arguments)
        if len(calls) >= after:
            raise KeyboardInterrupt
        return pipe(prompts, generator=generator, output_type="pt", **arguments)

    before = state(pipe)
    with pytest.raises(KeyboardInterrupt):
        fdplug.optimize(pipe, PROMPTS, "2x", call=failing, **SMALL)
    after_all = state(pipe)
    assert after_all[:2] == before[:2]
    assert after_all[3] == before[3]


def test_a_call_of_ones_own_makes_every_image(pipe, few):
    seen = []

    def call(pipe, prompts, generator, **arguments):
        seen.append((tuple(prompts), len(generator), arguments["guidance_scale"]))
        return pipe(prompts, generator=generator, **arguments).images  # PIL images

    answer = fdplug.optimize(pipe, PROMPTS, "2calls", call=call, guidance=3.0, **{**SMALL, "trials": 0})
    assert {guidance for _, _, guidance in seen} == {3.0}
    assert {prompt for prompts, _, _ in seen for prompt in prompts} == set(PROMPTS)
    assert all(len(prompts) == count for prompts, count, _ in seen)
    assert answer.preset.settings.guidance == 3.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            torch.zeros(1, 3, 4, 4),
            r"the call returned images of shape \(1, 3, 4, 4\) for 2 prompts; one image each is needed",
        ),
        (torch.zeros(2, 4, 4, 4), r"the call returned images of shape \(2, 4, 4, 4\) for 2 prompts"),
        (2 * torch.ones(2, 3, 4, 4), r"the call returned images from 2 to 2; give .* as pipelines return with"),
    ],
)
def test_what_is_no_image_is_refused(pipe, few, given, message):
    """Such as latents, and pictures from -1 to 1."""
    with pytest.raises(PipelineError, match=message):
        fdplug.optimize(pipe, PROMPTS, call=lambda *args, **more: given, **SMALL)


def test_a_propagated_pipeline_is_refused(pipe):
    with (
        fdplug.propagate(pipe),
        pytest.raises(PipelineError, match=r"propagated already: call remove\(\) first"),
    ):
        fdplug.optimize(pipe, PROMPTS)
