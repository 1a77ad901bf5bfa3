"""Every system in turn with a sampler, a part and key steps drawn at random: serial = parallel = a plain loop."""

from __future__ import annotations

import pytest
import torch

from fdplug.errors import PropagationError
from tests.denoisers.conftest import close
from tests.denoisers.random_families import NAMES, build, example, plain, propagated, run

QUICK = (202,)
TURNS = 4
REFUSED = ("adds fresh noise", "does not follow its scheduler")
"""A trunk with a sampler that adds noise; a sampler whose timesteps the pipeline makes into something else."""


@pytest.mark.parametrize(
    "seed",
    [seed if seed in QUICK else pytest.param(seed, marks=pytest.mark.slow) for seed in range(TURNS * len(NAMES))],
)
def test_a_family_drawn_at_random(seed):
    one = example(seed)
    pipe = build(one)
    if pipe is None:
        pytest.skip(f"the sampler does not fit: {one}")
    try:
        stock = run(one, pipe)
    except Exception as error:
        pytest.skip(f"the pipeline itself does not run so: {one}: {error}")
    if not stock.isfinite().all():
        pytest.skip(f"the pipeline itself makes no finite picture: {one}")
    try:
        exact, ledger = propagated(one, pipe, "all", "auto")
        keys = {"explicit": {"steps": [ledger.steps[0] + key for key in one.keys]}}
        serial, _ = propagated(one, pipe, keys, "serial")
    except PropagationError as error:
        if any(reason in str(error) for reason in REFUSED):
            pytest.skip(f"refused with the reason: {one}: {error}")
        raise
    assert torch.equal(exact, stock), f"every step a key step is the pipeline itself: {one}"
    assert close(serial, plain(one, pipe)), f"serial decoding is the plain loop: {one}"
    parallel, _ = propagated(one, pipe, keys, "auto")
    assert close(parallel, serial), f"parallel decoding is serial decoding: {one}"
    assert torch.equal(run(one, pipe), stock), f"undo is exact: {one}"
