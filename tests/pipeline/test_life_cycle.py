"""On, off, again, interrupted: propagation leaves nothing behind, and never starts from leftovers."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch

import fdplug
from fdplug import registry
from fdplug.errors import FdplugWarning, NoEffectWarning, PatchOrderError, PipelineError, PropagationError
from fdplug.patching import Patch
from fdplug.testing import latents, tiny_pipeline
from fdplug.transforms import Transform

UNIFORM = {"uniform": {"interval": 3}}


def snapshot(pipe):
    """Every attribute of every module of the denoiser, and of the scheduler, by identity or value."""
    modules = {name: dict(module.__dict__) for name, module in pipe.unet.named_modules()}
    return {name: {key: id(value) for key, value in held.items()} for name, held in modules.items()}, sorted(
        pipe.scheduler.__dict__
    )


def equal(one, other):
    return torch.equal(one, other)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_policy_all_is_the_baseline_bit_for_bit(pipe, decoding):
    expected = latents(pipe)
    with fdplug.propagate(pipe, policy="all", injector="none", decoding=decoding):
        assert equal(latents(pipe), expected)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_a_second_call_equals_the_first(pipe, decoding):
    with fdplug.propagate(pipe, policy=UNIFORM, decoding=decoding):
        assert equal(latents(pipe), latents(pipe))


def test_removal_restores_output_and_attributes(pipe):
    expected = latents(pipe)
    before = snapshot(pipe)
    on = fdplug.propagate(pipe, policy=UNIFORM)
    assert not equal(latents(pipe), expected)
    on.remove()
    assert snapshot(pipe) == before
    assert equal(latents(pipe), expected)
    on.remove()  # a second time is harmless


class Boom(Exception):
    """Raised in the middle of a run."""


def _explode(pipe, step, timestep, tensors):
    if step == 4:
        raise Boom
    return tensors


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt])
@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_an_exception_in_the_middle_leaves_nothing_behind(pipe, error, decoding):
    def explode(pipe, step, timestep, tensors):
        if step == 4:
            raise error
        return tensors

    expected = latents(pipe)
    before = snapshot(pipe)
    with (
        pytest.raises(error),
        fdplug.propagate(pipe, policy=UNIFORM, decoding=decoding),
    ):
        latents(pipe, callback_on_step_end=explode)
    assert snapshot(pipe) == before
    assert equal(latents(pipe), expected)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_the_call_after_an_exception_is_a_fresh_one(pipe, decoding):
    with fdplug.propagate(pipe, policy=UNIFORM, decoding=decoding):
        expected = latents(pipe)
        with pytest.raises(Boom):
            latents(pipe, callback_on_step_end=_explode)
        assert equal(latents(pipe), expected)


def test_an_exception_inside_the_denoiser_frees_what_was_kept(pipe):
    """Also the cache: its memory is not held until the next run."""

    def broken(original, *args, **kwargs):
        if on.ledger.passes("") == 2:
            raise Boom
        return original(*args, **kwargs)

    patch = Patch(pipe.unet.conv_out, "forward", broken)
    patch.apply()
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        with pytest.raises(Boom):
            latents(pipe)
        assert on.method.cache._kept == {}
    patch.remove()


def test_nothing_is_kept_after_a_run(pipe):
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        latents(pipe)
        assert on.method.cache._kept == {}


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_an_interrupt_stops_and_the_next_call_is_fresh(pipe, decoding):
    def stop(pipe, step, timestep, tensors):
        pipe._interrupt = step == 3
        return tensors

    with fdplug.propagate(pipe, policy=UNIFORM, decoding=decoding) as on:
        expected = latents(pipe)
        latents(pipe, callback_on_step_end=stop)
        assert max(on.ledger.key_steps) == 3
        assert equal(latents(pipe), expected)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_other_sizes_batches_and_step_counts_are_those_of_a_fresh_pipeline(pipe, decoding):
    settings = {"policy": UNIFORM, "decoding": decoding}
    changes = [
        {"height": 24, "width": 16},
        {"num_inference_steps": 7},
        {"prompt": ["red", "blue", "green"]},
        {"num_images_per_prompt": 2},
        {"guidance_scale": 1.0},
        {},
    ]
    with fdplug.propagate(pipe, **settings):
        got = [latents(pipe, **{"prompt": "red", **change}) for change in changes]
    for change, one in zip(changes, got, strict=True):
        fresh = tiny_pipeline()
        with fdplug.propagate(fresh, **settings):
            assert equal(one, latents(fresh, **{"prompt": "red", **change}))


def test_an_exchanged_scheduler_is_followed_with_a_warning(pipe):
    """The result is that of propagation switched on after the exchange, and the old scheduler is clean."""
    with fdplug.propagate(pipe, policy=UNIFORM):
        latents(pipe)
        old = pipe.scheduler
        pipe.scheduler = registry.build("sampler", "euler").build(old.config)
        with pytest.warns(FdplugWarning, match="scheduler was exchanged, DDIMScheduler for EulerDiscreteScheduler"):
            first = latents(pipe)
        assert "step" not in old.__dict__
        assert equal(latents(pipe), first)
    assert "step" not in pipe.scheduler.__dict__
    with fdplug.propagate(pipe, policy=UNIFORM):
        assert equal(latents(pipe), first)


def test_propagating_twice_replaces_the_first(pipe):
    before = snapshot(pipe)
    first = fdplug.propagate(pipe, policy=UNIFORM)
    second = fdplug.propagate(pipe, policy="all", injector="none")
    assert not first.active
    got = latents(pipe)
    second.remove()
    assert snapshot(pipe) == before
    assert equal(latents(pipe), got)


def test_a_failed_second_call_leaves_the_first_in_place(pipe):
    with fdplug.propagate(pipe, policy=UNIFORM) as first:
        expected = latents(pipe)
        with pytest.raises(fdplug.FdplugError):
            fdplug.propagate(pipe, policy="unifrom")
        assert first.active
        assert equal(latents(pipe), expected)


def test_two_pipelines_with_one_denoiser_are_refused(pipe):
    other = tiny_pipeline()
    other.unet = pipe.unet
    with fdplug.propagate(pipe), pytest.raises(PipelineError, match="already propagated by another"):
        fdplug.propagate(other)


def test_two_pipelines_of_one_class_do_not_meet():
    one, other = tiny_pipeline(seed=0), tiny_pipeline(seed=1)
    plain = latents(other)
    with fdplug.propagate(one, policy=UNIFORM):
        alone = latents(one)
        assert equal(latents(other), plain)
        with fdplug.propagate(other, policy="all", injector="none"):
            assert equal(latents(one), alone)
            assert equal(latents(other), plain)


def test_an_object_that_keeps_features_serves_one_pipeline_at_a_time():
    """Two pipelines would get each other's features from it; names, and objects of their own, are fine."""
    one, two = tiny_pipeline(), tiny_pipeline(seed=1)
    cache = registry.build("cache", "reuse")
    with fdplug.propagate(one, cache=cache):
        with pytest.raises(PipelineError, match="give each pipeline an object of its own, or the name, cache='reuse'"):
            fdplug.propagate(two, cache=cache)
        fdplug.propagate(two, cache="reuse").remove()
        fdplug.propagate(one, cache=cache).remove()
    fdplug.propagate(two, cache=cache).remove()


def test_undo_out_of_order_is_refused_and_says_who_is_on_top(pipe):
    on = fdplug.propagate(pipe)
    outer = Patch(pipe.unet, "_call_impl", lambda original, *args, **kwargs: original(*args, **kwargs))
    outer.apply()
    with pytest.raises(
        PatchOrderError, match=r"UNet2DConditionModel._call_impl was replaced again, by fdplug.patching"
    ):
        on.remove()
    assert on.active
    outer.remove()
    on.remove()


def test_a_deep_copy_of_a_propagated_pipeline_is_clean(pipe):
    """The copy runs its own layers: weights changed there do not show in the original, and the other way round."""
    expected = latents(pipe)
    with fdplug.propagate(pipe, policy=UNIFORM):
        clone = copy.deepcopy(pipe)
    assert equal(latents(clone), expected)
    with torch.no_grad():
        clone.unet.conv_in.weight.zero_()
    assert not equal(latents(clone), expected)
    assert equal(latents(pipe), expected)


@pytest.mark.parametrize("what", ["pipeline", "unet", "scheduler"])
def test_a_pickled_copy_is_clean(pipe, what):
    """It runs its own layers, holds nothing of fdplug's, and can be propagated and pickled again."""
    expected = latents(pipe)
    with fdplug.propagate(pipe, policy=UNIFORM):
        written = pickle.dumps(pipe if what == "pipeline" else getattr(pipe, what))
        accelerated = latents(pipe)
    assert b"fdplug" not in written
    made = pickle.loads(written)
    other = made if what == "pipeline" else tiny_pipeline()
    if what != "pipeline":
        setattr(other, what, made)
    for one in (other, pickle.loads(pickle.dumps(other))):
        assert equal(latents(one), expected)
        with fdplug.propagate(one, policy=UNIFORM):
            assert equal(latents(one), accelerated)
    with torch.no_grad():
        other.unet.conv_in.weight.zero_()
    assert not equal(latents(other), expected)
    assert equal(latents(pipe), expected)


def test_removing_is_all_or_nothing(pipe):
    """Where the scheduler's patch is covered, the denoiser is left as it is, too."""
    with fdplug.propagate(pipe, policy=UNIFORM) as on:
        expected = latents(pipe)
        outer = Patch(pipe.scheduler, "step", lambda original, *args, **kwargs: original(*args, **kwargs))
        outer.apply()
        with pytest.raises(PatchOrderError, match=r"DDIMScheduler\.step was replaced again"):
            on.remove()
        assert on.active
        assert equal(latents(pipe), expected)
        outer.remove()
    assert "_call_impl" not in vars(pipe.unet)


def test_saving_a_propagated_pipeline_saves_the_clean_model(pipe, tmp_path):
    from diffusers import StableDiffusionPipeline

    expected = latents(pipe)
    with fdplug.propagate(pipe, policy=UNIFORM):
        pipe.save_pretrained(tmp_path)
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path, safety_checker=None)
    loaded.set_progress_bar_config(disable=True)
    assert torch.allclose(latents(loaded), expected, atol=1e-3)
    assert {name for name, _ in loaded.unet.named_parameters()} == {name for name, _ in pipe.unet.named_parameters()}


def test_a_run_in_which_every_step_is_a_key_step_says_so(pipe):
    with (
        fdplug.propagate(pipe, policy={"uniform": {"interval": 1}}),
        pytest.warns(NoEffectWarning, match="'uniform' made all 10 steps key steps"),
    ):
        latents(pipe)


def test_key_steps_outside_the_run_are_an_error(pipe):
    with (
        fdplug.propagate(pipe, policy={"explicit": {"steps": [0, 10, 60]}}),
        pytest.raises(PropagationError, match=r"key steps 10, 60, but this run has 10 steps, 0 to 9"),
    ):
        latents(pipe)


def test_a_call_of_the_denoiser_outside_a_run_is_untouched(pipe):
    arguments = (torch.ones(1, 4, 8, 8), torch.tensor(5), torch.ones(1, 16, 16))
    with torch.no_grad():
        expected = pipe.unet(*arguments).sample
        with fdplug.propagate(pipe, policy=UNIFORM):
            assert equal(pipe.unet(*arguments).sample, expected)
            latents(pipe)
            assert equal(pipe.unet(*arguments).sample, expected)


def made(pipe, policy):
    with fdplug.propagate(pipe, policy=policy, injector="none"):
        return latents(pipe)


def test_one_inside_another_gives_it_back(pipe):
    """As a block inside a block, and switched on and off by hand; whatever is left is the pipeline's own."""
    outer, inner = UNIFORM, {"uniform": {"interval": 2}}
    expected, other, plain = made(pipe, outer), made(pipe, inner), latents(pipe)
    with fdplug.propagate(pipe, policy=outer, injector="none"):
        with fdplug.propagate(pipe, policy=inner, injector="none"):
            assert equal(latents(pipe), other)
        assert equal(latents(pipe), expected)
        second = fdplug.propagate(pipe, policy=inner, injector="none")
        assert equal(latents(pipe), other)
        second.remove()
        second.remove()
        assert equal(latents(pipe), expected)
        with pytest.raises(Boom), fdplug.propagate(pipe, policy=inner, injector="none"):
            latents(pipe, callback_on_step_end=_explode)
        assert equal(latents(pipe), expected)
    assert equal(latents(pipe), plain)


def test_one_by_hand_comes_back_after_a_block_and_stays_away_once_it_is_removed(pipe):
    expected, plain = made(pipe, UNIFORM), latents(pipe)
    first = fdplug.propagate(pipe, policy=UNIFORM, injector="none")
    with fdplug.propagate(pipe, policy="all", injector="none"):
        assert equal(latents(pipe), plain)
    assert equal(latents(pipe), expected)
    with fdplug.propagate(pipe, policy="all", injector="none"):
        first.remove()
    assert equal(latents(pipe), plain)
    assert "_call_impl" not in vars(pipe.unet)


def test_one_that_cannot_be_switched_on_leaves_the_first_in_place(pipe):
    class Broken(Transform):
        """Cannot be applied."""

        name = "broken"

        def apply(self, pipe):
            raise Boom

        def undo(self, pipe):
            """Undo nothing."""

    with fdplug.propagate(pipe, policy=UNIFORM, injector="none"):
        expected = latents(pipe)
        with pytest.raises(Boom):
            fdplug.propagate(pipe, policy="all", injector="none", transforms=[Broken()])
        assert equal(latents(pipe), expected)


def test_another_thread_cannot_switch_it_in_the_middle_of_a_run(pipe):
    refused = []

    def elsewhere():
        with pytest.raises(PropagationError, match="another thread is in the middle of a run"):
            fdplug.propagate(pipe, policy="all")
        refused.append(True)

    def meanwhile(pipe, step, timestep, tensors):
        if step == 4:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
        return tensors

    with fdplug.propagate(pipe, policy=UNIFORM):
        expected = latents(pipe)
        assert equal(latents(pipe, callback_on_step_end=meanwhile), expected)
    assert refused
