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


def _variant_run(pipe, name):
    variant = Variant.from_name(name)
    scheduler = registry.build("sampler", variant.sampler).build(pipe.scheduler.config)
    return SimpleNamespace(
        variant=variant, scheduler=scheduler, generation=GenerationConfig(steps=variant.resolved_steps, size=16)
    )


def _reference_features(pipe, variant_run):
    """All outputs of `down_blocks.0` and `up_blocks.1`, by call."""
    kept = {"down_blocks.0": [], "up_blocks.1": []}
    hooks = [
        pipe.unet.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: kept[name].append(output[0] if isinstance(output, tuple) else output)
        )
        for name in kept
    ]
    before, pipe.scheduler = pipe.scheduler, variant_run.scheduler
    run(pipe, CAPTIONS, variant_run.generation)
    pipe.scheduler = before
    for hook in hooks:
        hook.remove()
    return kept


def test_changes_are_those_of_the_kept_features(pipe):
    variant_run, before = _variant_run(pipe, "ddim-4"), pipe.scheduler
    found = measure(pipe, CAPTIONS, variant_run)
    assert pipe.scheduler is before
    assert (found["variant"], found["steps"]) == ("ddim-4", 4)
    blocks = {block["name"]: block for block in found["blocks"]}
    assert {block["half"] for block in found["blocks"]} == {"encoder", "bottleneck", "decoder"}
    for name, features in _reference_features(pipe, variant_run).items():
        wanted = []
        for earlier, later in pairwise(features):
            rows = [float((b - a).norm() / a.norm()) for a, b in zip(earlier, later, strict=True)]
            wanted.append(sum(rows) / len(rows))
        assert blocks[name]["change"] == pytest.approx(wanted, rel=1e-4)
        assert len(wanted) == 3


def test_nothing_is_claimed_where_there_is_no_step_before(pipe):
    assert measure(pipe, CAPTIONS, _variant_run(pipe, "ddim-1")) is None


def test_nothing_is_claimed_where_calls_are_not_the_steps(pipe):
    """A pipeline that calls its denoiser twice a step, as some guide."""
    original = pipe.unet.forward

    def twice(*args, **kwargs):
        original(*args, **kwargs)
        return original(*args, **kwargs)

    pipe.unet.forward = twice
    assert measure(pipe, CAPTIONS, _variant_run(pipe, "ddim-3")) is None


def test_the_longest_plain_trial_is_chosen(pipe):
    variant_runs = [_variant_run(pipe, name) for name in ("ddim-9+paper", "ddim-3", "ddim-5")]
    assert longest_plain(variant_runs) is variant_runs[2]
    assert longest_plain(variant_runs[:1]) is None
