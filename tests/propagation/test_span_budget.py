"""What lives in memory at once is counted right, and an automatic span limit keeps to its budget."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fdplug
from fdplug.errors import ConfigError
from fdplug.profiling.live_memory import LiveMemory, resident
from fdplug.testing import latents, tiny_pipeline
from fdplug.testing.systems import SYSTEMS

KEYS = {"explicit": {"steps": [0, 1, 6]}}
KIB = torch.ones(256)  # 1 KiB


def test_memory_is_counted_while_it_lives():
    with LiveMemory() as memory:
        one = KIB + 1
        assert memory.live == 1024
        two = torch.cat([one, one])
        assert memory.live == 3072
        del one
        assert memory.live == 2048
        two.add_(1)
        view = two[3:]
        del two
        assert memory.live == 2048  # the view holds it
        del view
        assert memory.live == 0
    assert memory.peak == 3072


def test_memory_inside_a_function_that_returns_is_in_the_peak_alone():
    with LiveMemory() as memory:
        result = (KIB * 2).exp().sum()
    assert memory.live == result.nbytes
    assert memory.peak >= 2048


def test_what_was_there_before_is_not_counted():
    weight = nn.Linear(64, 64).weight
    with LiveMemory() as memory:
        kept = [weight.t(), weight.detach(), weight.view(-1)]
    assert memory.peak == 0
    assert len(kept) == 3


def test_resident_counts_every_weight_once():
    pipe = tiny_pipeline()
    counted = sum(
        one.nbytes for part in (pipe.unet, pipe.vae, pipe.text_encoder) for one in [*part.parameters(), *part.buffers()]
    )
    assert resident(pipe, torch.device("cpu")) == counted
    assert resident(pipe, torch.device("meta")) == 0


def peak(pipe, system):
    with LiveMemory() as memory:
        system.run(pipe, num_inference_steps=12)
    return memory.peak


@pytest.mark.parametrize(("name", "longest"), [("sd", 2), ("sdxl", 1), ("controlnet", 1), ("dit", 5)])
def test_an_automatic_limit_keeps_the_peak_under_a_quarter_more(name, longest):
    """Weights and all that lives at once, over the whole run; a span as long as it may be takes more."""
    system = SYSTEMS[name]
    pipe = system.make()
    weights = resident(pipe, torch.device("cpu"))
    stock = peak(pipe, system)
    with fdplug.propagate(pipe, policy=KEYS, injector="none", decoding="parallel"):
        whole = peak(pipe, system)
    with fdplug.propagate(pipe, policy=KEYS, injector="none", max_span_batch="auto") as on:
        expected = system.run(pipe, num_inference_steps=12)
        entries = [entry for entry in on.ledger.entries if entry.module == "" and entry.network != "controlnet"]
        auto = peak(pipe, system)
        assert torch.equal(system.run(pipe, num_inference_steps=12), expected)
    assert whole > stock
    assert weights + auto <= 1.25 * (weights + stock)
    assert max(len(entry.steps) for entry in entries) == longest


def test_spans_are_cut_into_equal_shares(pipe):
    """Ten steps, at most four at once, are 4 + 3 + 3 and not 4 + 4 + 2."""
    policy = {"explicit": {"steps": [0]}}
    with fdplug.propagate(pipe, policy=policy, injector="none", max_span_batch=4) as on:
        latents(pipe, num_inference_steps=10, guidance_scale=1.0)
    assert [len(entry.steps) for entry in on.ledger.entries if entry.module == ""] == [4, 3, 3]


def test_every_run_takes_the_same_steps_at_once(pipe):
    """Also the first, during which memory is measured: its images are those of the second, bit for bit."""
    with fdplug.propagate(pipe, policy={"uniform": {"interval": 5}}, max_span_batch="auto") as on:
        windows = []
        for _ in range(2):
            latents(pipe)
            windows.append([entry.steps for entry in on.ledger.entries if entry.module == ""])
    assert windows[0] == windows[1]
    assert windows[0][0] == (0,)


def test_another_word_is_refused(pipe):
    with pytest.raises(ConfigError, match="max_span_batch must be a whole number of at least 1, or auto; got 'most'"):
        fdplug.propagate(pipe, max_span_batch="most")
