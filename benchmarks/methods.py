"""The methods that are compared: each is a context in which a pipeline is accelerated, and as before behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from benchmarks.architectures import Architecture
from benchmarks.cache_methods import CACHES
from benchmarks.method import Clock, Method, NotApplicableError, as_before, propagation

__all__ = ["METHODS", "Method", "NotApplicableError", "propagation"]


@contextmanager
def stock(pipe: Any, of: Architecture) -> Iterator[None]:
    """Leave the pipeline as it is."""
    yield


@contextmanager
def stock_compiled(pipe: Any, of: Architecture) -> Iterator[None]:
    """Compile each network as a whole, as anybody would."""
    networks = [getattr(pipe, name) for name in of.networks]
    with as_before(*networks):
        for network in networks:
            network.compile()
        yield


@contextmanager
def deepcache_package(pipe: Any, of: Architecture, interval: int) -> Iterator[None]:
    """The authors' package."""
    from DeepCache import DeepCacheSDHelper

    helper = DeepCacheSDHelper(pipe=_with_unet(pipe, "DeepCache's package"))
    helper.set_params(cache_interval=interval, cache_branch_id=0)
    with as_before(pipe.unet):
        helper.enable()
        yield


@contextmanager
def tomesd_package(pipe: Any, of: Architecture) -> Iterator[None]:
    """The authors' package, which leaves pipelines without attention near the latent's resolution as they are."""
    import tomesd

    kinds = [type(module) for module in _with_unet(pipe, "tomesd").unet.modules()]
    with as_before(pipe.unet):
        tomesd.apply_patch(pipe, ratio=0.5, max_downsample=of.tome)
        try:
            if [type(module) for module in pipe.unet.modules()] == kinds:
                raise NotApplicableError("tomesd found no block to patch")
            yield
        finally:
            tomesd.remove_patch(pipe)


@contextmanager
def pyramid_attention_broadcast(pipe: Any, of: Architecture) -> Iterator[None]:
    """Diffusers' own: every second self-attention is replayed between timesteps 100 and 800."""
    from diffusers import PyramidAttentionBroadcastConfig
    from diffusers.hooks import apply_pyramid_attention_broadcast

    network, clock = getattr(pipe, of.networks[0]), Clock()
    settings = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, current_timestep_callback=lambda: clock.timestep
    )
    with as_before(network), clock.on(pipe.scheduler):
        apply_pyramid_attention_broadcast(network, settings)
        if not any(hasattr(module, "_diffusers_hook") for module in network.modules()):
            raise NotApplicableError("PyramidAttentionBroadcast found no attention that it knows")
        yield


def _with_unet(pipe: Any, who: str) -> Any:
    if getattr(pipe, "unet", None) is None:
        raise NotApplicableError(f"{who} works on U-Nets")
    return pipe


def deepcache_plugin(pipe: Any, of: Architecture, interval: int) -> AbstractContextManager[Any]:
    """The same method as a part of fdplug."""
    from fdplug_deepcache import DeepCache

    return propagation(_with_unet(pipe, "DeepCache"), of, part=DeepCache(), policy={"uniform": {"interval": interval}})


def quantized(pipe: Any, of: Architecture, scheme: str) -> AbstractContextManager[Any]:
    """Hold the weights of linear layers in 8 bits, by `fdplug-quantize` on torchao."""
    return propagation(pipe, of, policy="all", transforms=[{"quantize": {"scheme": scheme}}])


METHODS = {
    "stock": Method("stock", stock),
    "half-steps": Method("stock, half the steps", stock, fewer=2),
    "stock-compile": Method("stock, compiled", stock_compiled),
    "serial": Method("propagation, serial", partial(propagation, decoding="serial")),
    "parallel": Method("propagation, parallel", partial(propagation, decoding="parallel")),
    "parallel-auto": Method("propagation, parallel, automatic spans", partial(propagation, max_span_batch="auto")),
    "parallel-compile": Method("propagation, parallel, compiled", partial(propagation, transforms=["compile"])),
    "deepcache-3": Method("DeepCache (package), N=3", partial(deepcache_package, interval=3)),
    "deepcache-5": Method("DeepCache (package), N=5", partial(deepcache_package, interval=5)),
    "own-deepcache-3": Method("deepcache (fdplug), N=3", partial(deepcache_plugin, interval=3)),
    "own-deepcache-5": Method("deepcache (fdplug), N=5", partial(deepcache_plugin, interval=5)),
    "tomesd": Method("tomesd (package)", tomesd_package),
    "own-tome": Method("tome (fdplug)", partial(propagation, policy="all", tome=True)),
    "parallel-tome": Method("propagation + tome", partial(propagation, tome=True)),
    "parallel-tome-compile": Method(
        "propagation + tome, compiled", partial(propagation, tome=True, transforms=["compile"])
    ),
    "own-quantize": Method("quantize (fdplug), int8 weights", partial(quantized, scheme="int8-weights")),
    "own-quantize-dynamic": Method("quantize (fdplug), int8 products", partial(quantized, scheme="int8-dynamic")),
    "pab": Method("PyramidAttentionBroadcast (diffusers)", pyramid_attention_broadcast),
    **CACHES,
}
