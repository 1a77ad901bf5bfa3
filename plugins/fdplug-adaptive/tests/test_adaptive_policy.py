"""Adaptive key steps: what accumulates, what is reported, and what is warned about."""

from __future__ import annotations

import logging

import pytest
import torch
from fdplug_adaptive import Adaptive, ThirdDifference

from fdplug import propagate
from fdplug.errors import ConfigError, FdplugWarning, NoEffectWarning
from fdplug.testing import check_policy, latents, schedule, tiny_pipeline


@pytest.fixture
def pipe():
    return tiny_pipeline()


def decisions(policy, values):
    """Let the policy decide about constant samples of these values."""
    run = schedule(len(values))
    policy.key_steps(run)
    return [policy.is_key(run.step(index), torch.full((1, 4), value)) for index, value in enumerate(values)]


def test_contract():
    check_policy(Adaptive())
    check_policy(ThirdDifference())


def test_the_change_accumulates_and_starts_again_at_a_key_step():
    """Relative changes are 0.1 each: 0.1 and 0.2 stay below 0.25, 0.3 does not."""
    values = [1.1**index for index in range(7)]
    assert decisions(Adaptive(threshold=0.25), values) == [True, False, False, True, False, False, True]


def test_threshold_zero_computes_every_step_that_changes():
    assert decisions(Adaptive(threshold=0), [1.0, 1.1, 1.2]) == [True, True, True]


def test_a_run_of_replayed_steps_may_be_limited():
    got = decisions(Adaptive(threshold=0.5, longest=2), [1.0] * 7)
    assert got == [True, False, False, True, False, False, True]


def test_the_first_steps_may_all_be_computed():
    got = decisions(Adaptive(threshold=0.25, warm_up=3), [1.1**index for index in range(6)])
    assert got == [True, True, True, False, False, True]


def test_it_reports_its_hit_rate(pipe, caplog):
    policy = Adaptive(threshold=0.3)
    with caplog.at_level(logging.INFO, "fdplug_adaptive"), propagate(pipe, policy=policy) as handle:
        latents(pipe)
        first = dict(policy.decisions)
        keys = handle.ledger.key_steps
        latents(pipe)
    assert policy.decisions == first, "a run must not depend on the one before"
    assert keys == tuple(step for step, is_key in first.items() if is_key)
    assert 1 < len(keys) < 10
    assert policy.hit_rate == pytest.approx(1 - len(keys) / 10)
    assert f"{len(keys)} of 10 steps computed, hit rate {policy.hit_rate:.0%}: {list(keys)}" in caplog.text


def test_it_warns_when_it_never_fires(pipe):
    with propagate(pipe, policy=Adaptive(threshold=1000)), pytest.warns(FdplugWarning, match="never fired: the input"):
        latents(pipe)


def test_fdplug_warns_when_nothing_is_replayed(pipe):
    with propagate(pipe, policy=Adaptive(threshold=0)), pytest.warns(NoEffectWarning, match="'adaptive' made all 10"):
        latents(pipe)


def test_spans_cannot_be_decoded_ahead(pipe):
    with pytest.raises(ConfigError, match="decides step by step"):
        propagate(pipe, policy=Adaptive(), decoding="parallel")


def test_nothing_is_kept_after_a_run(pipe):
    policy = Adaptive(threshold=0.3)
    with propagate(pipe, policy=policy):
        latents(pipe)
        assert policy._last is None


@pytest.mark.parametrize("options", [{"threshold": -1}, {"longest": 0}, {"warm_up": 0}], ids=str)
def test_options_that_cannot_be_right(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Adaptive(**options)


def test_the_third_difference_by_hand():
    """Of 0, 1, 4, 9, 16 it is 0; of 0, 1, 8, 27, 64 it is 6, where the first one is 27 - 8 = 19 and 64 - 27 = 37."""
    squares, cubes = [[float(index**power) for index in range(5)] for power in (2, 3)]
    policy = ThirdDifference(threshold=0.2, warm_up=1, longest=None)
    assert decisions(policy, squares) == [True, True, True, False, False]
    assert decisions(policy, cubes) == [True, True, True, 6 / 19 >= 0.2, 6 / 37 >= 0.2]


def test_the_third_difference_replays_and_reports(pipe):
    policy = ThirdDifference(threshold=0.5)
    with propagate(pipe, part="trunk", policy=policy, injector="none") as handle:
        latents(pipe)
    assert handle.ledger.key_steps == tuple(step for step, is_key in policy.decisions.items() if is_key)
    assert 0 < policy.hit_rate < 1


def test_the_third_difference_warns_when_it_never_fires(pipe):
    policy = ThirdDifference(threshold=1000, longest=None)
    with propagate(pipe, policy=policy), pytest.warns(FdplugWarning, match="third difference fell to"):
        latents(pipe)
