"""The damped cut of a trunk's run, against brute force and spans evaluated one prediction at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from fdplug.testing import latents, tiny_pipeline
from fdplug.tuning.forecast_spans import Recording, SpanCosts, best_spans, cheapest, record

STEPS, IMAGES = 7, 3


EVEN = np.linspace(1, 0.1, STEPS) ** 2
REPEATED = np.array([0.9, 0.5, 0.5, 0.3, 0.2, 0.1, 0.1])  # as DPM-Solver++ has them on Karras levels


@pytest.fixture(params=[(0, EVEN), (1, EVEN), (2, EVEN), (3, REPEATED)], ids=["0", "1", "2", "repeated-times"])
def run(request):
    """Predictions of every image, their weights, and the times of the steps."""
    seed, times = request.param
    rng = np.random.default_rng(seed)
    predictions = np.cumsum(rng.normal(size=(IMAGES, STEPS, 30)), axis=1) * np.array([1, 1, 30])[:, None, None]
    return predictions, rng.normal(size=(IMAGES, STEPS)), times


def plainly(run, image, before, key, end, share):
    """Mean square of the summed, weighted errors of one span of one image: every forecast is made."""
    predictions, weights, times = run[0][image], run[1][image], run[2]
    error = 0
    for step in range(key, end):
        forecast = predictions[key]
        if before is not None and times[before] != times[key]:
            slope = (predictions[key] - predictions[before]) / (times[key] - times[before])
            forecast = forecast + share * slope * (times[step] - times[key])
        error = error + weights[step] * (forecast - predictions[step])
    return float(np.mean(np.square(error)))


def recording(run, images=slice(None)):
    predictions, weights, times = run[0][images], run[1][images], run[2]
    return Recording(predictions @ predictions.transpose(0, 2, 1) / 30, weights, times, (), 0.0, 1)


def test_costs_are_those_of_forecasts_made_one_by_one(run):
    """The weighted mean over images, at the best share; what is no span costs infinitely much."""
    images = np.array([0.5, 0.3, 0.2])
    costs, shares = SpanCosts(recording(run)).weighed(images)

    def mean(before, key, end, share):
        return sum(weight * plainly(run, one, before, key, end, share) for one, weight in enumerate(images))

    for key, end in itertools.combinations(range(STEPS + 1), 2):
        assert costs[STEPS, key, end] == pytest.approx(mean(None, key, end, 0), abs=1e-9)
        for before in range(key):
            share = shares[before, key, end]
            assert costs[before, key, end] == pytest.approx(mean(before, key, end, share), abs=1e-9)
            assert costs[before, key, end] <= min(mean(before, key, end, one) for one in np.linspace(0, 1, 21)) + 1e-9
    spans = sum(1 + key for key, _ in itertools.combinations(range(STEPS + 1), 2))
    assert np.isfinite(costs).sum() == spans


def test_the_cut_is_the_best_of_all(run):
    """Of one image: every set of key steps is tried."""
    costs, shares = SpanCosts(recording(run, slice(0, 1))).weighed(np.ones(1))
    for count, got in enumerate(best_spans(recording(run, slice(0, 1))), start=1):
        candidates = []
        for rest in itertools.combinations(range(1, STEPS), count - 1):
            keys = (0, *rest)
            spans = list(zip([None, *keys], keys, [*rest, STEPS], strict=False))
            best = [shares[STEPS if before is None else before, key, end] for before, key, end in spans]
            candidates.append(sum(plainly(run, 0, *span, share) for span, share in zip(spans, best, strict=True)))
        assert got.error == pytest.approx(min(candidates), abs=1e-9)
        assert len(got.keys) == len(got.shares) == count
        assert (got.keys, got.shares) == cheapest(costs, shares, count)


def test_a_cut_says_what_happens_to_the_typical_image(run):
    """What is said of a cut is the geometric mean of its errors, made one by one."""
    for got in best_spans(recording(run)):

        def typical(keys, shares):
            spans = list(zip([None, *keys], keys, [*keys[1:], STEPS], shares, strict=False))
            errors = [sum(plainly(run, image, *span) for span in spans) for image in range(IMAGES)]
            return float(np.exp(np.mean(np.log(np.maximum(errors, 1e-12)))))

        assert got.error == pytest.approx(typical(got.keys, got.shares), rel=1e-6)


def test_one_great_error_does_not_decide_for_all_images():
    """With two keys: two images turn at step 2, and one, by three times as much, at step 5."""
    rng = np.random.default_rng(0)
    turned = [np.where(np.arange(STEPS)[:, None] < turn, 0, size) for turn, size in ((2, 1.0), (2, 1.0), (5, 3.0))]
    predictions = np.stack(turned) + 0.6 * rng.normal(size=(IMAGES, STEPS, 30))
    run = predictions, np.ones((IMAGES, STEPS)), np.linspace(1, 0.1, STEPS)
    costs, got = SpanCosts(recording(run)), best_spans(recording(run))[1]
    keys, shares = cheapest(*costs.weighed(np.full(IMAGES, 1 / IMAGES)), 2)
    assert keys == (0, 5)
    assert got.keys[1] in (2, 3)
    assert got.error < np.exp(np.log(costs.errors(keys, shares)).mean())


def test_a_recording_weighs_every_image_by_what_is_left_of_its_errors():
    """Against a run of one's own for one image and step: disturb its prediction and look at the final sample."""
    pipe, steps, prompts = tiny_pipeline(), 4, ["a red circle", "a blue square"]

    def generated():
        return latents(pipe, prompts, num_inference_steps=steps)

    found = record(pipe, generated, responses=1)
    assert found.grams.shape == (2, steps, steps)
    assert found.runs == 2
    outputs, original = [], pipe.scheduler.step

    def watched(output, *args, **kwargs):
        outputs.append(output)
        return original(output, *args, **kwargs)

    pipe.scheduler.step = watched
    plain = generated()
    error = outputs[0] - outputs[1]

    def disturbed(output, *args, **kwargs):
        outputs.append(output)
        return original(output + error if len(outputs) == steps + 2 else output, *args, **kwargs)

    pipe.scheduler.step = disturbed
    moved = generated() - plain
    for image in range(2):
        size = float(moved[image].square().mean().sqrt() / error[image].square().mean().sqrt())
        assert abs(found.weights[image, 1]) == pytest.approx(size, rel=1e-3)
        own = torch.stack([one[image] for one in outputs[:steps]]).flatten(1).double()
        assert found.grams[image] == pytest.approx((own @ own.T / own.shape[1]).numpy(), rel=1e-4)
