"""On the embedded, trained model the methods do what they are for; random weights would prove nothing."""

from __future__ import annotations

import pytest

from fdplug import propagate
from fdplug.predict.generation.loading import load_pipeline
from fdplug.testing import latents

pytestmark = [pytest.mark.usefixtures("importable"), pytest.mark.slow]
CAPTIONS = [
    "a small plain red circle above a large striped blue diamond on a gray background",
    "a large checked black cross left of a small checked orange triangle on a gray background",
    "a small checked black circle on a speckled background",
    "a small dotted black triangle below a large checked yellow square on a gray background",
]
EVEN = {"policy": {"uniform": {"interval": 3}}, "injector": "none"}


@pytest.fixture(scope="module")
def shapes():
    """The trained pipeline, and what it generates as it is."""
    pipe = load_pipeline("shapes", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe, generate(pipe)


def generate(pipe):
    return latents(pipe, CAPTIONS, num_inference_steps=50, guidance_scale=4.0)


def error(shapes, **settings):
    pipe, plain = shapes
    with propagate(pipe, **settings):
        return float((generate(pipe) - plain).norm() / plain.norm())


def test_a_forecast_is_nearer_than_reuse(shapes):
    from fdplug_forecast import Forecast

    reused = error(shapes, **EVEN)
    assert error(shapes, **EVEN, cache=Forecast()) < 0.6 * reused


def test_deepcache_is_nearer_than_the_encoder(shapes):
    """It computes the outermost blocks at every step, where the encoder is replayed as a whole."""
    from fdplug_deepcache import DeepCache

    found = error(shapes, **EVEN, part=DeepCache())
    assert found < 0.1
    assert found < 0.8 * error(shapes, **EVEN)


def test_eight_bits_cost_little(shapes):
    from fdplug_offload import Offload

    cache = Offload(code="int8")
    reused = error(shapes, **EVEN)
    assert error(shapes, **EVEN, cache=cache) == pytest.approx(reused, rel=0.2)
    assert 0 < cache.report().error < 0.02


def test_adaptive_steps_beat_as_many_even_ones_or_come_near(shapes):
    from fdplug_adaptive import Adaptive

    policy = Adaptive(threshold=0.3)
    adaptive = error(shapes, policy=policy, injector="none")
    count = sum(policy.decisions.values())
    assert 1 < count < 30
    assert adaptive < 2 * error(shapes, policy={"uniform": {"count": count}}, injector="none")


def test_parallel_sampling_ends_where_serial_sampling_does(shapes):
    from fdplug_paradigms import ParallelSampling

    sampling = ParallelSampling(window=10, tolerance=0.01)
    assert error(shapes, policy="all", injector="none", transforms=[sampling]) < sampling.tolerance
    assert sampling.iterations < 30
