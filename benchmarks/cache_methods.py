"""Caches side by side: fdplug's, and the peers on transformers, diffusers' hooks and cache-dit, with equal settings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.architectures import Architecture
from benchmarks.method import Clock, Method, NotApplicableError, as_before, propagation

INTERVAL, WARM_UP = 2, 3  # of TaylorSeer: every so many steps, after the first ones
STEPS = 20  # MagCache of diffusers wants to know them beforehand: run with --steps 20
# MagCache's, set by hand: what random weights add has no magnitudes worth measuring.
RATIOS = [1.0, *[0.97] * (STEPS - 1)]
MAGCACHE = {"threshold": 0.06, "longest": 3}


def trunk(pipe: Any, of: Architecture, cache: Any) -> AbstractContextManager[Any]:
    """Replay the trunk at every second step."""
    return propagation(pipe, of, part="trunk", policy={"uniform": {"interval": INTERVAL}}, cache=cache)


def guided(pipe: Any, of: Architecture, guidance: Any) -> AbstractContextManager[Any]:
    """Leave rows of guidance out."""
    return propagation(pipe, of, policy="all", guidance=guidance)


def taylor(pipe: Any, of: Architecture) -> AbstractContextManager[Any]:
    """Extrapolate the trunk as TaylorSeer extrapolates every layer."""
    policy = {"window": {"warmup": WARM_UP, "window": float(INTERVAL), "growth": 0.0}}
    cache = {"forecast": {"order": 1, "clock": "step", "horizon": None}}
    return propagation(pipe, of, part="trunk", policy=policy, cache=cache)


def first_block(pipe: Any, of: Architecture) -> AbstractContextManager[Any]:
    """First Block Cache by `fdplug-residual`."""
    return propagation(pipe, of, part="after-first-block", policy={"fbcache": {"threshold": of.cache_threshold}})


def easy(pipe: Any, of: Architecture) -> AbstractContextManager[Any]:
    """EasyCache by `fdplug-residual`."""
    return propagation(pipe, of, part="all-blocks", policy={"easycache": {"threshold": of.cache_threshold}})


@contextmanager
def magnitudes(pipe: Any, of: Architecture) -> Iterator[Any]:
    """MagCache by `fdplug-residual`, with the ratios that the peer is given."""
    from fdplug_residual import Magnitudes

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ratios.json"
        Magnitudes(type(getattr(pipe, of.networks[0])).__name__, tuple(RATIOS)).save(file)
        with propagation(pipe, of, part="all-blocks", policy={"magcache": {"file": str(file), **MAGCACHE}}) as on:
            yield on


@contextmanager
def diffusers_hook(pipe: Any, of: Architecture, name: str) -> Iterator[None]:
    """Switch one of diffusers' own caches on."""
    from diffusers import hooks

    network, clock = getattr(pipe, of.networks[0]), Clock()
    settings: Any = {
        "first_block_cache": lambda: hooks.FirstBlockCacheConfig(threshold=of.cache_threshold),
        "mag_cache": lambda: hooks.MagCacheConfig(
            threshold=MAGCACHE["threshold"],
            max_skip_steps=MAGCACHE["longest"],
            num_inference_steps=STEPS,
            mag_ratios=RATIOS,
        ),
        "taylorseer_cache": lambda: hooks.TaylorSeerCacheConfig(
            cache_interval=INTERVAL, disable_cache_before_step=WARM_UP, taylor_factors_dtype=None
        ),
        "faster_cache": lambda: hooks.FasterCacheConfig(
            tensor_format="BCHW",
            current_timestep_callback=lambda: clock.timestep,
            is_guidance_distilled=of.guidance_distilled,
        ),
    }
    with as_before(network), clock.on(pipe.scheduler):
        for module in network.modules():
            vars(module).pop("_diffusers_hook", None)  # a registry that would keep the hooks of the turn before
        getattr(hooks, f"apply_{name}")(network, settings[name]())
        if not any(hasattr(module, "_diffusers_hook") for module in network.modules()):
            raise NotApplicableError(f"{name} found nothing that it knows")
        yield


@contextmanager
def cache_dit_package(pipe: Any, of: Architecture) -> Iterator[None]:
    """The authors' package with the settings of First Block Cache: one block is computed, none fused behind."""
    try:
        import cache_dit
    except ImportError as error:
        raise NotApplicableError(f"{error}; pip install cache-dit==1.5.3") from error
    network = getattr(pipe, of.networks[0])
    settings = cache_dit.DBCacheConfig(
        Fn_compute_blocks=1, Bn_compute_blocks=0, residual_diff_threshold=of.cache_threshold, max_warmup_steps=1
    )
    with as_before(network):
        cache_dit.enable_cache(pipe, cache_config=settings)
        try:
            yield
        finally:
            cache_dit.disable_cache(pipe)


CACHES = {
    "trunk": Method("trunk (fdplug), every second step", partial(trunk, cache="reuse")),
    "trunk-forecast": Method("trunk, forecast (fdplug), every second step", partial(trunk, cache={"forecast": {}})),
    "guidance-cached": Method("guidance cached (fdplug)", partial(guided, guidance={"cached": {"every": 2}})),
    "own-fastercache": Method("guidance fastercache (fdplug)", partial(guided, guidance="fastercache")),
    "fastercache": Method("FasterCache (diffusers)", partial(diffusers_hook, name="faster_cache")),
    "own-fbcache": Method("fbcache (fdplug)", first_block),
    "fbcache": Method("First Block Cache (diffusers)", partial(diffusers_hook, name="first_block_cache")),
    "cache-dit": Method("cache-dit (package), F1B0", cache_dit_package),
    "own-magcache": Method("magcache (fdplug)", magnitudes),
    "magcache": Method("MagCache (diffusers)", partial(diffusers_hook, name="mag_cache")),
    "own-easycache": Method("easycache (fdplug)", easy),
    "own-taylorseer": Method("trunk, forecast as TaylorSeer (fdplug)", taylor),
    "taylorseer": Method("TaylorSeer (diffusers)", partial(diffusers_hook, name="taylorseer_cache")),
}
