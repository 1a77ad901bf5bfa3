"""Modules whose output nobody but the next one reads are not kept; unless that one is skipped."""

from __future__ import annotations

import pytest

import fdplug
from fdplug.denoisers import Part
from fdplug.propagation.replay import _ends
from fdplug.testing.systems import SYSTEMS

UNIFORM = {"uniform": {"interval": 3}}
SYSTEM = SYSTEMS["sd3"]


def run(pipe, skipped, **settings):
    arguments = {
        "num_inference_steps": 7,
        "guidance_scale": 5.0,
        "skip_guidance_layers": skipped,
        "skip_layer_guidance_start": 0.0,
        "skip_layer_guidance_stop": 0.7,
    }
    if not settings:
        return SYSTEM.run(pipe, **arguments)
    with fdplug.propagate(pipe, policy=UNIFORM, injector="none", **settings):
        return SYSTEM.run(pipe, **arguments)


@pytest.mark.parametrize("skipped", [[0], [1]], ids=["the end of the encoder", "behind it"])
def test_skip_layer_guidance_is_the_same_however_it_is_decoded(skipped):
    """Skipping the end of the chain hands what was before it to the decoder."""
    pipe = SYSTEM.make()
    serial = run(pipe, skipped, decoding="serial")
    for settings in ({"decoding": "parallel"}, {"max_span_batch": 1}, {"max_span_batch": 2}):
        got = run(pipe, skipped, **settings)
        assert float((got - serial).abs().max()) <= 1e-4 * float(serial.abs().max()), settings


def test_skip_layer_guidance_replays_the_embeddings_where_the_whole_encoder_is_skipped():
    """By a plain loop: hooks that keep and give back what the embeddings and the block hand on, call by call."""
    pipe = SYSTEM.make()
    got = run(pipe, [0], decoding="serial")
    expected = _plain(pipe, lambda: run(pipe, [0]))
    assert float((got - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


def _plain(pipe, draw):
    """Record leading modules at steps 0, 3, 6 and give back what they answered at the others; calls by their rows."""
    net, kept, place = pipe.transformer, {}, {"step": -1, "timestep": None, "rows": 0}

    def enter(module, args, kwargs):
        if float(kwargs["timestep"][0]) != place["timestep"]:
            place["timestep"], place["step"] = float(kwargs["timestep"][0]), place["step"] + 1
        place["rows"] = len(kwargs["hidden_states"])

    def replay(name):
        def hook(module, args, output):
            key, step = (name, place["rows"]), place["step"]
            if step % 3 == 0 or kept.get(key, (-1, None))[0] < step - step % 3:  # a call that begins within a span
                kept[key] = step, output
            return kept[key][1]

        return hook

    names = ("pos_embed", "context_embedder", "transformer_blocks.0")
    handles = [net.register_forward_pre_hook(enter, with_kwargs=True)]
    handles += [net.get_submodule(name).register_forward_hook(replay(name)) for name in names]
    try:
        return draw()
    finally:
        for handle in handles:
            handle.remove()


def test_the_end_of_a_chain_is_the_next_module_that_is_kept():
    part = Part(name="x", modules=("a", "b", "c", "d"), sample_free=True, chained=frozenset("abd"))
    assert _ends(part) == {"a": "c", "b": "c", "d": ""}
