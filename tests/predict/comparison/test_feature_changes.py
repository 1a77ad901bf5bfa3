"""How features change, against a loop that keeps every feature."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest

from fdplug import registry
from fdplug.predict.comparison.feature_changes import longest_plain, measure
from fdplug.predict.comparison.variant import Variant
from fdplug.predict.data.captions import Caption
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run

CAPTIONS = [Caption(1, "a red circle"), Caption(2, "a green square")]


def _trial(pipe, name):
    variant = Variant.from_name(name)
    scheduler = registry.build("sampler", variant.sampler).build(pipe.scheduler.config)
    return SimpleNamespace(
        variant=variant, scheduler=scheduler, generation=GenerationConfig(steps=variant.resolved_steps, size=16)
    )


def _reference_features(pipe, trial):
    """All outputs of `down_blocks.0` and `up_blocks.1`, by call."""
    kept = {"down_blocks.0": [], "up_blocks.1": []}
    hooks = [
        pipe.unet.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: kept[name].append(output[0] if isinstance(output, tuple) else output)
        )
        for name in kept
    ]
    before, pipe.scheduler = pipe.scheduler, trial.scheduler
    run(pipe, CAPTIONS, trial.generation)
    pipe.scheduler = before
    for hook in hooks:
        hook.remove()
    return kept


def test_changes_are_those_of_the_kept_features(pipe):
    trial, before = _trial(pipe, "ddim-4"), pipe.scheduler
    found = measure(pipe, CAPTIONS, trial)
    assert pipe.scheduler is before
    assert (found["variant"], found["steps"]) == ("ddim-4", 4)
    blocks = {block["name"]: block for block in found["blocks"]}
    assert {block["half"] for block in found["blocks"]} == {"encoder", "bottleneck", "decoder"}
    for name, features in _reference_features(pipe, trial).items():
        wanted = []
        for earlier, later in pairwise(features):
            rows = [float((b - a).norm() / a.norm()) for a, b in zip(earlier, later, strict=True)]
            wanted.append(sum(rows) / len(rows))
        assert blocks[name]["change"] == pytest.approx(wanted, rel=1e-4)
        assert len(wanted) == 3


def test_nothing_is_claimed_where_there_is_no_step_before(pipe):
    assert measure(pipe, CAPTIONS, _trial(pipe, "ddim-1")) is None


def test_nothing_is_claimed_where_calls_are_not_the_steps(pipe):
    """A pipeline that calls its denoiser twice a step, as some guide."""
    original = pipe.unet.forward

    def twice(*args, **kwargs):
        original(*args, **kwargs)
        return original(*args, **kwargs)

    pipe.unet.forward = twice
    assert measure(pipe, CAPTIONS, _trial(pipe, "ddim-3")) is None


def test_the_longest_plain_trial_is_chosen(pipe):
    trials = [_trial(pipe, name) for name in ("ddim-9+paper", "ddim-3", "ddim-5")]
    assert longest_plain(trials) is trials[2]
    assert longest_plain(trials[:1]) is None
