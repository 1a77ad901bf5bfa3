"""Refinement, floors, noise and the genetic search, on errors that can be written down."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
import torch

import fdplug
from benchmarks.genetic import search
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.testing import latents, tiny_pipeline
from fdplug.tuning.bisection import fewest, most
from fdplug.tuning.local_search import refine
from fdplug.tuning.noise import tune_injector
from fdplug.tuning.trials import Trials, psnr


def bowl(best):
    """An error that is least at `best`, and falls towards it from every side."""
    return lambda keys: sum((key - wanted) ** 2 for key, wanted in zip(keys, best, strict=True))


def test_refinement_finds_the_lowest_point():
    found = refine([(0, 10, 20, 30), (0, 5, 6, 7)], 40, bowl((0, 3, 17, 33)), 500)
    assert found.keys == (0, 3, 17, 33)
    assert found.error == 0


def test_refinement_begins_with_the_best_start_and_never_gets_worse():
    asked = []

    def error(keys):
        asked.append(keys)
        return bowl((0, 8, 9))(keys)

    found = refine([(0, 1, 2), (0, 7, 9)], 12, error, 2)
    assert asked == [(0, 1, 2), (0, 7, 9)]
    assert found.keys == (0, 7, 9)
    assert found.tried == 2


@pytest.mark.parametrize("budget", [2, 7, 23])
def test_refinement_keeps_to_its_budget_and_measures_nothing_twice(budget):
    asked = []

    def error(keys):
        asked.append(keys)
        assert keys[0] == 0
        assert list(keys) == sorted(set(keys))
        assert keys[-1] < 40
        return bowl((0, 39, 39))(keys)

    found = refine([(0, 10, 20)], 40, error, budget)
    assert len(asked) == len(set(asked)) == found.tried <= budget


def test_wider_moves_leave_a_narrow_valley():
    def error(keys):
        return 0 if keys == (0, 20) else 1 if keys == (0, 12) else 5

    assert refine([(0, 12)], 40, error, 100).keys == (0, 20)


@pytest.mark.parametrize("floor", range(1, 51))
def test_the_fewest_that_hold_a_floor(floor):
    asked = []

    def quality(count):
        asked.append(count)
        return float(count)

    assert fewest(50, quality, floor) == floor
    assert len(asked) <= 2 + math.ceil(math.log2(50))


def test_a_quality_that_goes_up_and_down_still_holds_its_floor():
    values = dict(enumerate([1, 5, 2, 6, 3, 7, 8, 9], start=1))
    for floor in range(1, 10):
        found = fewest(8, values.__getitem__, floor)
        assert values[found] >= floor
        assert found == 1 or values[found - 1] < floor


def test_a_floor_out_of_reach():
    with pytest.raises(ConfigError, match="PSNR 10 is not reached even with every step a key step: 8"):
        fewest(8, float, 10)


@pytest.mark.parametrize("limit", range(1, 51))
def test_the_most_that_take_a_time(limit):
    asked = []

    def seconds(count):
        asked.append(count)
        return count / 10

    assert most(50, seconds, limit / 10) == limit
    assert most(50, seconds, 99) == 50
    assert len(asked) <= 2 * (2 + math.ceil(math.log2(50)))
    assert len(set(asked)) <= 2 * (1 + math.ceil(math.log2(50)))


def test_times_that_go_up_and_down_still_hold_their_limit():
    values = dict(enumerate([1, 5, 2, 6, 3, 7, 8, 9], start=1))
    for limit in range(1, 10):
        assert values[most(8, values.__getitem__, limit)] <= limit


def test_a_time_out_of_reach():
    with pytest.raises(ConfigError, match=r"--seconds is 0\.5, but one key step takes 1 per image"):
        most(8, float, 0.5)


def test_psnr_by_hand():
    first, second = torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.full((1, 3, 2, 2), 10, dtype=torch.uint8)
    assert psnr(first, second) == pytest.approx(10 * math.log10(65025 / 100))
    assert psnr(first, first) == math.inf


STEPS = 6


@pytest.fixture(scope="module")
def trials():
    pipe = tiny_pipeline()

    def images():
        found = latents(pipe, num_inference_steps=STEPS)
        return (found[:, :3].clamp(-1, 1) * 127 + 128).to(torch.uint8)

    return pipe, Trials(pipe, images, settings=PropagationConfig(injector="none"))


def test_trials_are_run_once_and_measure_the_final_sample(trials):
    pipe, known = trials
    plain = latents(pipe, num_inference_steps=STEPS)
    before = known.runs
    first = known.of([0, 3])
    assert known.of((3, 0)) is first
    assert known.runs == before + 1
    with fdplug.propagate(pipe, policy={"explicit": {"steps": [0, 3]}}, injector="none"):
        moved = latents(pipe, num_inference_steps=STEPS)
    assert first.error == pytest.approx(float((moved - plain).square().mean()), rel=1e-5)
    assert known.of(range(STEPS)).error == 0
    assert known.of(range(STEPS)).psnr == math.inf


def test_the_noise_is_the_best_of_a_fine_grid(trials):
    """Against running every alpha and tau, one by one."""
    pipe, known = trials
    plain = latents(pipe, num_inference_steps=STEPS)

    def error(alpha, tau):
        injector = {"prior": {"alpha": alpha, "tau": tau}}
        with fdplug.propagate(pipe, policy={"explicit": {"steps": [0, 3]}}, injector=injector):
            return float((latents(pipe, num_inference_steps=STEPS) - plain).square().mean())

    taus = (0.3, 0.6, 1.0)
    found = tune_injector(known, (0, 3), taus)
    grid = {(alpha, tau): error(alpha, tau) for tau in taus for alpha in (0, 0.001, 0.003, 0.01, 0.03, 0.1)}
    assert found.without == pytest.approx(grid[0, 0.3], rel=1e-5)
    assert found.error <= min(grid.values()) * 1.05
    assert found.error == pytest.approx(error(found.alpha, found.tau), rel=1e-4)
    assert [one.tau for one in found.candidates] == list(taus)


def test_the_genetic_search_finds_the_front():
    """Eight steps are few enough to know every set: the search must come near the best of each size."""
    pytest.importorskip("pymoo")

    def error(keys):
        ends = [*keys[1:], 8]
        return sum((end - key - 1) ** 2 for key, end in zip(keys, ends, strict=True)) + 0.1 * keys[-1]

    asked = []

    def counted(keys):
        asked.append(keys)
        return error(keys)

    found = search(8, counted, 90, seed=1)
    assert len(asked) == len(set(asked)) == found.tried
    for count in (1, 3):
        every = [(0, *rest) for rest in itertools.combinations(range(1, 8), count - 1)]
        keys, value = found.best[count]
        assert value == error(keys) <= 1.5 * min(map(error, every)) + 0.2
    assert found.at_most(4)[1] <= found.best[3][1]
    started = search(8, error, 24, starts=[(0, 2, 5)])
    assert (0, 2, 5) in {keys for keys, _ in started.best.values()} or started.best[3][1] < error((0, 2, 5))


def test_without_pymoo_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymoo", None)
    with pytest.raises(ConfigError, match=r"needs pymoo: pip install 'fdplug\[benchmarks\]'"):
        search(8, len, 10)
