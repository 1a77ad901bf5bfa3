"""The CFG cache: the plain loop's image, in numpy; full steps; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fdplug_fastercache import FasterCache, low_band

from fdplug import propagate
from fdplug.errors import ConfigError, PropagationError
from fdplug.schedule import Schedule
from fdplug.testing import check_guidance, latents, tiny_pipeline
from fdplug.testing.systems import SYSTEMS

ALONE = {"policy": "all", "injector": "none"}
TEXTS = ["a red circle", "a blue square"]


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def test_contract():
    check_guidance(FasterCache())
    check_guidance(FasterCache(every=2, begin=0, turn=0.8))


def test_full_steps():
    run = Schedule(tuple(float(991 - 20 * index) for index in range(50)), 0, 1000, None)
    assert FasterCache().full_steps(run) == {*range(17), 21, 26, 31, 36, 41, 46}
    assert FasterCache(begin=0, every=20).full_steps(run) == {0, 20, 40}


def weighed(difference, early, alpha, radius):
    """Equation 9 to 11 with numpy: shift the spectrum, cut out a circle, weigh, shift it back."""
    height, width = difference.shape[-2:]
    spectrum = np.fft.fftshift(np.fft.fft2(difference.astype(np.float64)), axes=(-2, -1))
    rows, columns = np.ogrid[:height, :width]
    near = (rows - height // 2) ** 2 + (columns - width // 2) ** 2 <= (radius * min(height, width)) ** 2
    low, high = spectrum * near, spectrum * ~near
    changed = (1 + alpha * early) * low + (1 + alpha * (not early)) * high
    return np.fft.ifft2(np.fft.ifftshift(changed, axes=(-2, -1))).real


def reference(pipe, full, alpha, turn, radius, guidance=7.5, steps=10):
    """A plain loop of DDIM with guidance."""
    scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    scheduler.set_timesteps(steps)
    text, empty = pipe.encode_prompt(TEXTS, "cpu", 1, True)
    sample = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for index, timestep in enumerate(scheduler.timesteps):
        with torch.no_grad():
            conditional = pipe.unet(sample, timestep, text).sample
            if index in full:
                unconditional = pipe.unet(sample, timestep, empty).sample
                kept = (unconditional - conditional).numpy()
            else:
                made = weighed(kept, float(timestep) / 1000 > turn, alpha, radius)
                unconditional = conditional + torch.from_numpy(made).float()
        noise = unconditional + guidance * (conditional - unconditional)
        sample = scheduler.step(noise, timestep, sample).prev_sample
    return sample


@pytest.mark.parametrize("options", [{"every": 3}, {"every": 4, "begin": 0, "alpha": 0.5, "radius": 0.3, "turn": 0.4}])
def test_it_is_the_plain_loop(pipe, options):
    guidance = FasterCache(**options)
    full = {0, 1, 2, 3, 6, 9} if options["every"] == 3 else {0, 4, 8}
    expected = reference(pipe, full, guidance.alpha, guidance.turn, guidance.radius)
    with propagate(pipe, **ALONE, guidance=guidance) as handle:
        got = latents(pipe, TEXTS)
        assert handle.ledger.rows("") == 2 * (10 + len(full))
        assert torch.equal(latents(pipe, TEXTS), got)
    scale = float(expected.abs().max())
    assert float((got - expected).abs().max()) < 1e-4 * scale
    with propagate(pipe, **ALONE, guidance={"cached": {"every": options["every"]}}):
        assert float((latents(pipe, TEXTS) - expected).abs().max()) > 1e-3 * scale


def test_without_weights_it_keeps_the_difference(pipe):
    with propagate(pipe, **ALONE, guidance={"cached": {"every": 3}}):
        expected = latents(pipe, TEXTS)
    with propagate(pipe, **ALONE, guidance=FasterCache(every=3, begin=0, alpha=0)):
        assert torch.allclose(latents(pipe, TEXTS), expected, atol=1e-3)


def test_low_frequencies_are_those_of_slow_waves():
    rows = torch.arange(16).float()
    slow, fast = torch.cos(2 * torch.pi * rows / 16), torch.cos(2 * torch.pi * 7 * rows / 16)
    wave = (slow + fast)[:, None].expand(16, 12)[None, None]
    assert torch.allclose(low_band(wave, 0.2)[0, 0, :, 0], slow, atol=1e-5)


def test_tokens_are_refused():
    system = SYSTEMS["flux"]
    pipe = system.make()
    with (
        propagate(pipe, **ALONE, guidance=FasterCache(every=2)),
        pytest.raises(PropagationError, match=r"predicts tokens, .* take guidance cached"),
    ):
        system.run(pipe)


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"begin": 1.5}, {"alpha": -1}, {"turn": 2}, {"radius": 0.7}], ids=str
)
def test_options_that_cannot_be_right(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        FasterCache(**options)
