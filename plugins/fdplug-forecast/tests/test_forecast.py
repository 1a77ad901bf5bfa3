"""Forecasts: exact for what is linear or quadratic in time, in parallel as one by one."""

from __future__ import annotations

import pytest
import torch
from fdplug_forecast import Forecast

from fdplug import propagate
from fdplug.errors import ConfigError
from fdplug.testing import check_cache, check_propagation, latents, schedule, tiny_pipeline

RUN = schedule(20)


def filled(cache, steps, function):
    """Write features that are a function of noise time."""
    cache.begin(RUN)
    for step in steps:
        cache.write("block", step, (value(function, step),))
    return cache


def value(function, step):
    return torch.full((2, 3), float(function(RUN.step(step).time)), dtype=torch.float64)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_contract(order):
    check_cache(Forecast(order=order))
    check_cache(Forecast(order=order, reach=0))
    check_cache(Forecast(order=order, basis="hermite"))
    check_cache(Forecast(order=order, basis="chebyshev", against="linear", blend=0.5))


def test_it_propagates_in_parallel_as_one_by_one():
    check_propagation(tiny_pipeline(), cache=Forecast(order=2, horizon=None), policy={"uniform": {"interval": 3}})


def test_linear_features_are_forecast_exactly():
    cache = filled(Forecast(order=1, reach=9, horizon=None), [0, 3], lambda time: 2 - 5 * time)
    (got,) = cache.read("block", [3, 4, 6])
    expected = torch.cat([value(lambda time: 2 - 5 * time, step) for step in (3, 4, 6)])
    assert torch.allclose(got, expected)


def test_order_two_is_taylors_polynomial_of_backward_differences():
    """With key steps 1, 0.8 and 0.6 of t^2 the differences are 1.4 and 1.8, the second one 2."""
    times = {step: RUN.step(step).time for step in (0, 4, 8, 10)}
    cache = filled(Forecast(order=2, reach=9, horizon=None), [0, 4, 8], lambda time: time**2)
    slopes = [times[8] + times[4], times[4] + times[0]]
    ahead = times[10] - times[8]
    second = (slopes[0] - slopes[1]) / (times[8] - times[4])
    expected = times[8] ** 2 + slopes[0] * ahead + second * ahead**2 / 2
    assert cache.read("block", [10])[0][0, 0].item() == pytest.approx(expected)


def test_order_two_is_nearer_than_order_one_for_what_bends():
    def function(time):
        return time**3

    errors = []
    for order in (1, 2):
        cache = filled(Forecast(order=order, reach=9, horizon=None), [0, 4, 8], function)
        errors.append((cache.read("block", [10])[0] - value(function, 10)).abs().max())
    assert errors[1] < errors[0]


def test_the_first_span_reuses():
    cache = filled(Forecast(order=2), [3], lambda time: time)
    (got,) = cache.read("block", [3, 5])
    assert torch.equal(got[:2], got[2:])


def test_reach_limits_the_horizon():
    cache = filled(Forecast(order=1, reach=1, horizon=None), [0, 2], lambda time: time)
    near, far, farther = (cache.read("block", [step])[0] for step in (4, 5, 9))
    assert torch.allclose(near, value(lambda time: time, 4))
    assert torch.equal(far, near)
    assert torch.equal(farther, near)


def test_repeated_times_and_other_shapes_do_no_harm():
    cache = filled(Forecast(order=1), [0], lambda time: time)
    cache.write("block", 0, (torch.ones(2, 3),))
    assert torch.equal(cache.read("block", [5])[0], torch.ones(2, 3))
    cache.write("block", 4, (torch.zeros(4, 3),))
    assert cache.read("block", [5])[0].shape == (4, 3)


def test_indices_are_kept_as_they_are():
    cache = Forecast()
    cache.begin(RUN)
    for step in (0, 2):
        cache.write("block", step, (torch.full((1, 2), step),))
    assert cache.read("block", [3])[0].tolist() == [[2, 2]]


def test_a_run_differs_from_reuse_and_repeats(capsys):
    pipe = tiny_pipeline()
    draws = []
    for cache in ("reuse", Forecast(horizon=None), Forecast(horizon=None)):
        with propagate(pipe, policy={"uniform": {"interval": 3}}, cache=cache):
            draws.append(latents(pipe))
    assert not torch.allclose(draws[0], draws[1], atol=1e-4)
    assert torch.equal(draws[1], draws[2])


@pytest.mark.parametrize(
    "options", [{"order": -1}, {"order": 4}, {"reach": -1}, {"blend": 2}, {"horizon": 0}, {"basis": "pade"}], ids=str
)
def test_options_that_cannot_be_right(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Forecast(**options)


def test_chebyshev_is_ridge_regression_blended_with_linear():
    """Against the normal equations solved for the coefficients, term by term from the recursion of the polynomials."""
    steps, ahead = [0, 1, 2, 4, 6], 8

    def polynomials(step):
        place = 2 * RUN.step(step).time - 1
        found = [1.0, place]
        while len(found) < 5:
            found.append(2 * place * found[-1] - found[-2])
        return found

    design = torch.tensor([polynomials(step) for step in steps], dtype=torch.float64)
    values = torch.tensor([RUN.step(step).time ** 3 for step in steps], dtype=torch.float64)
    fitted = torch.linalg.solve(design.T @ design + 0.1 * torch.eye(5), design.T @ values)
    smooth = float(torch.tensor(polynomials(ahead), dtype=torch.float64) @ fitted)
    slope = (values[-1] - values[-2]) / (RUN.step(6).time - RUN.step(4).time)
    linear = float(values[-1] + slope * (RUN.step(ahead).time - RUN.step(6).time))
    options = {"order": 4, "basis": "chebyshev", "blend": 0.5, "against": "linear", "horizon": None}
    cache = filled(Forecast(**options), steps, lambda time: time**3)
    assert cache.read("block", [ahead])[0][0, 0].item() == pytest.approx((smooth + linear) / 2)


def test_far_forecasts_are_reuse():
    """Distances of a tenth of the run and more are not trusted; half as far they are, wholly."""
    far = filled(Forecast(), [0, 3], lambda time: time)
    assert torch.equal(far.read("block", [4])[0], far.read("block", [3])[0])
    near = filled(Forecast(horizon=0.3), [0, 1], lambda time: time)
    assert torch.allclose(near.read("block", [2])[0], value(lambda time: time, 2))


def test_it_agrees_with_the_cache_of_diffusers():
    """Its state of one layer predicts the same from the same features."""
    from diffusers.hooks.taylorseer_cache import TaylorSeerState

    features = [torch.randn(2, 4, dtype=torch.float64) for _ in range(12)]
    keys = [0, 1, 2, 3, 6, 9]
    for order in (1, 2, 3):
        state = TaylorSeerState(taylor_factors_dtype=torch.float64, max_order=order)
        cache = Forecast(order=order, clock="step", reach=9, horizon=None)
        cache.begin(schedule(12))
        for step in range(12):
            state.current_step = step
            if step in keys:
                state.update((features[step],))
                cache.write("block", step, (features[step],))
            else:
                assert torch.allclose(cache.read("block", [step])[0], state.predict()[0])
