"""The search over key steps and shares, on errors that can be written down, and against every candidate there is."""

from __future__ import annotations

import itertools

import pytest
import torch

from fdplug import propagate
from fdplug.builtin.span_forecast import SpanForecast
from fdplug.config import PropagationConfig
from fdplug.testing import latents, tiny_pipeline
from fdplug.tuning.span_search import MOST, Candidate, search, starts
from fdplug.tuning.trials import Trials

CUT = Candidate((0, 4, 7, 9), (0.0, 0.8, 0.6, 1.0))


def bowl(keys, shares):
    """An error that is least at these keys and shares."""

    def error(one):
        moved = sum((a - b) ** 2 for a, b in zip(one.keys, keys, strict=True))
        return moved + sum((a - b) ** 2 for a, b in zip(one.shares, shares, strict=True))

    return error


def test_forecasts_of_the_later_half_are_doubted_first():
    found = list(starts(CUT))
    assert found[0] == CUT
    assert [one.shares for one in found[1:]] == [
        (0.0, 0.8, 0.3, 0.5),
        (0.0, 0.8, 0.0, 0.0),
        (0.0, 0.4, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
    ]
    assert {one.keys for one in found} == {CUT.keys}


def test_the_lowest_point_is_found():
    wanted = (0, 2, 8, 9), (0.0, 1.1, 0.0, 0.4)
    found = search([CUT], 12, bowl(*wanted), 500)
    assert found.best.keys == wanted[0]
    assert found.best.shares == pytest.approx(wanted[1], abs=0.1)


def test_it_finds_the_best_of_all_key_steps_of_a_short_run():
    def error(one):
        return sum((key * share - 3.7) ** 2 for key, share in zip(one.keys, (1, 2, 0.5), strict=True))

    found = search([Candidate((0, 1, 2), (0.0, 0.0, 0.0))], 7, error, 100)
    every = [Candidate((0, *rest), (0.0, 0.0, 0.0)) for rest in itertools.combinations(range(1, 7), 2)]
    assert error(found.best) == min(map(error, every))


@pytest.mark.parametrize("budget", [1, 4, 19])
def test_it_keeps_to_its_budget_and_stays_inside_the_run(budget):
    asked = []

    def error(one):
        asked.append(one)
        assert list(one.keys) == sorted(set(one.keys))
        assert one.keys[0] == 0
        assert one.keys[-1] < 10
        assert one.shares[0] == 0
        assert all(0 <= share <= MOST for share in one.shares)
        return bowl((0, 9, 9, 9), (0.0, 9.0, -9.0, 9.0))(one)

    found = search(list(starts(CUT)), 10, error, budget)
    assert len(asked) == len(set(asked)) == found.tried <= budget
    assert found.error == min(bowl((0, 9, 9, 9), (0.0, 9.0, -9.0, 9.0))(one) for one in asked)


def test_a_trial_is_a_run_with_these_keys_and_shares():
    """The change is measured image by image, against a run of one's own, and each candidate is run once."""
    pipe, prompts = tiny_pipeline(), ["a red circle", "a blue square"]

    def run():
        return (latents(pipe, prompts, num_inference_steps=6) * 40 + 128).clamp(0, 255).to(torch.uint8)

    trials = Trials(pipe, run, settings=PropagationConfig(part="trunk", injector="none"))
    plain = latents(pipe, prompts, num_inference_steps=6)
    keys, shares = (0, 1, 3), (0.0, 0.7, 0.4)
    settings = {"part": "trunk", "injector": "none", "policy": {"explicit": {"steps": keys}}}
    with propagate(pipe, **settings, cache=SpanForecast({1: 0.7, 3: 0.4})):
        squares = (latents(pipe, prompts, num_inference_steps=6) - plain).square().mean((1, 2, 3))
    got = trials.of(keys, shares)
    assert got.error == pytest.approx(float(squares.mean()), rel=1e-3)
    assert got.typical == pytest.approx(float((10 * squares.log10()).mean()), abs=0.01)
    assert trials.of(keys, shares) is got
    assert trials.of(keys).error != got.error
    assert trials.runs == 3
