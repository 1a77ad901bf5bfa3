"""Prices before the run, against naive sums, a planted table, and the ledger of real runs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fdplug
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.measuring import pricing
from fdplug.optimization.measuring.price import Pass, Prices, Replay, Work, spans_of
from fdplug.optimization.measuring.pricing import measured
from fdplug.optimization.proposing.recipe import Extras, Recipes
from fdplug.testing import latents, tiny_pipeline

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
        keys = range(0, candidate.steps, candidate.propagation["policy"]["uniform"]["interval"])
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
    monkeypatch.setattr(pricing, "ROUNDS", 1)

    def timed(candidate):
        settings = candidate.config or PropagationConfig.unaccelerated()
        with fdplug.propagate(pipe, settings) as on:
            latents(pipe, num_inference_steps=candidate.steps)
            return 1.0, on.ledger.gflops()

    prices = measured(timed, "own", [part])
    keys = [0, 1, 4]
    candidate = Candidate("own", 7, {"policy": {"explicit": {"steps": keys}}, "part": part, "injector": "none"})
    assert prices.cut(part, spans_of(keys, 7)).gflops == pytest.approx(timed(candidate)[1], rel=1e-6)
    assert prices.plain(7).gflops == pytest.approx(timed(Candidate("own", 7))[1], rel=1e-6)


LEFT_OUT = [
    (None, {"first": {"share": 0.5}}),
    ("trunk", {"interval": {"low": 0.2, "high": 0.81}}),
    ("encoder", {"cached": {"every": 2}}),
    ("trunk", {"adaptive": {"threshold": -1.0}}),
]


@pytest.mark.parametrize(("part", "guidance"), LEFT_OUT, ids=lambda one: one if isinstance(one, str) else "")
def test_rows_that_are_left_out_are_taken_off_the_ledger(pipe, part, guidance, monkeypatch):
    monkeypatch.setattr(pricing, "ROUNDS", 1)

    def timed(candidate):
        with fdplug.propagate(pipe, candidate.config or PropagationConfig.unaccelerated()) as on:
            latents(pipe, num_inference_steps=candidate.steps, guidance_scale=5.0)
            return 1.0, on.ledger.gflops()

    prices = measured(timed, "own", [part] if part else [], guided=True)
    assert prices.lean.gflops == pytest.approx(prices.gflops / 2, rel=1e-6)
    recipes = Recipes(
        pipe.scheduler, prices, 8, lambda guidance, candidate: 1 / 8
    )  # adaptive: all are near after the first step
    extras = Extras(guidance=guidance)
    if part is None:
        candidate = recipes.stock("own", extras).make(8)
    else:
        policy = ("explicit", {"steps": (0, 3, 4)})
        candidate = recipes.by_policy(Candidate("own", 8), part, policy, "reuse", "none", extras).make(1)
    assert recipes.price(candidate).gflops == pytest.approx(timed(candidate)[1], rel=1e-6)


def test_a_pipeline_without_guidance_has_no_rows_to_leave_out():
    def timed(candidate):
        return 1.0 * candidate.steps, 4.0 * candidate.steps

    assert measured(timed, "own", [], guided=True).lean is None


def test_transforms_have_prices_where_they_fit():
    def timed(candidate):
        transforms = (candidate.propagation or {}).get("transforms", [])
        if "never" in transforms:
            raise ConfigError("it does not fit")
        half = 0.5 if "half" in transforms else 1.0
        return 1.0 + half * 0.1 * candidate.steps, half * 4.0 * candidate.steps

    prices = measured(timed, "own", [], transforms=["half", "never"])
    assert prices.changed == {'"half"': Pass(pytest.approx(0.05), pytest.approx(2.0))}
    price = prices.priced(Work(steps=20, transforms=["half"]))
    assert (price.seconds, price.gflops, price.calls) == pytest.approx((2.0, 40.0, 10.0))
    assert Prices.of(prices.described()) == prices


@pytest.mark.parametrize("fastest", [{}, {"decoding": "serial"}, {"max_span_batch": "auto"}])
def test_spans_are_decoded_the_way_that_is_fastest(fastest):
    def timed(candidate):
        given = candidate.propagation or {}
        slow = "part" in given and not fastest.items() <= given.items()
        return 0.1 * candidate.steps + slow, 4.0 * candidate.steps

    (replay,) = measured(timed, "own", ["trunk"], at_once=["trunk"]).replays.values()
    assert replay.decoding == fastest
    (kept,) = measured(timed, "own", ["trunk"]).replays.values()
    assert kept.decoding == {}, "what has to be decoded step by step has no choice"


def test_what_memory_does_not_hold_at_once_is_decoded_otherwise():
    def timed(candidate):
        if (candidate.propagation or {}).keys() == {"policy", "cache", "part", "injector"}:
            raise RuntimeError("CUDA out of memory")
        return 0.1 * candidate.steps, 4.0 * candidate.steps

    (replay,) = measured(timed, "own", ["trunk"], at_once=["trunk"]).replays.values()
    assert replay.decoding == {"decoding": "serial"}


def test_a_call_that_always_takes_the_same_steps_is_refused():
    with pytest.raises(
        ConfigError, match="a run of 9 steps costs as much as one of 3: `call` is to hand all of its keyword"
    ):
        measured(lambda candidate: (1.0, 4.0), "own", [])


def test_a_pipeline_that_cannot_be_run_for_a_few_steps_is_refused():
    def timed(candidate):
        raise ConfigError("too few")

    with pytest.raises(ConfigError, match="runs of 3 and 9 steps cannot be made, by which everything is priced"):
        measured(timed, "own", [])


@pytest.mark.parametrize("strength", [0.3, 0.6, 0.75])
def test_runs_that_begin_in_the_middle_are_priced_by_the_steps_that_they_take(strength):
    """As diffusers counts them: int(steps x strength), and key steps of those alone."""

    def timed(candidate):
        taken = int(candidate.steps * strength)
        assert taken > 0
        if candidate.propagation is None:
            return TABLE.rest + taken * TABLE.call, taken * TABLE.gflops
        price = TABLE.cut(
            "trunk", spans_of(range(0, taken, candidate.propagation["policy"]["uniform"]["interval"]), taken)
        )
        return price.seconds, price.gflops

    found = measured(timed, "own", ["trunk"], share=strength)
    assert (found.rest, found.call, found.gflops) == pytest.approx((TABLE.rest, TABLE.call, TABLE.gflops))
    scheduler = tiny_pipeline().scheduler
    recipes = Recipes(scheduler, found, 40, taken=strength)
    taken = int(40 * strength)
    assert recipes.stock("own").cost(40).calls == taken
    recipe = recipes.by_policy(Candidate("own", 40), "trunk", ("uniform", {"count": range(1, 40)}), "reuse", "none")
    spans = spans_of([place * taken // 4 for place in range(4)], taken)
    assert recipe.cost(4).gflops == pytest.approx(TABLE.cut("trunk", spans).gflops)
