"""Pipelines that the support table leaves out, as another of it has their denoiser: the method holds there as well."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import fdplug
from fdplug.errors import FdplugWarning, PipelineError
from fdplug.lookup import find_families
from tests.denoisers.conftest import UNIFORM, close, snapshot
from tests.denoisers.further import FURTHER, assembled, components, frames, sd, solved

BY_NAME = {system.name: system for system in FURTHER}
QUICK = {"StableDiffusionInstructPix2PixPipeline", "FluxInpaintPipeline", "KandinskyV22Img2ImgPipeline"}
TWICE = {"StableDiffusionGLIGENTextImagePipeline"}  # asks the denoiser with and without where things are
CROSS_FRAME = {"TextToVideoZeroSDXLPipeline"}
GROUNDED = {"StableDiffusionGLIGENPipeline"}  # stops looking at where things are in the middle of a span

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:the denoiser changed within a span")


def propagated(system, pipe, **settings):
    with fdplug.propagate(pipe, **{"policy": UNIFORM, **settings}) as on:
        return system.run(pipe, system.largest), on.ledger


@pytest.fixture(
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BY_NAME], scope="module"
)
def made(request):
    """A system, its pipeline, and what that makes by itself."""
    system = BY_NAME[request.param]
    pipe = system.make()
    return SimpleNamespace(system=system, pipe=pipe, plain=system.run(pipe, system.largest))


def test_policy_all_is_the_pipeline_bit_for_bit(made):
    got, ledger = propagated(made.system, made.pipe, policy="all", injector="none")
    assert torch.equal(got, made.plain)
    assert ledger.key_steps == ledger.steps


def test_serial_equals_parallel_with_fewer_passes_and_undo_is_exact(made):
    before = snapshot(made.pipe)
    serial, _ = propagated(made.system, made.pipe, decoding="serial")
    parallel, ledger = propagated(made.system, made.pipe)
    assert close(parallel, serial)
    assert not close(serial, made.plain, 1e-3)
    assert torch.equal(made.system.run(made.pipe, made.system.largest), made.plain)
    assert snapshot(made.pipe)[1:] == before[1:]
    check_passes(made, ledger)


def check_passes(made, ledger):
    """The encoder runs at key steps alone; the whole too, but where spans are decoded one step at a time."""
    family, denoiser = find_families(made.pipe)[0]
    calls = 2 if made.system.name in TWICE else 1
    keys = calls * len(ledger.key_steps)
    encoder = ledger.passes(family.part(denoiser, "encoder").modules[0], family.component)
    assert encoder == keys < calls * len(ledger.steps)
    whole = ledger.passes("", family.component)
    if "PAG" in made.system.name:
        assert "PAGCFGIdentitySelfAttnProcessor" in ledger.one_by_one
    elif made.system.name in CROSS_FRAME:
        assert "CrossFrameAttnProcessor" in ledger.one_by_one
    elif made.system.name not in GROUNDED:
        assert ledger.one_by_one is None
        assert whole == keys
        return
    assert whole >= len(ledger.steps)


@pytest.mark.slow
def test_what_is_grounded_for_some_steps_alone_is_decoded_again_from_there():
    system = BY_NAME["StableDiffusionGLIGENPipeline"]
    pipe = system.make()
    with pytest.warns(FdplugWarning, match="the denoiser changed within a span"):
        propagated(system, pipe)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"), [("LEditsPPPipelineStableDiffusion", sd), ("LEditsPPPipelineStableDiffusionXL", components)]
)
def test_an_inverted_picture_is_edited(name, parts):
    """LEdits++: the noise that inversion finds, and the picture that is edited from it, each a run of its own."""
    torch.manual_seed(0)
    pipe = assembled(name, solved(parts()))
    pipe.set_progress_bar_config(disable=True)
    picture = frames(1)[0].resize((32, 32))

    def edited(**settings):
        with fdplug.propagate(pipe, injector="none", **settings) as on:
            pipe.invert(image=picture, num_inversion_steps=8, generator=torch.Generator().manual_seed(0))
            image = pipe(editing_prompt=["a red circle"], output_type="latent", use_intersect_mask=False).images
            return pipe.zs, image, on.ledger

    exact = edited(policy="all")
    with_step, in_spans = (edited(policy=UNIFORM, decoding=one) for one in ("serial", "auto"))
    pipe.invert(image=picture, num_inversion_steps=8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pipe.zs, exact[0])
    plain = pipe(editing_prompt=["a red circle"], output_type="latent", use_intersect_mask=False).images
    assert torch.equal(plain, exact[1])
    assert close(with_step[0], in_spans[0])
    assert close(with_step[1], in_spans[1])
    assert in_spans[2].passes("conv_in") == 3 == len(in_spans[2].key_steps)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("StableDiffusionPanoramaPipeline", "it swaps a scheduler state for each view"),
        ("StableDiffusionSAGPipeline", "reads the middle block's attention map at every step"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_reason(name, reason):
    pipe = assembled(name, sd())
    with pytest.raises(PipelineError, match=reason):
        fdplug.propagate(pipe)
