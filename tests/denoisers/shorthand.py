"""Shorthands of the tests around a pipeline."""

from __future__ import annotations

import fdplug
from fdplug.testing.systems import SYSTEMS
from tests.denoisers.conftest import UNIFORM, close


def run(pipe, name="sd-v", **changes):
    return SYSTEMS[name].run(pipe, **changes)


def propagated(pipe, name="sd-v", changes=None, **settings):
    with fdplug.propagate(pipe, **{"policy": UNIFORM, **settings}) as on:
        return run(pipe, name, **(changes or {})), on.ledger


def both(pipe, name="sd-v", **changes):
    """The same run decoded serially and in parallel, which must agree."""
    serial, _ = propagated(pipe, name, changes, decoding="serial")
    parallel, ledger = propagated(pipe, name, changes)
    assert close(parallel, serial)
    return parallel, ledger
