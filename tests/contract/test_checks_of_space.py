"""The checks that plugin authors run also hold `space` and `observe` to what they promise."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from fdplug.caches import Weighted
from fdplug.policies import AdaptivePolicy, KeyStepPolicy
from fdplug.testing import check_cache, check_policy


class Every(KeyStepPolicy):
    """Every n-th step."""

    name = "every"
    tried: ClassVar[Any] = {"interval": (1, 2)}

    def __init__(self, interval: int = 2) -> None:
        if interval < 1:
            raise ValueError("interval must be at least 1")
        self.interval = interval

    @classmethod
    def space(cls, steps):
        return cls.tried

    def key_steps(self, schedule):
        return frozenset(range(0, schedule.num_steps, self.interval))


@pytest.mark.parametrize(
    ("tried", "message"),
    [
        ({"intervall": (1, 2)}, "space names 'intervall', which Every has no option for"),
        ({"interval": ()}, "no value for 'interval'"),
        ({"interval": "12"}, "a word for 'interval'"),
        ({"interval": {1, 2}}, "space gives set for 'interval'"),
    ],
)
def test_a_space_that_no_search_can_try(monkeypatch, tried, message):
    check_policy(Every())
    monkeypatch.setattr(Every, "tried", tried)
    with pytest.raises(AssertionError, match=message):
        check_policy(Every())


def test_values_that_the_class_refuses(monkeypatch):
    monkeypatch.setattr(Every, "tried", {"interval": range(0, 3)})
    with pytest.raises(ValueError, match="at least 1"):
        check_policy(Every())


class Watcher(AdaptivePolicy):
    """Every other step, by what the ones before predicted."""

    name = "watcher"
    harm = False

    def reset(self):
        self.seen = 0

    def is_key(self, step, sample):
        return step.index % 2 == 0 or self.seen == 0

    def observe(self, step, sample, prediction):
        self.seen += 1
        if self.harm:
            prediction.zero_()


def test_what_is_observed_is_left_as_it_is(monkeypatch):
    check_policy(Watcher())
    monkeypatch.setattr(Watcher, "harm", True)
    with pytest.raises(AssertionError, match="observe must not change sample or prediction"):
        check_policy(Watcher())


class Mean(Weighted):
    """The mean of the last three key steps."""

    name = "mean"
    points = 3

    def weigh(self, points, step):
        return [1 / len(points)] * len(points)


def test_a_weighted_cache_says_nothing_but_its_weights():
    """Against a mean by hand; at a key step its own features come back bit for bit."""
    from fdplug.testing import schedule

    check_cache(Mean())
    cache = Mean()
    cache.begin(schedule(10))
    written = [torch.full((2, 3), float(value)) for value in (5, 1, 2, 6)]
    for step, value in zip((0, 2, 4, 6), written, strict=True):
        cache.write("block", step, (value,))
    got = cache.read("block", [6, 7])[0]
    assert torch.equal(got[:2], written[3])
    assert torch.allclose(got[2:], torch.full((2, 3), 3.0))
    cache.write("block", 8, (torch.ones(4, 3),))
    assert torch.equal(cache.read("block", [9])[0], torch.ones(4, 3))
