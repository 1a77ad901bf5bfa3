"""A space of fewer steps alone: the search finds the best of all rows there are, which are run here one by one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from fdplug.errors import FdplugError
from fdplug.optimization import optimizer
from fdplug.optimization.candidate import Candidate
from fdplug.optimization.proposing import space
from fdplug.optimization.proposing.space import calls
from tests.optimization.conftest import CALL, REST, STEPS
from tests.optimization.test_search import searched, solver

EVERY = space._samplers
CEILING = (REST + STEPS * CALL) / 2


def rows(pipe):
    """Every row of fewer steps that is twice as fast, with its denoiser calls."""
    for sampler in EVERY(pipe, STEPS):
        for steps in range(1, STEPS + 1):
            try:
                work = calls(pipe.scheduler, sampler, steps)
            except (FdplugError, ValueError):
                continue
            if REST + work * CALL <= CEILING:
                yield Candidate(sampler, steps), work


@pytest.fixture
def alone(monkeypatch):
    """No plugin but samplers has anything to try."""

    def fewer(pipe, steps):
        found = space.catalogue(pipe, steps)
        return replace(found, parts=(), at_once=(), transforms=(), plugins={kind: {} for kind in found.plugins})

    monkeypatch.setattr(optimizer, "catalogue", fewer)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_the_best_of_fewer_steps_is_found(pipe, planted, alone, monkeypatch, seed):
    """Solvers are up to 8 dB apart, by chance; more steps of one are better."""

    def quality(candidate, work):
        chance = random.Random(f"{seed} {replace(candidate, steps=0).key}").uniform(0, 8)
        return solver(replace(candidate, sampler="own"), work) + chance

    planted(quality)
    monkeypatch.setattr(space, "_samplers", EVERY)
    answer = searched(pipe, "2x", seed=seed)
    known = {candidate.key: quality(candidate, work) for candidate, work in rows(pipe)}
    assert len(known) > 100
    taken = answer.verdict.row
    assert taken.candidate.propagation is None
    assert max(known.values()) - known[taken.candidate.key] <= 2 * taken.outcome.error("psnr")
