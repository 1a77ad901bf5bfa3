"""Rows of guidance that are left out: the same images as a plain loop, and as diffusers' own way to switch it off."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug import registry
from fdplug.errors import ConfigError, NoEffectWarning, PropagationError
from fdplug.guidance import AdaptiveGuidance, First
from fdplug.testing import latents, tiny_pipeline
from fdplug.testing.checks import attributes
from tests.propagation import guided_reference as reference

ALONE = {"policy": "all", "injector": "none"}
SPANS = {"policy": {"explicit": {"steps": [0, 1, 4, 7]}}, "injector": "none"}
TEXTS = ["a red circle", "a blue square"]
# Ten steps of DDIM are at 901, 801, ..., 1.
RUNS = {
    "interval": ({"interval": {"low": 0.2, "high": 0.75}}, range(2, 8), reference.off),
    "first": ({"first": {"share": 0.35}}, range(4), reference.off),
    "kept": ({"cached": {"every": 3}}, range(0, 10, 3), reference.kept),
    "extrapolated": ({"cached": {"every": 2, "difference": "extrapolated"}}, range(0, 10, 2), reference.on_a_line),
}


@pytest.fixture(scope="module")
def shared():
    return tiny_pipeline()


def close(one, other):
    return float((one - other).abs().max()) <= 1e-4 * max(1.0, float(other.abs().max()))


def passes(ledger):
    return [(entry.steps, entry.rows) for entry in ledger.entries if entry.module == ""]


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("sampler", ["ddim", "euler"])
def test_alone_it_is_the_plain_loop(shared, name, sampler):
    guidance, full, make = RUNS[name]
    shared.scheduler = registry.build("sampler", sampler).build(shared.scheduler.config)
    if sampler == "euler":
        full = [index for index in range(10) if index in full] if name != "interval" else None
    full = _inside(shared, 0.2, 0.75) if full is None else full
    expected, _, rows = reference.guided(shared, TEXTS, 10, full, make)
    everything, _, _ = reference.guided(shared, TEXTS, 10, range(10))
    assert not close(everything, expected), "the method does something"
    with fdplug.propagate(shared, **ALONE, guidance=guidance) as on:
        got = latents(shared, TEXTS)
        assert on.ledger.rows("") == rows == 2 * (10 + len(full))
        assert torch.equal(latents(shared, TEXTS), got), "a second call is as the first"
    assert close(got, expected)
    shared.scheduler = registry.build("sampler", "ddim").build(shared.scheduler.config)


def _inside(pipe, low, high):
    pipe.scheduler.set_timesteps(10)
    return [index for index, one in enumerate(pipe.scheduler.timesteps) if low <= float(one) / 1000 <= high]


@pytest.mark.parametrize("name", RUNS)
def test_with_propagation_rows_that_run_again_are_computed_anew(shared, name):
    """Serial and in parallel; no features of different steps meet in one difference."""
    guidance, full, make = RUNS[name]
    expected, _, rows = reference.guided(shared, TEXTS, 10, full, make, keys=(0, 1, 4, 7))
    for decoding in ("serial", "parallel"):
        with fdplug.propagate(shared, **SPANS, guidance=guidance, decoding=decoding) as on:
            assert close(latents(shared, TEXTS), expected)
        assert on.ledger.rows("") == rows
    keys = set(on.ledger.key_steps)
    again = {"interval": {2}, "kept": {3, 6, 9}, "extrapolated": {2, 8}, "first": set()}[name]
    assert keys == {0, 1, 4, 7} | again
    assert on.ledger.passes("") < 10, "rows that run at several steps of a span are decoded at once"


def recipe(steps, share):
    """What diffusers documents under "Pipeline callbacks": guidance is off after a share of the steps."""

    def callback(pipeline, step_index, timestep, callback_kwargs):
        if step_index == int(steps * share):
            prompt_embeds = callback_kwargs["prompt_embeds"]
            callback_kwargs["prompt_embeds"] = prompt_embeds.chunk(2)[-1]
            pipeline._guidance_scale = 0.0
        return callback_kwargs

    return {"callback_on_step_end": callback, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}


@pytest.mark.parametrize("texts", [TEXTS[:1], TEXTS])
def test_first_is_what_diffusers_documents(shared, texts):
    """Its callback comes after step 4 of 10, the fifth."""
    with fdplug.propagate(shared, **ALONE) as on:
        expected = latents(shared, texts, **recipe(10, 0.4))
        documented, cost = passes(on.ledger), on.ledger.gflops()
    with fdplug.propagate(shared, **ALONE, guidance={"first": {"share": 0.5}}) as on:
        got = latents(shared, texts)
        assert passes(on.ledger) == documented
        assert on.ledger.gflops() == pytest.approx(cost, rel=1e-9)
    assert close(got, expected)


def test_a_callback_may_switch_guidance_off_altogether(shared):
    """From there on the batch holds no rows that could be left out."""

    def make(now, conditional, seen):
        return reference.kept(now, conditional, seen) if now > 0.5 else conditional

    expected, _, rows = reference.guided(shared, TEXTS, 10, {0, 2, 4}, make)
    with fdplug.propagate(shared, **ALONE, guidance="cached") as on:
        assert close(latents(shared, TEXTS, **recipe(10, 0.4)), expected)
    assert on.ledger.rows("") == rows


def test_a_callback_may_change_the_guidance_scale(shared):
    def callback(pipeline, step_index, timestep, callback_kwargs):
        pipeline._guidance_scale = 3.0 if step_index >= 3 else 7.5
        return callback_kwargs

    expected, _, _ = reference.guided(shared, TEXTS, 10, range(0, 10, 2), reference.kept, lambda i: 7.5 if i < 4 else 3)
    with fdplug.propagate(shared, **ALONE, guidance="cached"):
        assert close(latents(shared, TEXTS, callback_on_step_end=callback), expected)


@pytest.mark.parametrize(("then", "tolerance"), [("off", 1e-4), ("affine", 1e-3)])
def test_adaptive_is_the_cosine_rule(shared, then, tolerance):
    """The threshold lies between two cosines of this model, so that the rule is met in the middle of the run."""
    _, seen, _ = reference.guided(shared, TEXTS, 10, range(10))
    cosines = [min(torch.cosine_similarity(one.flatten(1), two.flatten(1)).tolist()) for _, one, two in seen]
    threshold = (max(cosines[:4]) + max(cosines[4:])) / 2
    last = next(index for index, cosine in enumerate(cosines) if cosine > threshold)
    assert 3 < last < 9, cosines
    make = reference.Affine() if then == "affine" else reference.off
    expected, _, rows = reference.guided(shared, TEXTS, 10, range(last + 1), make)
    with fdplug.propagate(shared, **ALONE, guidance={"adaptive": {"threshold": threshold, "then": then}}) as on:
        got = latents(shared, TEXTS)
    assert on.ledger.rows("") == rows == 2 * (10 + last + 1)
    assert float((got - expected).abs().max()) <= tolerance * max(1.0, float(expected.abs().max()))


def lowered(after):
    """A scale so near 1 that the pipeline's formula gives the conditional prediction, from a step on."""

    def callback(pipeline, step_index, timestep, callback_kwargs):
        if step_index == after - 1:
            pipeline._guidance_scale = 1 + 1e-7
        return callback_kwargs

    return {"callback_on_step_end": callback}


@pytest.mark.parametrize(
    "settings",
    [
        {"part": "trunk", "decoding": "parallel"},
        {"part": "decoder"},
        {"max_span_batch": 3},
        {"max_span_batch": "auto"},
        {"injector": {"prior": {"alpha": 0.05}}},
    ],
    ids=str,
)
def test_stacked_it_is_the_same_method_with_the_scale_lowered(shared, settings):
    """The pipeline itself is the truth: all its rows run, and the unconditional ones no longer count."""
    given = {**SPANS, **settings}
    with fdplug.propagate(shared, **given) as on:
        expected = latents(shared, TEXTS, **lowered(5))
        cost = on.ledger.gflops()
    with fdplug.propagate(shared, **given, guidance="first") as on:
        got = latents(shared, TEXTS)
        assert on.ledger.gflops() < cost
        assert torch.equal(latents(shared, TEXTS), got)
    assert close(got, expected)
    assert on.ledger.rows("") == 2 * 15
    limit = settings.get("max_span_batch")
    assert limit != 3 or max(rows for _, rows in passes(on.ledger) if rows != 4) <= 3


def test_undo_is_exact_also_after_an_exception(pipe):
    expected, before = latents(pipe), attributes(pipe)

    def explode(*args):
        raise RuntimeError("in the middle")

    with fdplug.propagate(pipe, **SPANS, guidance="first"):
        got = latents(pipe)
        with pytest.raises(RuntimeError, match="in the middle"):
            latents(pipe, callback_on_step_end=lambda *given: explode() if given[1] == 6 else {})
        assert torch.equal(latents(pipe), got)
    assert attributes(pipe) == before
    assert torch.equal(latents(pipe), expected)


class Twice(AdaptiveGuidance):
    """Full at the first step and at the sixth."""

    name = "twice"

    def reset(self):
        self.made = []

    def is_full(self, step):
        return step.index in (0, 5)

    def predict(self, step, name, conditional):
        self.made.append((step.index, name))
        return conditional


def test_a_guidance_that_decides_as_it_goes_brings_rows_back(shared):
    expected, _, _ = reference.guided(shared, TEXTS, 10, {0, 5}, keys=(0, 1, 4, 7))
    guidance = Twice()
    with fdplug.propagate(shared, **SPANS, guidance=guidance) as on:
        assert close(latents(shared, TEXTS), expected)
    assert on.ledger.key_steps == (0, 1, 4, 5, 7)
    assert guidance.made == [(step, "unconditional") for step in (1, 2, 3, 4, 6, 7, 8, 9)]
    with pytest.raises(ConfigError, match=r"guidance 'twice' decides step by step.*decoding='serial'"):
        fdplug.propagate(shared, **SPANS, guidance=Twice(), decoding="parallel")


@pytest.mark.parametrize("guidance", [{"first": {"share": 1}}, "first"])
def test_what_leaves_no_row_out_says_so(shared, guidance):
    scale = 1.0 if guidance == "first" else 7.5
    why = "no rows but the conditional ones" if guidance == "first" else "all rows ran at every step"
    plain = latents(shared, guidance_scale=scale)
    with fdplug.propagate(shared, **ALONE, guidance=guidance), pytest.warns(NoEffectWarning, match=why):
        assert torch.equal(latents(shared, guidance_scale=scale), plain)


def test_a_loop_of_ones_own_is_refused(shared):
    shared.scheduler.set_timesteps(4)
    with fdplug.propagate(shared, **ALONE, guidance="first"):
        shared.scheduler.set_timesteps(4)
        text = torch.zeros(2, 16, 16)
        with pytest.raises(PropagationError, match=r"a loop of one's own, .*guidance='full'"), torch.no_grad():
            shared.unet(torch.zeros(2, 4, 8, 8), shared.scheduler.timesteps[0], text)


def test_a_pipeline_whose_rows_are_not_known_is_refused(shared):
    class Own(type(shared)):
        """Somebody's own pipeline: nobody knows what its batches hold."""

        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)

    own = Own(**shared.components, requires_safety_checker=False)
    with pytest.raises(PropagationError, match="'unet-2d-condition' does not know what the rows of Own stand for"):
        fdplug.propagate(own, **ALONE, guidance="first")


def test_attention_that_looks_across_rows_is_refused(pipe):
    class Across:
        """Somebody's own attention."""

        def __init__(self, inner):
            self.inner = inner

        def __call__(self, *args, **kwargs):
            return self.inner(*args, **kwargs)

    pipe.unet.set_attn_processor({name: Across(one) for name, one in pipe.unet.attn_processors.items()})
    with (
        fdplug.propagate(pipe, **ALONE, guidance="first"),
        pytest.raises(PropagationError, match=r"rows see each other, or may do so in .*Across: take guidance='full'"),
    ):
        latents(pipe)


def test_full_steps_outside_the_run_are_refused(shared):
    class Beyond(First):
        """Asks for a step too many."""

        name = "beyond"

        def full_steps(self, schedule):
            return frozenset({schedule.num_steps})

    with (
        fdplug.propagate(shared, **ALONE, guidance=Beyond()),
        pytest.raises(PropagationError, match=r"'beyond' asks for all rows at steps 10, but this run has 10 steps"),
    ):
        latents(shared)


@pytest.mark.parametrize(
    ("guidance", "message"),
    [
        ({"interval": {"low": 0.5, "high": 0.5}}, "low must be less than high"),
        ({"interval": {"low": -1}}, "low must be a number between 0 and 1"),
        ({"cached": {"every": 0}}, "every must be a whole number of at least 1"),
        ({"cached": {"difference": "halved"}}, "difference must be one of kept, extrapolated"),
        ({"adaptive": {"then": "on"}}, "then must be one of off, affine"),
        ("frist", "no guidance 'frist', did you mean 'first'"),
    ],
)
def test_wrong_options_are_refused(shared, guidance, message):
    with pytest.raises(ConfigError, match=message):
        fdplug.propagate(shared, guidance=guidance)
