"""Parts of transformers against a plain loop: hooks keep what the last modules hand on, and hand it out again."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

import fdplug
from fdplug.lookup import find_families
from tests.denoisers.conftest import REPRESENTATIVES, close, snapshot

KEYS = (0, 2, 3)
METHOD = {"policy": {"explicit": {"steps": KEYS}}, "injector": "none"}

# Of every tiny transformer, by hand: what the encoder and what the trunk hands on.
_ONE_STACK = (["transformer_blocks.0"], "transformer_blocks.2")
_TWO_STACKS = (["single_transformer_blocks.0"], "single_transformer_blocks.2")
_BLOCKS = (["blocks.0"], "blocks.2")
_LAYERS = (["layers.0"], "layers.2")
KEPT = {
    "dit": (["transformer_blocks.2"], "transformer_blocks.4"),
    "pixart": (["transformer_blocks.1"], "transformer_blocks.3"),
    "pixart-sigma": (["transformer_blocks.1"], "transformer_blocks.3"),
    "hidream": (["double_stream_blocks.1"], "single_stream_blocks.1"),
    "hunyuan-dit": (["blocks.0", "blocks.1", "blocks.2", "blocks.4"], "blocks.7"),
    "kandinsky5": (["visual_transformer_blocks.0"], "visual_transformer_blocks.2"),
    "latte": (["transformer_blocks.1"], "temporal_transformer_blocks.2"),
    **dict.fromkeys(
        ("sd3", "qwen-image", "qwen-image-edit", "cogview4", "cogview3-plus", "sana", "ltx-video"), _ONE_STACK
    ),
    **dict.fromkeys(("cogvideox", "allegro", "mochi", "easyanimate", "stable-audio", "sana-video"), _ONE_STACK),
    **dict.fromkeys(("flux", "flux-kontext", "flux-img2img", "flux-control", "flux-fill", "flux2"), _TWO_STACKS),
    **dict.fromkeys(("flux2-klein", "chroma", "bria", "auraflow", "hunyuan-image", "hunyuan-video"), _TWO_STACKS),
    **dict.fromkeys(("wan", "wan-5b", "wan-a14b", "wan-a14b-i2v", "wan-vace", "skyreels-v2", "prx"), _BLOCKS),
    **dict.fromkeys(("lumina2", "z-image"), _LAYERS),
}
BESIDE = {"wan-vace": ["vace_blocks.0", "vace_blocks.1"]}  # blocks of any depth read the control
QUICK = {"dit", "sd3", *REPRESENTATIVES}
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KEPT]


# The trunk is for deterministic samplers of first order, which these pipelines do not come with.
OTHER_SAMPLERS = {"pixart": "ddim", "pixart-sigma": "ddim", "hunyuan-dit": "ddim"}


@pytest.fixture
def deterministic(cases, monkeypatch):
    """A system by its name, with a sampler that the trunk is for."""

    def made(name):
        case = cases(name)
        if name in OTHER_SAMPLERS:
            sampler = fdplug.registry.build("sampler", OTHER_SAMPLERS[name])
            monkeypatch.setattr(case.pipe, "scheduler", sampler.fit(case.pipe.scheduler))
        return case

    return made


def hooked(case, networks, replayed, begin=0):
    """Run the pipeline; at steps that are no key steps these modules hand out what they made at the last key step.

    Args:
        case: the system.
        networks: its denoisers, whose calls are counted.
        replayed: pairs of a network and the name of a module in it.
        begin: the first step of image-to-image, where the scheduler does not say it.

    What a module has not made yet it makes, as those of a second denoiser do at its first step.
    """
    kept, place, scheduler = {}, {"step": 0, "call": -1}, case.pipe.scheduler

    def enter(*_):
        place["call"] += 1

    def keep(network, name):
        def hook(module, args, output):
            key = (id(network), name, place["call"])
            if place["step"] + (getattr(scheduler, "begin_index", None) or begin) in KEYS or key not in kept:
                kept[key] = copy.deepcopy(output)
            return copy.deepcopy(kept[key])

        return hook

    original = scheduler.step

    @functools.wraps(original)  # pipelines look at what a scheduler's step takes
    def step(*args, **kwargs):
        place.update(step=place["step"] + 1, call=-1)
        return original(*args, **kwargs)

    handles = [network.get_submodule(name).register_forward_hook(keep(network, name)) for network, name in replayed]
    handles += [network.register_forward_pre_hook(enter) for network in networks]
    scheduler.step = step
    try:
        return case.run(num_inference_steps=6)
    finally:
        del scheduler.step
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("part", ["encoder", "trunk"])
@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_what_hooks_on_its_last_modules_give(deterministic, name, part):
    """Step by step and a span at once; the denoiser is called once for each key step and call of a step."""
    if (name, part) == ("stable-audio", "trunk"):
        pytest.skip("its solver combines predictions, so the trunk is refused")
    case = deterministic(name)
    components, networks = zip(*[(family.component, one) for family, one in find_families(case.pipe)], strict=True)
    names = KEPT[name][0] if part == "encoder" else [KEPT[name][1]]
    names = names + BESIDE.get(name, [])
    expected = hooked(case, networks, [(network, one) for network in networks for one in names])
    assert not close(expected, case.run(num_inference_steps=6), 1e-3)
    for decoding in ("serial", "parallel"):
        with fdplug.propagate(case.pipe, part=part, decoding=decoding, **METHOD) as on:
            assert close(case.run(num_inference_steps=6), expected)
        assert {one for one in on.method.part.modules if one not in on.method.part.chained} == set(names)
    calls = sum(on.ledger.passes("", component) for component in components)
    assert calls == on.ledger.passes(names[-1])
    assert calls % len(on.ledger.key_steps) == 0


@pytest.mark.filterwarnings("ignore:.*combines several predictions")  # some pipelines take no sampler of first order
@pytest.mark.parametrize("name", NAMES)
def test_a_trunk_computed_at_every_step_is_the_baseline_and_leaves_nothing_behind(deterministic, name):
    case = deterministic(name)
    expected, before = case.run(), snapshot(case.pipe)
    with fdplug.propagate(case.pipe, part="trunk", policy="all", injector="none"):
        assert torch.equal(case.run(), expected)
    with fdplug.propagate(case.pipe, part="trunk", **METHOD):
        first = case.run()
        assert torch.equal(case.run(), first)
    assert snapshot(case.pipe) == before
    assert torch.equal(case.run(), expected)


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
@pytest.mark.parametrize("name", ["sd3", pytest.param("flux", marks=pytest.mark.slow)])
def test_reuse_of_the_trunk_on_eulers_method_is_eulers_method_with_the_keys_as_timesteps(cases, name, decoding):
    """Where the head does not see the time, as it does in most transformers: here its weights for it are zero."""
    case = cases(name)
    pipe = case.fresh()
    torch.nn.init.zeros_(pipe.transformer.norm_out.linear.weight)
    with fdplug.propagate(pipe, part="trunk", decoding=decoding, **METHOD):
        got = case.system.run(pipe, num_inference_steps=6)
    sigmas = [float(pipe.scheduler.sigmas[key]) for key in KEYS]
    expected = case.system.run(pipe, num_inference_steps=len(KEYS), sigmas=sigmas)
    assert close(got, expected)
    assert not close(case.system.run(pipe, num_inference_steps=len(KEYS)), expected, 1e-3)


def test_the_trunk_holds_what_only_blocks_read():
    """The text blocks of Kandinsky 5 feed the cross attention of its visual blocks, and nothing else."""
    from fdplug.testing.systems import SYSTEMS

    family, network = find_families(SYSTEMS["kandinsky5"].make())[0]
    trunk = family.part(network, "trunk")
    assert trunk.modules[:3] == ("text_embeddings", "text_transformer_blocks.0", "visual_embeddings")
    assert set(trunk.modules) - trunk.chained == {"visual_transformer_blocks.2"}
    assert "text_transformer_blocks.0" not in family.part(network, "encoder").modules
