"""Residual caches against diffusers' hooks, and against loops that add by hand what the blocks added."""

from __future__ import annotations

import inspect
from itertools import pairwise

import pytest
import torch
from diffusers import FirstBlockCacheConfig, MagCacheConfig
from fdplug_residual import AfterFirstBlock, AllBlocks, EasyCache, FirstBlockCache, MagCache, Magnitudes, measure

from fdplug import propagate
from fdplug.errors import ConfigError, DataError, StackError
from fdplug.testing import check_part, check_policy, schedule
from fdplug.testing.systems import SYSTEMS

FLUX = {"true_cfg_scale": 1.0, "num_inference_steps": 10}
RATIOS = [1.0, 1.05, 1.02, 0.99, 0.98, 1.01, 0.97, 1.03, 0.96, 0.93]


def test_contract(tmp_path):
    Magnitudes("UNet2DConditionModel", (1.0, 0.9, 1.1)).save(tmp_path / "ratios.json")
    check_part(AllBlocks())
    check_part(AfterFirstBlock())
    check_policy(FirstBlockCache())
    check_policy(EasyCache())
    check_policy(MagCache(str(tmp_path / "ratios.json")))


class Calls:
    """Counts how often a module is run."""

    def __init__(self, module):
        self.count = 0
        self._hook = module.register_forward_hook(self)

    def __call__(self, *_):
        self.count += 1


def with_hooks(system, pipe, config, arguments):
    """Make pictures with a cache of diffusers' own; return them and how many steps were computed."""
    pipe.transformer.enable_cache(config)
    calls = Calls(pipe.transformer.single_transformer_blocks[1].attn)
    try:
        return system.run(pipe, n=2, **arguments), calls.count
    finally:
        pipe.transformer.disable_cache()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_first_block_cache_is_that_of_diffusers(threshold):
    system = SYSTEMS["flux"]
    expected, computed = with_hooks(system, system.make(), FirstBlockCacheConfig(threshold=threshold), FLUX)
    pipe = system.make()
    with propagate(pipe, part="after-first-block", policy={"fbcache": {"threshold": threshold}}, injector="none") as on:
        found = system.run(pipe, n=2, **FLUX)
    assert len(on.ledger.key_steps) == computed
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_thresholds_tried_make_a_difference():
    pipe = SYSTEMS["flux"].make()
    counts = []
    for threshold in (0.3, 0.5, 0.8):
        with propagate(pipe, part=AfterFirstBlock(), policy=FirstBlockCache(threshold), injector="none") as on:
            SYSTEMS["flux"].run(pipe, n=2, **FLUX)
            counts.append(len(on.ledger.key_steps))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_magcache_is_that_of_diffusers(tmp_path):
    system = SYSTEMS["flux"]
    settings = {"threshold": 0.1, "max_skip_steps": 2, "retention_ratio": 0.2, "num_inference_steps": 10}
    expected, computed = with_hooks(system, system.make(), MagCacheConfig(**settings, mag_ratios=RATIOS), FLUX)
    Magnitudes("FluxTransformer2DModel", tuple(RATIOS)).save(tmp_path / "ratios.json")
    pipe = system.make()
    policy = {"magcache": {"file": str(tmp_path / "ratios.json"), "threshold": 0.1, "longest": 2}}
    with propagate(pipe, part="all-blocks", policy=policy, injector="none") as on:
        found = system.run(pipe, n=2, **FLUX)
    assert 2 < computed < 10
    assert len(on.ledger.key_steps) == computed
    assert torch.allclose(found, expected, atol=1e-4)


def test_measured_ratios_are_those_that_diffusers_prints(capsys):
    system = SYSTEMS["flux"]
    config = MagCacheConfig(calibrate=True, num_inference_steps=10)
    with_hooks(system, system.make(), config, FLUX)
    printed = capsys.readouterr().out.partition("[1.0")[2].partition("]")[0]
    expected = [1.0, *(float(value) for value in printed.split(",")[1:])]
    pipe = system.make()
    assert measure(pipe, lambda: system.run(pipe, n=2, **FLUX)).ratios == pytest.approx(expected, abs=1e-5)


def test_magnitudes_are_measured_where_the_last_block_drops_the_text():
    """SD3's last block hands on None in place of the text."""
    pipe, given, sizes = SYSTEMS["sd3"].make(), [], []
    blocks = pipe.transformer.transformer_blocks

    def begin(module, args, kwargs):
        given.append(kwargs["hidden_states"])

    def end(module, args, kwargs, output):
        text, picture = output
        assert text is None
        sizes.append((picture - given[-1]).norm(dim=-1))

    hooks = [blocks[0].register_forward_pre_hook(begin, with_kwargs=True)]
    hooks += [blocks[-1].register_forward_hook(end, with_kwargs=True)]
    SYSTEMS["sd3"].run(pipe, n=1)
    for hook in hooks:
        hook.remove()
    expected = [1.0, *(float((one / before).mean()) for before, one in pairwise(sizes))]
    assert measure(pipe, lambda: SYSTEMS["sd3"].run(pipe, n=1)).ratios == pytest.approx(expected, rel=1e-4)


class Adding:
    """The plain way: at steps that are not key steps, the head gets the stem's output plus what was added before."""

    def __init__(self, stem, head, keys):
        self.keys, self.step, self.kept, self.stem = keys, 0, None, None
        stem.register_forward_hook(self.see)
        head.register_forward_pre_hook(self.replace)

    def see(self, module, args, output):
        self.stem = output

    def replace(self, module, args):
        if self.step in self.keys:
            self.kept = args[0] - self.stem
        self.step += 1
        return (self.stem + self.kept, *args[1:])


@pytest.mark.parametrize(
    ("name", "denoiser", "stem", "head"),
    [
        ("sd", "unet", "conv_in", "conv_norm_out"),
        ("dit", "transformer", "pos_embed", "norm_out"),
        ("pixart", "transformer", "pos_embed", "norm_out"),
        ("sd3", "transformer", "pos_embed", "norm_out"),
    ],
)
def test_all_blocks_are_added_as_by_hand(name, denoiser, stem, head):
    system, keys = SYSTEMS[name], {0, 2, 3}
    plain = system.make()
    network = getattr(plain, denoiser)
    Adding(network.get_submodule(stem), network.get_submodule(head), keys)
    expected = system.run(plain)
    pipe = system.make()
    policy = {"explicit": {"steps": sorted(keys)}}
    for _ in range(2):
        with propagate(pipe, part="all-blocks", policy=policy, injector="none"):
            assert torch.allclose(system.run(pipe), expected, atol=1e-4)
    assert not torch.allclose(system.run(pipe), expected, atol=1e-3), "the test would see no difference"


@pytest.mark.parametrize("name", ["sd", "dit", "pixart", "sd3", "flux"])
def test_policy_all_changes_nothing_and_an_exception_leaves_nothing_behind(name):
    system = SYSTEMS[name]
    pipe = system.make()
    expected = system.run(pipe)
    with propagate(pipe, part="after-first-block", policy="all", injector="none"):
        assert torch.equal(system.run(pipe), expected)
    with propagate(pipe, part="after-first-block", policy={"fbcache": {"threshold": 1.0}}, injector="none"):
        before = system.run(pipe)
        with pytest.raises(KeyboardInterrupt):
            system.run(pipe, **stopping(pipe))
        assert torch.equal(system.run(pipe), before)
    assert torch.equal(system.run(pipe), expected)


def stopping(pipe):
    """Return arguments that stop a run in its third step."""

    def stop(pipe, step, *_):
        if step == 2:
            raise KeyboardInterrupt
        return {}

    if "callback_on_step_end" in inspect.signature(type(pipe).__call__).parameters:
        return {"callback_on_step_end": stop}
    if "callback" in inspect.signature(type(pipe).__call__).parameters:
        return {"callback": lambda step, *_: stop(pipe, step)}
    pytest.skip("this pipeline takes no callback")


def test_the_rule_of_first_block_cache_by_hand():
    policy, run = FirstBlockCache(threshold=0.25), schedule(6)
    policy.key_steps(run)
    values = [1.0, 1.2, 1.3, 1.5, 1.7, 2.0]  # changes to the last computed: -, .2, .3, .15, .31, .18
    decisions = [policy.is_key(run.step(index), torch.full((2, 3), value)) for index, value in enumerate(values)]
    assert decisions == [True, False, True, False, True, False]


def test_the_rule_of_easycache_by_hand():
    """The prediction changes by 1 where the sample changes by 2 (k = 1/2); each step changes the sample by 2."""
    policy, run = EasyCache(threshold=0.35, warm_up=2), schedule(8)
    policy.key_steps(run)
    decisions = []
    for index in range(6):
        sample = torch.full((1, 2), 2.0 * index)
        decisions.append(policy.is_key(run.step(index), sample))
        if decisions[-1]:
            policy.observe(run.step(index), sample, torch.full((1, 2), 5.0 + index))
    # behind step 1: |v| = 6, each step adds 1/2 * 2 / 6 = .167; three of them pass .35
    assert decisions == [True, True, False, False, True, False]


def test_the_rule_of_magcache_by_hand(tmp_path):
    Magnitudes("Model", (1.0, 1.0, 0.9, 0.9, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0)).save(tmp_path / "ratios.json")
    policy = MagCache(str(tmp_path / "ratios.json"), threshold=0.25, longest=3, warm_up=0.2)
    # steps 0 and 1 warm up; .1; .1 + .19 > .25: key 3; then .1, .2, .3 > .25: key 6; then 7, 8, 9 are three in a row
    assert policy.key_steps(schedule(10)) == {0, 1, 3, 6}


def test_what_does_not_fit_is_refused(tmp_path):
    pipe = SYSTEMS["sd"].make()
    with pytest.raises(StackError, match="after-first-block"):
        propagate(pipe, policy="fbcache")
    (tmp_path / "bad.json").write_text('{"model": "x", "ratios": []}')
    with pytest.raises(DataError, match="measure again"):
        MagCache(str(tmp_path / "bad.json"))
    Magnitudes("FluxTransformer2DModel", (1.0,)).save(tmp_path / "flux.json")
    with pytest.raises(ConfigError, match="measure again"):
        propagate(pipe, part="all-blocks", policy={"magcache": {"file": str(tmp_path / "flux.json")}})
