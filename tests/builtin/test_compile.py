"""Compiled denoisers: the same images, no break in a graph, and no new graph for another span."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch._dynamo.utils import counters

import fdplug
from fdplug.errors import ConfigError
from fdplug.testing.checks import attributes
from fdplug.testing.systems import SYSTEMS

STEPS = 20
# Spans of five lengths. No call has 16 rows: from there on torch takes another convolution on a CPU, and another graph.
KEYS = {"explicit": {"steps": [0, 1, 3, 6, 11, 18]}}


@pytest.fixture(autouse=True)
def compiler():
    """Start with no graphs, and count from zero."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def graphs():
    """How many graphs there are by now; a graph that was broken is an error."""
    assert not counters["graph_break"], dict(counters["graph_break"])
    return counters["stats"]["unique_graphs"]


def compare(name, transform, tolerance=0.0, **settings):
    """Run a system as it is and compiled, twice; return the number of graphs, and the ledger."""
    system = SYSTEMS[name]
    pipe = system.make()
    system.run(pipe, num_inference_steps=1)  # text encoders take their own hooks at the first call
    before = attributes(pipe)
    others = settings.pop("transforms", [])
    with fdplug.propagate(pipe, policy=KEYS, transforms=others, **settings):
        expected = system.run(pipe, num_inference_steps=STEPS)
    with fdplug.propagate(pipe, policy=KEYS, transforms=[*others, transform], **settings) as on:
        first = system.run(pipe, num_inference_steps=STEPS)
        count = graphs()
        assert torch.equal(system.run(pipe, num_inference_steps=STEPS), first)
        assert graphs() == count  # the second run compiles nothing
        ledger = on.ledger
    assert torch.allclose(first, expected, rtol=0, atol=tolerance * float(expected.abs().max()))
    assert attributes(pipe) == before
    return count, ledger


def lengths(ledger):
    """How many steps each call of the denoiser answered."""
    return [len(entry.steps) for entry in ledger.entries if entry.module == "" and entry.network == "unet"]


def test_one_graph_per_block_whatever_the_span():
    """Two runs with spans of five lengths: as many graphs as blocks, none broken, and the images bit for bit."""
    count, ledger = compare("sd-v", {"compile": {"backend": "eager"}}, decoding="parallel")
    assert lengths(ledger) == [1, 2, 3, 5, 7, 2]
    assert count == 6  # the time embedding, two blocks down, the middle, two blocks up
    assert ledger.gflops() > 0  # fvcore traces what the graphs were made from


@pytest.mark.slow
def test_static_graphs_are_made_for_every_span():
    """What `dynamic` saves: the two blocks up and the time embedding are compiled for each of the five lengths."""
    count, _ = compare("sd-v", {"compile": {"backend": "eager", "dynamic": False}}, decoding="parallel")
    assert count == 3 + 3 * 5


@pytest.mark.slow
@pytest.mark.parametrize("decoding", ["serial", "parallel"])
@pytest.mark.parametrize(("name", "blocks"), [("sd", 10), ("sdxl", 7), ("dit", 5), ("controlnet", 11)])
def test_every_system_compiles(name, blocks, decoding):
    """Blocks of the same code and shape may share a graph."""
    count, _ = compare(name, {"compile": {"backend": "aot_eager"}}, 1e-4, decoding=decoding)
    assert 0 < count <= blocks


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_inductor_gives_the_same_images():
    count, _ = compare("sd-v", "compile", 1e-3, decoding="parallel")
    assert count == 6


def merging():
    """Settings that put token merging inside blocks."""
    return {"transforms": [pytest.importorskip("fdplug_tome").TokenMerging()]}


def deepcache():
    """Settings whose part begins inside blocks."""
    return {"part": pytest.importorskip("fdplug_deepcache").DeepCache()}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [merging, deepcache, lambda: {"max_span_batch": "auto"}])
def test_what_lies_inside_a_block_stays_outside_of_its_graphs(settings):
    """Blocks are taken apart where something is put around what they are made of."""
    count, _ = compare("sd-v", {"compile": {"backend": "eager"}}, 1e-5, **settings())
    assert count >= 6


def test_a_denoiser_compiled_by_hand_afterwards_is_not_compiled_for_every_step():
    """No graph enters a patch, so what is decided there about steps is in none."""
    system = SYSTEMS["sd-v"]
    pipe = system.make()
    with fdplug.propagate(pipe, policy=KEYS) as on:
        expected = system.run(pipe, num_inference_steps=STEPS)
        pipe.unet.compile(backend="eager")
        assert torch.equal(system.run(pipe, num_inference_steps=STEPS), expected)
        assert counters["stats"]["unique_graphs"] == 0
        pipe.unet._compiled_call_impl = None
        on.remove()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fastest"}, "mode must be one of default, .*reduce-overhead.*; got 'fastest'"),
        ({"backend": "gcc"}, "backend must be one of .*inductor.*; got 'gcc'"),
    ],
)
def test_what_torch_does_not_know_is_refused(pipe, options, message):
    before = attributes(pipe)
    with pytest.raises(ConfigError, match=message):
        fdplug.propagate(pipe, transforms=[{"compile": options}])
    assert attributes(pipe) == before
