"""Policies that decide step by step."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug.errors import ConfigError, NoEffectWarning
from fdplug.policies import AdaptivePolicy
from fdplug.testing import check_policy, latents


class Nodding(AdaptivePolicy):
    """Says yes at every n-th question."""

    name = "nodding"

    def __init__(self, every: int = 3) -> None:
        self.every = every
        self.reset()

    def reset(self) -> None:
        self.asked = 0

    def is_key(self, step, sample):
        self.asked += 1
        return (self.asked - 1) % self.every == 0


def test_the_contract():
    check_policy(Nodding())


def test_decisions_of_the_loop_are_those_of_an_explicit_policy(pipe):
    with fdplug.propagate(pipe, policy=Nodding()) as on:
        adaptive = [latents(pipe) for _ in range(2)]
        assert on.ledger.key_steps == (0, 3, 6, 9)
        assert on.ledger.passes("") == 10, "adaptive spans are decoded one step at a time"
    with fdplug.propagate(pipe, policy={"explicit": {"steps": [0, 3, 6, 9]}}, decoding="serial"):
        assert torch.equal(latents(pipe), adaptive[0])
    assert torch.equal(*adaptive), "reset() is called as a run begins"


def test_parallel_decoding_is_refused(pipe):
    with pytest.raises(ConfigError, match="'nodding' decides step by step"):
        fdplug.propagate(pipe, policy=Nodding(), decoding="parallel")


def test_a_policy_that_never_skips_says_so(pipe):
    with (
        fdplug.propagate(pipe, policy=Nodding(every=1)),
        pytest.warns(NoEffectWarning, match="'nodding' made all 10 steps key steps"),
    ):
        latents(pipe)
