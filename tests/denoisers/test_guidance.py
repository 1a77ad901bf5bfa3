"""Rows of guidance that are left out, for every system: batches of two and three rows, and separate calls."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps

import pytest
import torch

import fdplug
from fdplug.errors import NoEffectWarning, PropagationError
from fdplug.lookup import find_families
from fdplug.testing.systems import SYSTEMS
from fdplug.testing.systems.stable_diffusion import SMALL, stable_diffusion
from fdplug.testing.systems.system import picture, silent, words
from fdplug.trees import leaves
from tests.denoisers.conftest import LONG_TAIL, close
from tests.denoisers.test_gflops import traced

ALONE = {"policy": "all", "injector": "none"}
EVERY = 3
CACHED = {"cached": {"every": EVERY}}
USUAL = ("unconditional", "conditional")
CALLS = ("conditional", "unconditional")
SEPARATE = {"flux", "qwen-image", "cogview4"}
DEFAULT = ["sd", "controlnet", "dit", "pixart", "sd3", "flux", "qwen-image", "cogview4", "hunyuan-dit", "animatediff"]
TEXT_FIRST = {"dit", "stable-cascade-prior", "stable-cascade-decoder"}
UNGUIDED = {"lcm", "marigold", "flux-controlnet", "flux-kontext", "flux-img2img", "flux-control", "flux-fill", "flux2"}


class Truth:
    """Every row runs; those that a guidance would leave out are overwritten by hand afterwards."""

    def __init__(self, pipe, networks, order, separate):
        self.pipe, self.networks, self.order, self.separate = pipe, networks, order, separate
        self.step = self.rows = self.made = 0
        self.kept, self.conditional = {}, None

    @contextmanager
    def installed(self):
        advance = self.pipe.scheduler.step

        @wraps(advance)  # pipelines look whether it takes a generator
        def step(*args, **kwargs):
            self.step, self.made = self.step + 1, 0
            return advance(*args, **kwargs)

        def overwrite(module, args, output):
            (tensor,) = leaves(output)
            self.made += 1
            (self._call if self.separate else self._batch)(tensor)

        handles = [network.register_forward_hook(overwrite) for network in self.networks]
        self.pipe.scheduler.step = step
        try:
            yield self
        finally:
            del self.pipe.scheduler.step
            for handle in handles:
                handle.remove()

    def _batch(self, tensor):
        if self.made > 1:
            self.rows += len(tensor)
            return
        shares = dict(zip(self.order, tensor.chunk(len(self.order)), strict=True))
        full = self.step % EVERY == 0
        self.rows += len(tensor) if full else len(tensor) // len(self.order)
        for name, share in shares.items():
            if full:
                self.kept[name] = shares["conditional"] - share
            else:
                share.copy_(shares["conditional"] - self.kept[name])

    def _call(self, tensor):
        full = self.step % EVERY == 0
        if self.made == 1:
            self.conditional = tensor.clone()
            self.rows += len(tensor)
        elif full:
            self.kept["other"] = self.conditional - tensor
            self.rows += len(tensor)
        else:
            tensor.copy_(self.conditional - self.kept["other"])


def check(pipe, draw, order=USUAL, separate=False):
    """What fdplug makes is what is made by hand, with as many rows; a second time as well."""
    components, networks = zip(*((family.component, network) for family, network in find_families(pipe)), strict=True)
    truth = Truth(pipe, networks, order, separate)
    with torch.no_grad(), truth.installed():
        expected = draw(pipe)
    plain = draw(pipe)
    with fdplug.propagate(pipe, **ALONE, guidance=CACHED) as on:
        got = draw(pipe)
        assert torch.equal(draw(pipe), got)
    assert close(got, expected)
    assert not torch.equal(plain, expected), "the method does something"
    assert sum(on.ledger.rows("", component) for component in components) == truth.rows
    assert torch.equal(draw(pipe), plain)
    return on.ledger


def names():
    return [pytest.param(name, marks=[] if name in DEFAULT else [pytest.mark.slow]) for name in SYSTEMS]


@pytest.mark.parametrize("name", names())
def test_rows_are_left_out_as_by_hand(cases, name):
    case = cases(name)
    rows = find_families(case.pipe)[0][0].guidance_rows(case.pipe)
    if rows is None:
        with pytest.raises(PropagationError, match=r"does not know what the rows of .* stand for"):
            fdplug.propagate(case.pipe, **ALONE, guidance=CACHED)
    elif name == "text2video-zero":
        with (
            fdplug.propagate(case.pipe, **ALONE, guidance=CACHED),
            pytest.raises(PropagationError, match="rows see each other"),
        ):
            case.run()
    elif name in UNGUIDED:
        with (
            fdplug.propagate(case.pipe, **ALONE, guidance=CACHED),
            pytest.warns(NoEffectWarning, match="no rows but the conditional ones"),
        ):
            assert torch.equal(case.run(), case.plain())
    else:
        n = case.system.largest if name not in LONG_TAIL else 1
        order = ("conditional", "unconditional") if name in TEXT_FIRST else USUAL
        check(case.pipe, lambda pipe: case.system.run(pipe, n), order, rows.separate)


@pytest.mark.parametrize("name", ["sd-v", "sd3", "flux"])
def test_with_propagation_serial_and_parallel_agree(cases, name):
    case = cases(name)
    settings = {"policy": {"uniform": {"interval": 3}}, "injector": "none", "guidance": {"cached": {"every": 2}}}
    made, ledgers = [], []
    for decoding in ("serial", "parallel"):
        with fdplug.propagate(case.pipe, **settings, decoding=decoding) as on:
            made.append(case.run(2))
            ledgers.append(on.ledger)
    assert close(*made)
    assert ledgers[0].rows("") == ledgers[1].rows("") == 2 * (case.system.steps + case.system.steps // 2)
    assert ledgers[1].passes("") < ledgers[0].passes("")
    assert ledgers[0].key_steps == ledgers[1].key_steps


@pytest.mark.parametrize("name", ["sd-v", pytest.param("sd3", marks=pytest.mark.slow)])
@pytest.mark.parametrize("policy", [pytest.param("all", marks=pytest.mark.slow), {"uniform": {"interval": 2}}], ids=str)
def test_the_ledger_counts_what_fvcore_counts(cases, name, policy):
    case = cases(name)
    case.steps = 5
    with fdplug.propagate(case.pipe, policy=policy, injector="none", guidance=CACHED) as on:
        case.run(num_inference_steps=5)
        counted = on.ledger.gflops() * 1e9
        assert counted == pytest.approx(sum(traced(case, list(on.ledger.examples)).values()), rel=1e-6)


def _perturbed(pag_scale, guidance_scale):
    pipe = silent(_quiet(lambda: stable_diffusion("StableDiffusionPAGPipeline")))

    def draw(pipe):
        generator = [torch.Generator().manual_seed(index) for index in range(2)]
        given = {"pag_scale": pag_scale, "guidance_scale": guidance_scale, "output_type": "latent"}
        return pipe(words(2), height=16, width=16, num_inference_steps=6, generator=generator, **given).images

    return pipe, draw


def _quiet(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


@pytest.mark.parametrize(
    ("pag", "guidance", "order"),
    [
        (3.0, 7.5, ("unconditional", "conditional", "perturbed")),
        (3.0, 0.0, ("conditional", "perturbed")),
        (0.0, 7.5, USUAL),
    ],
)
def test_perturbed_attention_guidance(pag, guidance, order):
    """Its attention processors divide every batch by themselves, also one that holds no perturbed rows."""
    pipe, draw = _perturbed(pag, guidance)
    check(pipe, draw, order)


def test_instruct_pix2pix():
    """Rows of text and picture, of the picture, and of neither."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    pipe = silent(_quiet(lambda: stable_diffusion(in_channels=8)))
    pipe = silent(StableDiffusionInstructPix2PixPipeline(**pipe.components, requires_safety_checker=False))

    def draw(pipe):
        given = {"image": picture(2), "num_inference_steps": 6, "output_type": "latent"}
        return pipe(words(2), generator=torch.Generator().manual_seed(0), **given).images

    ledger = check(pipe, draw, ("conditional", "image", "unconditional"))
    assert ledger.rows("") == 2 * (2 * 3 + 4)


def test_a_pipeline_that_orders_its_rows_from_call_to_call_is_refused():
    from diffusers import SemanticStableDiffusionPipeline

    parts = dict(stable_diffusion(**SMALL).components)
    del parts["image_encoder"]
    pipe = SemanticStableDiffusionPipeline(**parts, requires_safety_checker=False)
    with pytest.raises(PropagationError, match="does not know what the rows of SemanticStableDiffusionPipeline"):
        fdplug.propagate(pipe, **ALONE, guidance="first")
