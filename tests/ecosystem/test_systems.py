"""The methods on other systems than Stable Diffusion: each runs, repeats itself and is undone, or says why not."""

from __future__ import annotations

import pytest
import torch

from fdplug import propagate, registry
from fdplug.errors import FdplugError
from fdplug.lookup import find_families
from fdplug.testing import check_propagation
from fdplug.testing.systems import SYSTEMS

pytestmark = pytest.mark.usefixtures("importable")
RESIDUAL = ("sdxl", "pixart", "flux")  # in the default run
UNETS = ("sdxl", "controlnet", "sd-inpaint", "sd-t2i-adapter", "sd-ip-adapter", "if-1", "ddim", "animatediff", "svd")


def check(name, **settings):
    system = SYSTEMS[name]
    check_propagation(system.make(), system.run, injector="none", **settings)


@pytest.mark.parametrize("name", UNETS)
def test_deepcache(name):
    from fdplug_deepcache import DeepCache

    check(name, part=DeepCache(branch=1))


@pytest.mark.parametrize("name", ["sdxl", "controlnet", "sd-inpaint"])
def test_deepcache_agrees_with_the_authors_package(name):
    from fdplug_deepcache import DeepCache

    package = pytest.importorskip("DeepCache", reason="the authors' package is not installed")
    system = SYSTEMS[name]
    pipe = system.make()
    helper = package.DeepCacheSDHelper(pipe=pipe)
    helper.set_params(cache_interval=3, cache_branch_id=0)
    helper.enable()
    expected = system.run(pipe)
    helper.disable()
    with propagate(pipe, part=DeepCache(), policy={"uniform": {"interval": 3}}, injector="none"):
        assert torch.allclose(system.run(pipe), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["sdxl", "controlnet", "sd-inpaint", "sd-t2i-adapter", "sd-ip-adapter"])
def test_token_merging(name):
    from fdplug_tome import TokenMerging

    check(name, transforms=[TokenMerging(max_downsample=2)])


@pytest.mark.parametrize("name", ["sdxl", "dit", "flux", "sd3", "svd"])
def test_forecast_and_offload(name):
    from fdplug_forecast import Forecast
    from fdplug_offload import Offload

    for cache in (Forecast(), Offload(code="int8")):
        check(name, cache=cache, policy={"uniform": {"interval": 2}})


# They come with schedulers that add noise, which no replayed trunk would see, or make no picture by another.
NO_TRUNK = {"lcm", "stable-cascade-prior", "stable-cascade-decoder", "stable-audio"}
FORECAST = [
    pytest.param(name, marks=[] if name in ("sdxl", "qwen-image") else [pytest.mark.slow])
    for name in SYSTEMS
    if name not in NO_TRUNK
]


@pytest.mark.parametrize("name", FORECAST)
@pytest.mark.filterwarnings("ignore")
def test_a_forecast_trunk_with_guidance_left_out(name):
    """On a sampler of first order; guidance is left out where the family says what its rows stand for."""
    from fdplug_forecast import Forecast

    system, settings = SYSTEMS[name], {"part": "trunk", "cache": Forecast(), "injector": "none"}
    pipe = system.make()
    if "beta_start" in pipe.scheduler.config:
        sampler = "dpm-solver++1" if name.startswith("if-") else "ddim"  # IF's networks learn variances as well
        pipe.scheduler = registry.build("sampler", sampler).fit(pipe.scheduler)
    if find_families(pipe)[0][0].guidance_rows(pipe) is not None and name != "text2video-zero":
        settings["guidance"] = {"cached": {"every": 2}}
    check_propagation(pipe, system.run, **settings)


NO_TRUNK_AT_ALL = "no part 'trunk' in family"
UNKNOWN_INPUT = "inputs of the part have the shape .* so that what is added to which is not known"
NO_DIFFERENCE = "has not the shape of what it is given, so that there is no difference to keep"
REFUSED = {  # residual caches keep what the blocks add to what they are given, where that can be told
    "stable-cascade-prior": NO_TRUNK_AT_ALL,
    "stable-cascade-decoder": NO_TRUNK_AT_ALL,
    "auraflow": NO_DIFFERENCE,
    "hidream": NO_DIFFERENCE,
    "latte": NO_DIFFERENCE,
    "flux2": NO_DIFFERENCE,
    "flux2-klein": NO_DIFFERENCE,
    "chroma": NO_DIFFERENCE,
    "ltx-video": UNKNOWN_INPUT,
    "sd-t2i-adapter": UNKNOWN_INPUT,
    "controlnet-xs": UNKNOWN_INPUT,
    "sdxl-controlnet-xs": UNKNOWN_INPUT,
}
NO_PROBE = {"kandinsky3": "the probe hands on nothing that has the shape of what it is given"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in RESIDUAL else pytest.mark.slow) for name in SYSTEMS]
)
@pytest.mark.filterwarnings("ignore")
def test_residual_caches(name):
    """Of every family that has a trunk; what has no difference to keep, or none to see, is refused with the reason."""
    from fdplug_residual import AfterFirstBlock, AllBlocks, FirstBlockCache

    if name in REFUSED:
        with pytest.raises(FdplugError, match=REFUSED[name]):
            check(name, part=AllBlocks())
        return
    check(name, part=AllBlocks())
    by_first_block = {"part": AfterFirstBlock(), "policy": FirstBlockCache(threshold=0.5)}
    if name in NO_PROBE:
        with pytest.raises(FdplugError, match=NO_PROBE[name]):
            check(name, **by_first_block)
        return
    check(name, **by_first_block)


@pytest.mark.parametrize("name", ["sdxl", "controlnet"])
def test_block_caching(name):
    from fdplug_blockcache import Attentions

    check(name, part=Attentions())


@pytest.mark.parametrize("name", ["dit", "flux"])
def test_what_a_transformer_cannot_have(name):
    from fdplug_blockcache import Attentions
    from fdplug_deepcache import DeepCache
    from fdplug_tome import TokenMerging

    for settings in ({"part": DeepCache()}, {"part": Attentions()}, {"transforms": [TokenMerging()]}):
        with pytest.raises(FdplugError, match=r"U-Net|transformer blocks|UNet2DConditionModel"):
            check(name, **settings)
