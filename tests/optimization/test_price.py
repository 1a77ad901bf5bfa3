"""Prices before the run, against naive sums, a planted table, and the ledger of real runs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fdplug
from fdplug.config import PropagationConfig
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring import price as price_module
from fdplug.optimization.measuring.price import Prices, Replay, measured, spans_of
from fdplug.testing import latents

TABLE = Prices(0.5, 0.1, 4.0, {'"trunk"': Replay(0.2, ((2, 0.11), (4, 0.13), (8, 0.17)), 0.05)})


@pytest.mark.parametrize("seed", range(5))
def test_spans_are_counted_step_by_step(seed):
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(1, 30))
    keys = set(rng.integers(0, steps, size=rng.integers(1, steps + 1)).tolist())
    lengths: list[int] = []
    for step in range(steps):
        if step == 0 or step in keys:
            lengths.append(0)
        lengths[-1] += 1
    assert spans_of(keys, steps) == lengths


@pytest.mark.parametrize(
    ("length", "seconds"), [(1, 0.1), (2, 0.11), (3, 0.12), (4, 0.13), (6, 0.15), (8, 0.17), (12, 0.21)]
)
def test_a_span_lies_on_straight_lines(length, seconds):
    price = TABLE.cut("trunk", [length])
    assert price.seconds == pytest.approx(0.5 + 0.05 + seconds)
    assert price.gflops == pytest.approx(4 + (length - 1) * 0.2)
    assert price.calls == pytest.approx(1 + (length - 1) * 0.05)


def test_a_run_costs_the_sum_of_its_spans():
    spans = [1, 3, 8, 2]
    alone = [TABLE.cut("trunk", [one]) for one in spans]
    whole = TABLE.cut("trunk", spans)
    assert whole.seconds == pytest.approx(0.55 + sum(one.seconds - 0.55 for one in alone))
    assert whole.gflops == pytest.approx(sum(one.gflops for one in alone))
    assert TABLE.plain(7).seconds == pytest.approx(0.5 + 0.7)


def test_the_table_is_found_again_from_runs_that_cost_as_it_says():
    def timed(candidate):
        if candidate.propagation is None:
            return TABLE.rest + candidate.steps * TABLE.call, candidate.steps * TABLE.gflops
        keys = candidate.propagation["policy"]["explicit"]["steps"]
        price = TABLE.cut(candidate.propagation["part"], spans_of(keys, candidate.steps))
        return price.seconds, price.gflops

    noise = itertools.cycle([0.5, 0.0, 2.0])  # of five runs in three rounds, each is undisturbed once

    def disturbed(candidate):
        seconds, gflops = timed(candidate)
        return seconds + next(noise), gflops

    found = measured(disturbed, "ddim", ["trunk"], lambda done, total: None)
    assert (found.rest, found.call, found.gflops) == pytest.approx((TABLE.rest, TABLE.call, TABLE.gflops))
    assert found.replays['"trunk"'].gflops == pytest.approx(0.2)
    assert dict(found.replays['"trunk"'].spans) == pytest.approx({2: 0.11, 8: 0.17})
    assert found.replays['"trunk"'].start == pytest.approx(0.05)
    assert Prices.of(found.described()) == found


@pytest.mark.parametrize("part", ["encoder", "trunk"])
def test_gflops_are_those_of_the_ledger(pipe, part, monkeypatch):
    """The table is made of runs of other lengths than those it prices."""
    monkeypatch.setattr(price_module, "ROUNDS", 1)

    def timed(candidate):
        settings = candidate.config or PropagationConfig.unaccelerated()
        with fdplug.propagate(pipe, settings) as on:
            latents(pipe, num_inference_steps=candidate.steps)
            return 1.0, on.ledger.gflops()

    prices = measured(timed, "own", [part], lambda done, total: None)
    keys = [0, 1, 4]
    candidate = Candidate("own", 7, {"policy": {"explicit": {"steps": keys}}, "part": part, "injector": "none"})
    assert prices.cut(part, spans_of(keys, 7)).gflops == pytest.approx(timed(candidate)[1], rel=1e-6)
    assert prices.plain(7).gflops == pytest.approx(timed(Candidate("own", 7))[1], rel=1e-6)
