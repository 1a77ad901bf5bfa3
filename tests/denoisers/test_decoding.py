"""Portions of a span's rows, decoded one after the other in one process, give what decoding them at once gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import fdplug
from fdplug import trees
from fdplug.errors import PropagationError
from fdplug.propagation.decoding import Decoding
from fdplug.propagation.split import portions
from fdplug.testing.systems import SYSTEMS

POLICY = {"uniform": {"interval": 3}}
QUICK = ("text-to-video", "dit", "sd3")  # frames, tokens, two streams
LISTED = {"z-image"}  # rows in a list, which are not divided
PARALLEL = [name for name, system in SYSTEMS.items() if system.parallel and name not in LISTED]


class InTurns(Decoding):
    """Decodes five portions, which begin and end within steps, after the part was computed by itself."""

    name = "in-turns"

    def decode(self, window, call, denoise):
        if window.computes:
            assert denoise(window.for_part()) is None  # it has stopped after the part
        found = [denoise(replace(window, portion=share)) for share in portions(window.size, 5) if share]
        skeleton, _ = trees.dissect(found[0])
        return skeleton.fill(tuple(map(torch.cat, zip(*map(trees.leaves, found), strict=True))))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PARALLEL]
)
def test_portions_are_what_is_decoded_at_once(name):
    system = SYSTEMS[name]
    pipe = system.make()
    results, rows = [], []
    for decoding in ("parallel", InTurns()):
        with fdplug.propagate(pipe, policy=POLICY, decoding=decoding) as on:
            results.append(system.run(pipe))
            rows.append([on.ledger.rows(module) for module in ("", *on.method.part.modules)])
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-3)
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", LISTED)
def test_rows_in_a_list_are_not_divided(name):
    pipe = SYSTEMS[name].make()
    with (
        fdplug.propagate(pipe, policy=POLICY, decoding=InTurns()),
        pytest.raises(PropagationError, match="come as a list, which decoding 'in-turns' cannot divide"),
    ):
        SYSTEMS[name].run(pipe)
