"""Block caching: what is measured, which steps follow from it, and that blocks are replayed one by one."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch
from fdplug_blockcache import Attentions, BlockCaching, Changes, measure

from fdplug import propagate
from fdplug.errors import ConfigError, DataError, NoEffectWarning, PropagationError, StackError
from fdplug.parts import Part, PartRule
from fdplug.testing import check_part, check_policy, latents, schedule, tiny_pipeline

DOWN, UP = "down_blocks.0.attentions.0", "up_blocks.1.attentions.0"


@pytest.fixture
def pipe():
    return tiny_pipeline()


@pytest.fixture
def file(tmp_path):
    """Two blocks measured over ten steps: one that changes evenly, one that hardly does."""
    path = tmp_path / "changes.json"
    Changes("UNet2DConditionModel", 10, 1, {DOWN: [0.0] + [0.2] * 9, UP: [0.0] + [0.01] * 9}).save(path)
    return path


def keys(file, length=10, start=0, **options):
    named = BlockCaching(str(file), **options).block_key_steps(schedule(length, start), (f"{DOWN}.proj_out", UP))
    return {name: sorted(steps) for name, steps in named.items()}


def test_contract(file):
    check_part(Attentions())
    check_policy(BlockCaching(str(file)))


def test_a_block_is_computed_once_its_changes_exceed_delta(file):
    """0.2 each: 0.4 is within 0.5, 0.6 is not."""
    assert keys(file) == {f"{DOWN}.proj_out": [0, 3, 6, 9], UP: [0]}
    assert keys(file, delta=0.3)[f"{DOWN}.proj_out"] == [0, 2, 4, 6, 8]
    assert keys(file, delta=0) == {f"{DOWN}.proj_out": list(range(10)), UP: list(range(10))}


def test_other_lengths_and_late_starts(file):
    """Twice as many steps change half as much each."""
    assert len(keys(file, length=19)[f"{DOWN}.proj_out"]) == 4
    assert keys(file, start=4)[f"{DOWN}.proj_out"] == [4, 7]
    assert keys(file, length=1) == {f"{DOWN}.proj_out": [0], UP: [0]}


def test_measuring_agrees_with_a_plain_loop(pipe):
    outputs = []
    module = pipe.unet.get_submodule(f"{DOWN}.proj_out")
    hook = module.register_forward_hook(lambda _, inputs, output: outputs.append(output.clone()))
    latents(pipe, "red", num_inference_steps=4)
    hook.remove()
    expected = [0.0, *((b - a).abs().sum() / b.abs().sum() for a, b in pairwise(outputs))]
    found = measure(pipe, ["red"], seeds=1, steps=4)
    assert found.changes[DOWN] == pytest.approx([float(one) for one in expected])
    assert found.num_steps == 4
    assert len(found.changes) == 10
    assert not module._forward_hooks


def test_every_block_has_its_own_key_steps(pipe, tmp_path):
    measured = measure(pipe, ["red", "blue"], seeds=1, steps=10)
    measured.save(tmp_path / "measured.json")
    assert Changes.load(tmp_path / "measured.json") == measured
    typical = sorted(max(values) for values in measured.changes.values())[4]
    policy = BlockCaching(str(tmp_path / "measured.json"), delta=2 * typical)
    plain = latents(pipe)
    with propagate(pipe, part=Attentions(), policy=policy, injector="none") as handle:
        changed = latents(pipe)
        passes = {name: handle.ledger.passes(f"{name}.proj_out") for name in measured.changes}
        expected = policy.block_key_steps(schedule(10), tuple(measured.changes))
        assert passes == {name: len(steps) for name, steps in expected.items()}
        assert handle.ledger.passes("") == 10
        assert torch.equal(latents(pipe), changed)
    assert len(set(passes.values())) > 1, "the test would not tell blocks apart"
    assert torch.equal(latents(pipe), plain)
    assert not torch.equal(changed, plain)


def test_what_is_replayed_is_the_residual_branch(pipe, file):
    """A plain loop over the blocks' last layers gives the same images."""
    first = {}

    def replay(name):
        return lambda module, inputs, output: first.setdefault(name, output)

    names = [name for name, _ in pipe.unet.named_modules() if name.endswith("proj_out") and "attentions" in name]
    hooks = [pipe.unet.get_submodule(name).register_forward_hook(replay(name)) for name in names]
    expected = latents(pipe)
    for hook in hooks:
        hook.remove()
    with propagate(pipe, part=Attentions(), policy={"explicit": {"steps": [0]}}, injector="none"):
        assert torch.allclose(latents(pipe), expected, atol=1e-5)


def test_delta_zero_changes_nothing_and_says_so(pipe, tmp_path):
    measure(pipe, ["red"], seeds=1, steps=10).save(tmp_path / "measured.json")
    plain = latents(pipe)
    policy = BlockCaching(str(tmp_path / "measured.json"), delta=0)
    with propagate(pipe, part=Attentions(), policy=policy, injector="none"), pytest.warns(NoEffectWarning):
        assert torch.equal(latents(pipe), plain)


def test_it_does_not_stack_with_parts_that_are_not_single_blocks(pipe, file):
    class Deep(PartRule):
        """As DeepCache."""

        name = "deepcache"

        def part(self, family, denoiser):
            return Part(name="deepcache", modules=("mid_block",), sample_free=False)

    reason = r"policy 'blockcache' needs 'transformer-blocks', .* take part='attentions'"
    for part in ("encoder", Deep()):
        with pytest.raises(StackError, match=reason):
            propagate(pipe, part=part, policy=BlockCaching(str(file)))


def test_files_that_cannot_be_used(pipe, tmp_path, file):
    with pytest.raises(DataError, match=r"holds no block changes, write it with .*FileNotFoundError"):
        BlockCaching(str(tmp_path / "nothing.json"))
    held = json.loads(file.read_text())
    file.write_text(json.dumps({**held, "num_steps": 3}))
    with pytest.raises(DataError, match="is damaged: 3 steps, but values for"):
        BlockCaching(str(file))
    Changes("Other", 2, 1, {"elsewhere": [0.0, 1.0]}).save(file)
    with (
        propagate(pipe, part=Attentions(), policy=BlockCaching(str(file))),
        pytest.raises(ConfigError, match=r"measured on another model \(Other\)"),
    ):
        latents(pipe)


def test_a_denoiser_without_transformer_blocks():
    with pytest.raises(PropagationError, match="Linear has no transformer blocks"):
        Attentions().part(None, torch.nn.Linear(1, 1))
