"""Shared fixtures: a fresh tiny pipeline, and a guard against patches that a test leaves behind."""

from __future__ import annotations

import os

os.environ.setdefault("FDPLUG_PLUGINS", "")  # installed third-party plugins have tests of their own
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models gain nothing from threads, and wait for them

import random

import pytest

SEED = int(os.environ.get("FDPLUG_SEED", "0"))  # others show tolerances that hold for some weights only


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Start every test from the same random numbers: weights and inputs do not depend on which tests ran before it.

    A hook and not a fixture, as those of modules and sessions would be made before it.
    """
    import torch

    random.seed(SEED)
    torch.manual_seed(SEED)


@pytest.fixture
def pipe():
    """A tiny Stable Diffusion with random weights, 16 x 16 images."""
    from fdplug.testing import tiny_pipeline

    return tiny_pipeline()


@pytest.fixture(autouse=True)
def no_leaked_propagation():
    """Fail a test that leaves a propagation active."""
    yield
    import sys

    if "fdplug.pipeline.active" in sys.modules:
        active = [handle for handle in sys.modules["fdplug.pipeline.active"].ACTIVE.values() if handle.active]
        sys.modules["fdplug.pipeline.active"].ACTIVE.clear()
        assert not active, f"left active: {active}"
