"""Seeds, batches, timing and progress of one pipeline call."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest
import torch

from fdplug import registry
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError, FdplugWarning
from fdplug.predict import Caption
from fdplug.predict.data.seeds import generators, seed_of
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import call_pipeline, check_timesteps, run, to_uint8
from fdplug.predict.generation.progress import StepBar
from fdplug.profiling.timing import DenoiserTimer
from tests.predict.conftest import WORDS

CAPTIONS = [
    Caption(7 * index + 3, text) for index, text in enumerate((*WORDS, "a", "a small square", "a green circle"))
]
LOOK = GenerationConfig(steps=6, guidance=4.0, seed=5)
UNIFORM = PropagationConfig(policy={"uniform": {"interval": 2}})


def _floats(pipe, captions, generation=LOOK):
    seeds = generators(caption.noise_seed(generation.seed) for caption in captions)
    texts = [caption.text for caption in captions]
    with torch.no_grad():
        return pipe(prompt=texts, generator=seeds, output_type="pt", **generation.call_options()).images


def test_an_image_s_seed_is_a_hash_of_run_seed_and_id():
    digest = hashlib.sha256(b"5:397133").digest()
    assert seed_of(5, 397133) == int.from_bytes(digest[:8], "big") // 2
    assert len({seed_of(seed, image) for seed in range(20) for image in range(50)}) == 1000


@pytest.mark.parametrize(
    "propagate", [None, PropagationConfig(policy={"uniform": {"interval": 2}})], ids=["plain", "propagated"]
)
def test_an_image_does_not_depend_on_its_batch(loaded, propagate):
    whole = run(loaded, CAPTIONS, LOOK, propagate).images
    for size in (1, 3):
        parts = [run(loaded, CAPTIONS[at : at + size], LOOK, propagate).images for at in range(0, len(CAPTIONS), size)]
        difference = (torch.cat(parts).int() - whole.int()).abs()
        assert difference.max() <= 1, size
        assert (difference > 0).float().mean() < 0.01


def test_images_are_the_pipeline_s_own(loaded):
    expected = (_floats(loaded, CAPTIONS[:2]).permute(0, 2, 3, 1).numpy() * 255).round().astype("uint8")
    assert (run(loaded, CAPTIONS[:2], LOOK).images.permute(0, 2, 3, 1).numpy() == expected).all()


def test_a_caption_may_bring_the_seed_of_its_noise(loaded):
    own = [Caption(7, WORDS[0], seed=11), Caption(8, WORDS[0])]
    assert [one.noise_seed(5) for one in own] == [11, seed_of(5, 8)]
    expected = (_floats(loaded, own) * 255).round().byte()
    assert (run(loaded, own, LOOK).images == expected).all()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        alone = loaded(WORDS[0], generator=generator, output_type="pt", **LOOK.call_options()).images
    assert ((alone * 255).round() - expected[:1].float()).abs().max() <= 1


def test_another_seed_or_id_is_another_image(loaded):
    first, second = run(loaded, [Caption(1, "a circle"), Caption(2, "a circle")], LOOK).images
    assert (first != second).any()
    assert (
        run(loaded, [Caption(1, "a circle")], GenerationConfig(steps=6, guidance=4.0, seed=6)).images[0] != first
    ).any()


def test_all_key_steps_are_the_baseline_bit_for_bit(loaded):
    plain = run(loaded, CAPTIONS[:3], LOOK)
    same = run(loaded, CAPTIONS[:3], LOOK, PropagationConfig.unaccelerated())
    assert torch.equal(plain.images, same.images)
    assert plain.ledger is None
    assert same.ledger.key_steps == tuple(range(6))


def test_the_pipeline_is_left_as_it_was(loaded):
    before = {name: dict(vars(getattr(loaded, name))) for name in ("unet", "scheduler")}
    keys = set(vars(loaded))
    run(loaded, CAPTIONS[:1], LOOK, UNIFORM, lambda done, total: None)
    assert set(vars(loaded)) == keys
    assert "forward" not in vars(loaded.unet)
    assert "step" not in vars(loaded.scheduler)
    assert before["unet"].keys() == vars(loaded.unet).keys()


def test_steps_are_reported_one_by_one(loaded):
    seen = []
    run(loaded, CAPTIONS[:1], LOOK, on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 6) for step in range(1, 7)]


def test_a_step_bar_also_iterates():
    seen = []
    assert list(StepBar(lambda done, total: seen.append((done, total)), "abc")) == ["a", "b", "c"]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_timer_sees_the_denoiser_and_nothing_else(loaded, monkeypatch):
    original = loaded.unet.forward
    monkeypatch.setattr(loaded.unet, "forward", lambda *a, **k: (time.sleep(0.02), original(*a, **k))[1])
    with DenoiserTimer(loaded.unet) as timer:
        start = time.perf_counter()
        _floats(loaded, CAPTIONS[:1])
        total = time.perf_counter() - start
    assert timer.calls == 6
    assert 6 * 0.02 <= timer.seconds <= total


def test_not_a_number_becomes_black_with_a_warning():
    images = torch.full((2, 3, 2, 2), 0.5)
    images[1, 0, 0, 0] = float("nan")
    with pytest.warns(FdplugWarning, match="1 of 2 images hold not-a-number"):
        eight_bit, whole = to_uint8(images)
    assert whole.tolist() == [True, False]
    assert eight_bit[1, 0, 0, 0] == 0
    assert eight_bit[0, 0, 0, 0] == np.round(0.5 * 255)


def test_the_timesteps_of_a_sampler_reach_the_pipeline(loaded):
    """Align Your Steps' own ten (their table 2 for Stable Diffusion), not ten of the scheduler's."""
    published = [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]
    config = GenerationConfig(sampler="ays", steps=10, guidance=4.0)
    assert "num_inference_steps" not in config.call_options()
    loaded.scheduler = registry.build("sampler", "ays").fit(loaded.scheduler)
    call_pipeline(loaded, CAPTIONS[:1], config)
    assert loaded.scheduler.timesteps.tolist() == published


def test_a_pipeline_that_takes_no_timesteps_is_refused():
    class Fixed:
        def __call__(self, prompt=None, num_inference_steps=50):
            raise AssertionError

    with pytest.raises(ConfigError, match="Fixed cannot be given timesteps"):
        check_timesteps(Fixed(), GenerationConfig(sampler="ays", steps=10).call_options())
