"""Guidance on top of the distributions under `plugins/` and of compilation: the stack itself, its scale lowered."""

from __future__ import annotations

import importlib

import pytest
import torch

import fdplug
from fdplug.errors import StackError
from fdplug.testing import latents
from tests.propagation.test_guidance import TEXTS, close, lowered

SPANS = {"policy": {"explicit": {"steps": [0, 1, 4, 7]}}, "injector": "none"}
FIRST = {"first": {"share": 0.5}}


def made(module, name, **options):
    return getattr(importlib.import_module(module), name)(**options)


STACKS = {
    "deepcache": lambda: {**SPANS, "part": made("fdplug_deepcache", "DeepCache")},
    "tome": lambda: {**SPANS, "transforms": [made("fdplug_tome", "TokenMerging")]},
    "forecast": lambda: {**SPANS, "part": "trunk", "cache": made("fdplug_forecast", "Forecast")},
    "compile": lambda: {**SPANS, "transforms": [{"compile": {"backend": "eager"}}]},
    "blocks": lambda: {
        "injector": "none",
        "policy": {"uniform": {"interval": 3}},
        "part": made("fdplug_blockcache", "Attentions"),
    },
}


@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.slow] * (one == "compile")) for one in STACKS])
def test_a_stack_without_guidance_late_is_the_stack_with_its_scale_lowered(importable, pipe, name):
    """The pipeline's own formula with a scale of 1 is the truth: there all rows run."""
    with fdplug.propagate(pipe, **STACKS[name]()) as on:
        expected = latents(pipe, TEXTS, **lowered(5))
        all_rows = on.ledger.rows("")
    with fdplug.propagate(pipe, **STACKS[name](), guidance=FIRST) as on:
        got = latents(pipe, TEXTS)
        assert torch.equal(latents(pipe, TEXTS), got)
        assert on.ledger.rows("") == 30
    assert all_rows == 40
    assert close(got, expected)


@pytest.mark.parametrize("name", ["FirstBlockCache", "EasyCache"])
def test_residual_caches_decide_by_the_rows_that_always_run(importable, pipe, name):
    """Or by the batch as the pipeline sees it; never by more rows at one step than at another."""
    part = "AfterFirstBlock" if name == "FirstBlockCache" else "AllBlocks"
    settings = {"policy": made("fdplug_residual", name), "part": made("fdplug_residual", part), "injector": "none"}
    with fdplug.propagate(pipe, **settings, guidance={"cached": {"every": 3}}) as on:
        got = latents(pipe, TEXTS)
        assert on.ledger.rows("") == 2 * (10 + 4)
        assert torch.equal(latents(pipe, TEXTS), got)
    assert torch.isfinite(got).all()


def test_parallel_sampling_refuses_it(importable, pipe):
    paradigms = made("fdplug_paradigms", "ParallelSampling")
    with pytest.raises(StackError, match="'paradigms' and 'rows-left-out' cannot be combined: its window holds"):
        fdplug.propagate(pipe, policy="all", injector="none", transforms=[paradigms], guidance="first")
