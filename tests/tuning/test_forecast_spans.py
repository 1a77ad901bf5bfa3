"""The damped cut of a trunk's run, against brute force and spans evaluated one prediction at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fdplug.tuning.forecast_spans import Recording, best_spans, span_costs

STEPS = 7


@pytest.fixture(params=[0, 1, 2])
def run(request):
    rng = np.random.default_rng(request.param)
    return np.cumsum(rng.normal(size=(STEPS, 30)), axis=0), rng.normal(size=STEPS), np.linspace(1, 0.1, STEPS) ** 2


def plainly(run, before, key, end, share):
    """Mean square of the summed, weighted errors of one span: every forecast is made."""
    predictions, weights, times = run
    error = 0
    for step in range(key, end):
        forecast = predictions[key]
        if before is not None:
            slope = (predictions[key] - predictions[before]) / (times[key] - times[before])
            forecast = forecast + share * slope * (times[step] - times[key])
        error = error + weights[step] * (forecast - predictions[step])
    return float(np.mean(np.square(error)))


def recording(run):
    predictions, weights, times = run
    return Recording(predictions @ predictions.T / predictions.shape[1], weights, times, (), 0.0, 1)


def test_costs_are_those_of_forecasts_made_one_by_one(run):
    found = recording(run)
    costs, shares = span_costs(found.gram, found.weights, found.times)
    for key, end in itertools.combinations(range(STEPS + 1), 2):
        assert costs[STEPS, key, end] == pytest.approx(plainly(run, None, key, end, 0), abs=1e-9)
        for before in range(key):
            share = shares[before, key, end]
            assert costs[before, key, end] == pytest.approx(plainly(run, before, key, end, share), abs=1e-9)
            tried = [plainly(run, before, key, end, other) for other in np.linspace(0, 1, 21)]
            assert costs[before, key, end] <= min(tried) + 1e-9


def test_the_cut_is_the_best_of_all(run):
    found = recording(run)
    _, shares = span_costs(found.gram, found.weights, found.times)
    for count, got in enumerate(best_spans(found), start=1):
        candidates = []
        for rest in itertools.combinations(range(1, STEPS), count - 1):
            keys = (0, *rest)
            spans = zip([None, *keys], keys, [*rest, STEPS], strict=False)
            candidates.append(sum(plainly(run, b, k, e, shares[STEPS if b is None else b, k, e]) for b, k, e in spans))
        assert got.error == pytest.approx(min(candidates), abs=1e-9)
        assert len(got.keys) == len(got.shares) == count
