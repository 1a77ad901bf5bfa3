"""Offloading: what comes back, what is saved, how wrong it is; on a GPU where there is one."""

from __future__ import annotations

import pytest
import torch
from fdplug_offload import Offload

from fdplug import propagate
from fdplug.errors import ConfigError, NoEffectWarning
from fdplug.testing import check_cache, check_propagation, latents, schedule, tiny_pipeline

CODES = ["int8", "fp8"]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def written(cache, *features):
    cache.begin(schedule(10))
    cache.write("block", 2, features)
    cache.write("other", 2, (torch.ones(1, 1, device=features[0].device),))
    return cache


@pytest.mark.filterwarnings("ignore:cache 'offload' saves nothing")
@pytest.mark.parametrize("code", ["same", *CODES])
def test_contract(code):
    check_cache(Offload(code=code))


@pytest.mark.parametrize("code", CODES)
def test_it_propagates_in_parallel_as_one_by_one(code):
    check_propagation(tiny_pipeline(), cache=Offload(code=code), policy={"uniform": {"interval": 3}})


@pytest.mark.parametrize(("code", "limit"), [("int8", 0.012), ("fp8", 0.04)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_error_is_stated_and_small(code, limit, dtype):
    feature = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    cache = written(Offload(code=code), feature)
    (got,) = cache.read("block", [5])
    assert got.dtype == dtype
    error = float((got.float() - feature.float()).norm() / feature.float().norm())
    assert 0 < error < limit
    assert cache.report().error == pytest.approx(error, rel=0.02)


@pytest.mark.parametrize("code", CODES)
def test_the_memory_saved_is_stated(code):
    report = written(Offload(code=code), torch.randn(2, 8, 16, 16)).report()
    assert report.full == 2 * 8 * 256 * 4 + 4
    assert report.device == 2 * 8 * 256 + 2 * 8 * 4 + 5
    assert report.saved == report.full - report.device
    assert str(report).startswith("0.0 of 0.0 MiB saved, 0.0 MiB on the host, error ")


def test_a_key_step_sees_its_own_features(capsys):
    cache = Offload(code="int8")
    cache.begin(schedule(10))
    feature = torch.randn(2, 3, 4, 4)
    cache.write("block", 2, (feature,))
    (got,) = cache.read("block", [2, 3])
    assert torch.equal(got[:2], feature)
    assert not torch.equal(got[2:], feature)


@pytest.mark.parametrize("code", CODES)
def test_zeros_and_what_cannot_be_coded(code):
    zeros, index, flat = torch.zeros(2, 3, 4), torch.arange(4).view(2, 2), torch.rand(3)
    got = written(Offload(code=code), zeros, index, flat).read("block", [4])
    assert torch.equal(got[0], zeros)
    assert torch.equal(got[1], index)
    assert torch.equal(got[2], flat)


def test_it_warns_where_it_saves_nothing():
    with (
        propagate(tiny_pipeline(), cache=Offload()) as handle,
        pytest.warns(NoEffectWarning, match="in host memory already; take code int8 or fp8"),
    ):
        latents(handle.pipe)


def test_plain_reuse_is_refused():
    with pytest.raises(ConfigError, match="plain reuse"):
        Offload(host=False)
    with pytest.raises(ConfigError, match="code must be one of same, int8, fp8"):
        Offload(code="int4")


def test_the_report_outlives_the_run_and_the_features_do_not():
    pipe, cache = tiny_pipeline(), Offload(code="int8")
    with propagate(pipe, cache=cache):
        latents(pipe)
        assert not cache._kept
    assert cache.report().full > 3 * cache.report().device


@needs_gpu
@pytest.mark.parametrize("code", ["same", *CODES])
def test_on_a_gpu_features_wait_in_pinned_memory(code):
    feature = torch.randn(2, 8, 16, 16, device="cuda")
    cache = written(Offload(code=code), feature)
    (kept,) = cache._kept["block"]
    assert kept.data.is_pinned()
    (got,) = cache.read("block", [2, 3])
    assert got.device == feature.device
    assert float((got[:2] - feature).norm() / feature.norm()) < 0.05
    report = cache.report()
    assert report.device < 0.1 * report.full
    assert report.host >= 2 * 8 * 256


@needs_gpu
@pytest.mark.parametrize("code", ["same", *CODES])
def test_on_a_gpu_it_propagates(code):
    pipe = tiny_pipeline().to("cuda")
    draws = []
    for cache in ("reuse", Offload(code=code)):
        with propagate(pipe, cache=cache, policy={"uniform": {"interval": 3}}):
            draws.append(latents(pipe))
    assert float((draws[0] - draws[1]).norm() / draws[0].norm()) < (1e-6 if code == "same" else 0.2)
