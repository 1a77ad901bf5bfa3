"""Offloading hooks and compiled modules, put on before and after propagation."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug.testing.systems import SYSTEMS
from tests.denoisers.conftest import UNIFORM, close
from tests.denoisers.shorthand import propagated, run


@pytest.fixture
def sd():
    """Stable Diffusion with two levels, this test's own."""
    return SYSTEMS["sd-v"].make()


# --- offloading ------------------------------------------------------------------------------------------------------


def offload_models(pipe):
    """What `enable_model_cpu_offload` does, and does again at the end of every call, without an accelerator."""
    from accelerate import cpu_offload_with_hook

    pipe.remove_all_hooks()
    hook = None
    for name in ("text_encoder", "unet", "vae"):
        _, hook = cpu_offload_with_hook(getattr(pipe, name), torch.device("cpu"), prev_module_hook=hook)
        pipe._all_hooks.append(hook)


def offload_layers(pipe):
    """What `enable_sequential_cpu_offload` does: weights come and go with every layer."""
    from accelerate import cpu_offload

    pipe.remove_all_hooks()
    cpu_offload(pipe.unet, torch.device("cpu"), offload_buffers=True)


def offload_groups(pipe):
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        pipe.unet, onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
    )


OFFLOADS = [offload_models, offload_layers, offload_groups]


@pytest.mark.parametrize("offload", OFFLOADS)
def test_offloading_before_propagating(sd, offload):
    expected, _ = propagated(sd)
    plain = run(sd)
    offload(sd)
    with fdplug.propagate(sd, policy=UNIFORM) as on:
        for _ in range(2):
            assert close(run(sd), expected)
            assert on.ledger.passes("conv_in") == 2
    assert close(run(sd), plain)


@pytest.mark.parametrize("offload", OFFLOADS)
def test_offloading_after_propagating(sd, offload):
    """Also taking propagation off while the offload hooks lie there."""
    expected, _ = propagated(sd)
    plain = run(sd)
    with fdplug.propagate(sd, policy=UNIFORM) as on:
        offload(sd)
        for _ in range(2):
            assert close(run(sd), expected)
            assert on.ledger.passes("conv_in") == 2
    assert close(run(sd), plain)


def test_model_offload_hooks_are_renewed_by_every_call(sd, monkeypatch):
    """As `maybe_free_model_hooks` does on an accelerator: what lies on `forward` then is lost."""
    expected, _ = propagated(sd)
    offload_models(sd)
    monkeypatch.setattr(sd, "maybe_free_model_hooks", lambda: offload_models(sd), raising=False)
    with fdplug.propagate(sd, policy=UNIFORM) as on:
        for _ in range(3):
            assert close(run(sd), expected)
            assert on.ledger.passes("conv_in") == 2


# --- compiling -------------------------------------------------------------------------------------------------------


def in_place(pipe):
    for block in [*pipe.unet.down_blocks, pipe.unet.mid_block, *pipe.unet.up_blocks]:
        block.compile(backend="eager")


def whole(pipe):
    pipe.unet.compile(backend="eager")


def replaced(pipe):
    pipe.unet = torch.compile(pipe.unet, backend="eager")


def wrapped(pipe):
    for blocks in (pipe.unet.down_blocks, pipe.unet.up_blocks):
        for index, block in enumerate(blocks):
            blocks[index] = torch.compile(block, backend="eager")


@pytest.fixture
def compiler():
    torch._dynamo.reset()
    with torch._dynamo.config.patch(suppress_errors=False):
        yield
    torch._dynamo.reset()


COMPILED = pytest.mark.parametrize("compiled", [in_place, wrapped, whole, replaced])


@pytest.mark.slow
@COMPILED
def test_compiling_before_propagating(sd, compiled, compiler):
    expected, _ = propagated(sd)
    plain = run(sd)
    compiled(sd)
    assert close(run(sd), plain)  # traced before it is patched
    with fdplug.propagate(sd, policy=UNIFORM) as on:
        for _ in range(2):
            assert close(run(sd), expected)
            assert on.ledger.passes("conv_in") == 2
    assert close(run(sd), plain)


@pytest.mark.slow
@COMPILED
def test_compiling_after_propagating(sd, compiled, compiler):
    expected, _ = propagated(sd)
    plain = run(sd)
    with fdplug.propagate(sd, policy=UNIFORM) as on:
        compiled(sd)
        for _ in range(2):
            assert close(run(sd), expected)
            assert on.ledger.passes("conv_in") == 2
    assert close(run(sd), plain)
