"""The comparison of all methods runs, measures what it says, and leaves pipelines as they were."""

from __future__ import annotations

import json
import math
import sys
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import cache_methods, measurement, side_by_side
from benchmarks.architectures import ARCHITECTURES
from benchmarks.method import as_before
from benchmarks.methods import METHODS, Method, NotApplicableError, propagation
from fdplug import plugins, registry
from fdplug.testing import latents
from fdplug.testing.checks import attributes

PEERS = [
    "half-steps",
    "serial",
    "parallel",
    "parallel-auto",
    "deepcache-3",
    "own-deepcache-3",
    "tomesd",
    "own-tome",
    "pab",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Results of a tiny run, as JSON and as Markdown."""
    folder = tmp_path_factory.mktemp("results")
    common = ["--size", "tiny", "--device", "cpu", "--steps", "6", "--rounds", "2", "--warm-up", "0", "--name", "tiny"]
    side_by_side.main([*common, "--systems", "sd15", "--methods", "stock", *PEERS, "--out", str(folder)])
    return json.loads((folder / "tiny.json").read_text()), (folder / "tiny.md").read_text()


def test_every_method_is_measured(page):
    found, _ = page
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == ["stock", *PEERS]
    for row in rows.values():
        assert "reason" not in row, row
        assert 0 < row["networks_s"] < row["total_s"]
        assert row["networks_spread_s"][0] <= row["networks_s"] <= row["networks_spread_s"][1]
        assert row["peak_mib"] > 0
    assert rows["stock"]["networks_speedup"] == 1
    assert rows["stock"]["psnr_db"] == "same"


def test_flops_are_those_of_what_ran(page):
    """Half the steps cost half; serial and parallel the same, less than all; automatic spans change no FLOP."""
    rows = {row["method"]: row["gflops"] for row in page[0]["rows"]}
    assert rows["half-steps"] == pytest.approx(rows["stock"] / 2, rel=1e-3)
    assert rows["serial"] == rows["parallel"] == rows["parallel-auto"] < rows["stock"]
    assert rows["own-deepcache-3"] == pytest.approx(rows["deepcache-3"], rel=0.05)
    assert rows["tomesd"] < rows["stock"]


def test_the_page_names_the_hardware_and_invents_nothing(page):
    _, text = page
    assert f"torch {torch.__version__}" in text
    assert "On a GPU: unmeasured" in text
    for name, method, _, least in side_by_side.TARGETS:
        line = next(line for line in text.splitlines() if METHODS[method].title in line and f"| {least} |" in line)
        assert ARCHITECTURES[name].title in line
        assert line.endswith("| unmeasured |")


@pytest.mark.parametrize(
    ("changed", "measured"),
    [
        ({}, "2.00"),
        ({"steps": 20}, "unmeasured"),
        ({"dtype": "float32"}, "unmeasured"),
        ({"image_size": 256}, "unmeasured"),
    ],
)
def test_targets_are_measured_in_their_own_setting_alone(changed, measured):
    settings = {"size": "full", "dtype": "float16", "steps": 50, "image_size": None, **changed}
    rows = [
        {"architecture": "sd15", "method": name, "batch": 1, "networks_s": seconds}
        for name, seconds in {"stock": 3.0, "parallel": 1.5}.items()
    ]
    aimed_at = side_by_side.is_aimed_at({"settings": settings, "device": "some GPU"})
    ends = [line.split("|")[-2].strip() for line in side_by_side.targets(rows, aimed_at).splitlines()[-3:]]
    assert ends == [measured, "unmeasured", "unmeasured"]


def test_a_method_that_fails_is_a_row_with_its_reason(tmp_path, monkeypatch):
    def fail(pipe, of):
        raise NotApplicableError("works on | Mondays")

    monkeypatch.setitem(METHODS, "tomesd", Method("broken", fail))
    common = [
        "--steps",
        "2",
        "--rounds",
        "1",
        "--warm-up",
        "0",
        "--device",
        "cpu",
        "--out",
        str(tmp_path),
        "--name",
        "t",
    ]
    side_by_side.main([*common, "--systems", "dit", "--methods", "stock", "tomesd"])
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert rows[1]["reason"] == "NotApplicableError: works on | Mondays"
    assert "networks_s" not in rows[1]
    assert "works on / Mondays |" in (tmp_path / "t.md").read_text()


def test_a_method_that_changes_nothing_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(
        METHODS, "serial", Method("all steps", partial(propagation, policy={"paper": {"system": "dit"}}))
    )
    common = ["--steps", "3", "--rounds", "1", "--warm-up", "0", "--device", "cpu", "--out", str(tmp_path)]
    side_by_side.main([*common, "--name", "t", "--systems", "dit", "--methods", "stock", "serial", "parallel"])
    rows = {row["method"]: row for row in json.loads((tmp_path / "t.json").read_text())["rows"]}
    assert rows["serial"]["reason"].startswith("NoEffectWarning: propagation changed nothing")
    assert rows["parallel"]["gflops"] < rows["stock"]["gflops"]


@pytest.mark.parametrize("name", ["deepcache-3", "tomesd", "pab", "stock-compile"])
def test_peers_are_taken_off_again(name):
    """Every attribute of every module is what it was, as later methods run on the same pipeline."""
    architecture = ARCHITECTURES["sd15"]
    pipe = architecture.make("tiny", "cpu", torch.float32)
    before, expected = attributes(pipe), latents(pipe, num_inference_steps=4)
    with METHODS[name].enter(pipe, architecture):
        if name != "stock-compile":
            assert not torch.equal(latents(pipe, num_inference_steps=4), expected)
    assert attributes(pipe) == before
    assert torch.equal(latents(pipe, num_inference_steps=4), expected)


def test_children_are_in_their_old_order_again():
    """cache-dit takes a transformer's blocks out and puts them back last; diffusers' hooks go by the order."""
    network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.ReLU(), torch.nn.Tanh())
    with as_before(network):
        first = network._modules.pop("0")
        network._modules["0"] = first
        network._parameters["more"] = torch.nn.Parameter(torch.zeros(1))
        network.also = 1
    assert [name for name, _ in network.named_children()] == ["0", "1", "2"]
    assert network[0] is first
    assert not network._parameters
    assert not hasattr(network, "also")


def test_hooks_of_diffusers_leave_nothing_in_the_registry_that_a_pipeline_keeps_for_itself():
    """Flux enters a cache context at every step, which puts a registry on its transformer before any hook is there."""
    architecture = ARCHITECTURES["small-flux"]
    pipe = architecture.make("tiny", "cpu", torch.float32)
    arguments = {**architecture.call("tiny", 1, 16, "cpu", torch.float32), "num_inference_steps": cache_methods.STEPS}
    arguments["output_type"] = "latent"

    def made():
        return pipe(**arguments, generator=torch.Generator().manual_seed(0)).images

    expected, found = made(), []
    for name in ("mag_cache", "mag_cache", "taylorseer_cache"):
        with cache_methods.diffusers_hook(pipe, architecture, name):
            found.append(made())
        assert torch.equal(made(), expected)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], expected)


CACHES = {
    "small-flux": ("trunk", "own-fbcache", "own-magcache", "own-easycache", "own-taylorseer", "taylorseer", "magcache"),
    "small-dit": ("trunk", "guidance-cached", "own-fbcache", "own-magcache", "own-taylorseer"),
}


@pytest.fixture
def own_caches(monkeypatch):
    """The distributions that hold caches, which the other tests do without."""
    for package in ("fdplug_residual", "fdplug_forecast"):
        pytest.importorskip(package)
    monkeypatch.setenv("FDPLUG_PLUGINS", "fdplug-residual,fdplug-forecast")
    manager = plugins.new_plugin_manager()
    monkeypatch.setattr(registry, "get_plugin_manager", lambda: manager)


@pytest.mark.slow
@pytest.mark.usefixtures("own_caches")
@pytest.mark.parametrize("system", CACHES)
def test_caches_compute_less_than_stock(system, tmp_path):
    """In the tiny models the first block is half of all; those that are small have twelve."""
    common = ["--size", "full", "--steps", "20", "--rounds", "1", "--warm-up", "0", "--device", "cpu"]
    methods = ["--methods", "stock", *CACHES[system]]
    side_by_side.main([*common, *methods, "--systems", system, "--out", str(tmp_path), "--name", "t"])
    rows = {row["method"]: row for row in json.loads((tmp_path / "t.json").read_text())["rows"]}
    for name in CACHES[system]:
        assert "reason" not in rows[name], rows[name]
        assert rows[name]["gflops"] < 0.9 * rows["stock"]["gflops"], name


def test_a_package_that_is_not_there_is_told_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cache_dit", None)
    with pytest.raises(NotApplicableError, match="pip install cache-dit"):
        cache_methods.cache_dit_package(None, ARCHITECTURES["dit"]).__enter__()


def test_flops_of_attention_are_counted_on_a_cpu():
    """A linear layer of 8 x 8 on 10 tokens, and attention of 2 heads: by hand, a multiply-add twice."""
    flops = measurement._Flops()
    query = torch.ones(1, 2, 10, 4)

    def work(tokens):
        return torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)

    flops.count(work, query)
    assert flops.total == 2 * 2 * (2 * 10 * 10 * 4)
    flops.count(torch.nn.Linear(8, 8), torch.ones(10, 8))
    assert flops.total == 2 * 2 * (2 * 10 * 10 * 4) + 2 * 10 * 8 * 8


def test_psnr():
    one = np.zeros((1, 2, 2, 3))
    assert measurement.psnr(one, one) == math.inf
    assert measurement.psnr(one, one + 0.1) == pytest.approx(20)


def test_a_multiply_add_counts_once():
    class Pipe:
        components = {"network": torch.nn.Linear(3, 5)}  # noqa: RUF012

        def __call__(self, generator):
            return self.components["network"](torch.ones(2, 3))

    cost = measurement.counted(Pipe(), [Pipe.components["network"]], {}, "cpu", 0)
    assert cost.gflops == pytest.approx(2 * 3 * 5 / 1e9)
