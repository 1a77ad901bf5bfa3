"""Whatever is put together: serial = parallel = plain loop, undo is exact, a second call is the first."""

from __future__ import annotations

import pytest
import torch

from fdplug.errors import PropagationError
from tests.propagation.random_runs import build, example, plain, propagated, run

QUICK, MANY = range(8), range(8, 308)


def close(one, other):
    return one.shape == other.shape and float((one - other).abs().max()) <= 1e-4 * max(1.0, float(other.abs().max()))


@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
@pytest.mark.parametrize("seed", [*QUICK, *(pytest.param(seed, marks=pytest.mark.slow) for seed in MANY)])
def test_a_run_drawn_at_random(seed):
    one = example(seed)
    stock = run(one, build(one))
    (exact,), ledger, _ = propagated(one, policy="all")
    assert torch.equal(exact, stock), f"every step a key step is the pipeline itself: {one}"
    assert ledger.key_steps == ledger.steps
    if one.part == "trunk" and one.sampler == "ddpm":
        with pytest.raises(PropagationError, match="adds fresh noise, which no replayed step sees"):
            propagated(one)
        return
    pipe = build(one)
    times = 2 if one.change == "none" else 1
    serial, ledger, counts = propagated(one, pipe, times, decoding="serial")
    assert {name: ledger.passes(name) for name in counts} == counts, f"the ledger counts what ran: {one}"
    assert close(serial[0], plain(one)), f"serial decoding is the plain loop: {one}"
    if one.change == "none":
        assert torch.equal(serial[1], serial[0]), f"a second call is the first: {one}"
        assert torch.equal(run(one, pipe), stock), f"undo is exact: {one}"
    injector = {"prior": {"alpha": one.alpha}} if one.alpha else "none"
    expected = propagated(one, decoding="serial", injector=injector)[0][0] if one.alpha else serial[0]
    (parallel,), ledger, counts = propagated(one, injector=injector)
    assert close(parallel, expected), f"parallel decoding is serial decoding: {one}"
    assert {name: ledger.passes(name) for name in counts} == counts
