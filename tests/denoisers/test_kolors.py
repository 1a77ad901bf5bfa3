"""Kolors, whose pipeline diffusers has only where sentencepiece is installed: SDXL's U-Net, its text projected."""

from __future__ import annotations

import pytest
import torch

import fdplug
from fdplug.testing.systems.stable_diffusion_xl import KOLORS
from tests.denoisers.conftest import UNIFORM, Case, close

pytest.importorskip("sentencepiece")


@pytest.mark.slow
def test_kolors_is_accelerated_as_sdxl_is(tmp_path):
    case = Case(KOLORS, tmp_path)
    exact, ledger = case.propagated(policy="all", injector="none")
    assert torch.equal(exact, case.plain())
    assert ledger.key_steps == ledger.steps
    for part in ("encoder", "trunk"):
        serial, _ = case.propagated(2, decoding="serial", part=part, injector="none")
        parallel, ledger = case.propagated(2, part=part, injector="none")
        assert close(parallel, serial)
        assert not close(serial[:1], case.plain(), 1e-3)
    with fdplug.propagate(case.pipe, policy=UNIFORM) as on:
        assert torch.equal(case.run(), case.propagated()[0])
    assert on.ledger.gflops() > 0
    assert torch.equal(case.run(), case.plain())
