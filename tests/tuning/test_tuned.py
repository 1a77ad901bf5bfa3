"""Tuned key steps: the cut is optimal, the costs are what replaying does, and the file is checked on use."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

import fdplug
from fdplug import registry
from fdplug.builtin.tuned import Choice, Noise, Tuned, TunedNoise, TunedSchedule, TunedTimesteps, fingerprint
from fdplug.errors import ConfigError, PropagationError
from fdplug.testing import check_cache, check_policy, check_sampler, latents, schedule, tiny_pipeline
from fdplug.tuning.calibration import calibrate, interpolated
from fdplug.tuning.optimal_spans import price, segment


def random_costs(total, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(total - step, generator=generator).tolist() for step in range(total)]


def priced(costs, keys):
    """Step by step: a span ends where the next key step is, or at the end."""
    total, start = 0.0, 0
    for step in range(1, len(costs) + 1):
        if step in keys or step == len(costs):
            total, start = total + costs[start][step - start - 1], step
    return total


@pytest.mark.parametrize("seed", range(5))
def test_the_cut_is_the_best_of_all_cuts(seed):
    """Against every possible set of key steps, one by one."""
    costs = random_costs(7, seed)
    for count, found in enumerate(segment(costs), start=1):
        every = [(0, *rest) for rest in itertools.combinations(range(1, 7), count - 1)]
        best = min(every, key=lambda keys: priced(costs, keys))
        assert found.error == pytest.approx(priced(costs, best))
        assert priced(costs, found.keys) == pytest.approx(found.error)
        assert price(costs, found.keys) == pytest.approx(found.error)
        assert len(found.keys) == count


STEPS = 6


@pytest.fixture(scope="module")
def measured():
    pipe = tiny_pipeline()
    told = []
    found = calibrate(
        pipe,
        lambda: latents(pipe, num_inference_steps=STEPS),
        progress=lambda done, total: told.append((done, total)),
    )
    runs = STEPS + STEPS - 1  # fewer steps than a dozen: the response is measured at all but the first
    assert [total for _, total in told] == [runs] * len(told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[0][0] == 1
    assert told[-1][0] == found.runs == runs
    return pipe, found


def test_sensitivity_is_ddims_own_coefficient(measured):
    """D z_0 / d eps_t by hand: equation (1) of the paper for step t, then only the rescaling of all later steps."""
    pipe, found = measured
    alphas = pipe.scheduler.alphas_cumprod.double()
    gap = 1000 // STEPS
    now = [float(alphas[int(t)]) for t in found.timesteps]
    after = [
        float(alphas[int(t) - gap]) if t - gap >= 0 else float(pipe.scheduler.final_alpha_cumprod)
        for t in found.timesteps
    ]
    for step in range(STEPS):
        a, b = now[step], after[step]
        own = b**0.5 * ((1 / b - 1) ** 0.5 - (1 / a - 1) ** 0.5)
        rest = 1.0
        for later in range(step + 1, STEPS):
            rest *= (after[later] / now[later]) ** 0.5
        assert found.sensitivity[step] == pytest.approx(own * rest, rel=1e-5)


def test_costs_are_what_a_span_does_to_predictions(measured):
    """One entry by hand: predictions at steps 2 and 3 from features of step 1, weighed, summed, squared."""
    from tests.propagation import reference

    pipe, found = measured
    text = torch.cat(pipe.encode_prompt("a red circle", "cpu", 1, True)[::-1])
    samples = []

    def keep(pipe, step, timestep, tensors):
        samples.append(tensors["latents"])
        return {}

    latents(pipe, num_inference_steps=STEPS, callback_on_step_end=keep)
    pipe.scheduler.set_timesteps(STEPS)
    times = pipe.scheduler.timesteps
    with torch.no_grad():
        features = reference.encode(pipe.unet, torch.cat([samples[0]] * 2), times[1], text)
        moved = torch.zeros_like(samples[0])
        for step in (2, 3):
            wrong = reference.decode(pipe.unet, *features, times[step], text).chunk(2)
            own = reference.encode(pipe.unet, torch.cat([samples[step - 1]] * 2), times[step], text)
            right = reference.decode(pipe.unet, *own, times[step], text).chunk(2)
            error = [one - other for one, other in zip(wrong, right, strict=True)]
            moved += found.sensitivity[step] * found.response[step] * (error[0] + 7.5 * (error[1] - error[0]))
    assert found.costs[1][2] == pytest.approx(float(moved.square().mean()), rel=1e-3)


@torch.no_grad()
def test_the_response_is_what_the_denoiser_leaves_of_an_error(measured):
    """A plain loop, once as it is and once with a prediction from features of the step before; against the sampler."""
    from tests.propagation import reference

    pipe, found = measured
    text = torch.cat(pipe.encode_prompt("a red circle", "cpu", 1, True)[::-1])
    start = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0))

    def predict(features, time):
        without, withtext = reference.decode(pipe.unet, *features, time, text).chunk(2)
        return without + 7.5 * (withtext - without)

    def final(disturbed):
        sample, before, error = start, None, None
        pipe.scheduler.set_timesteps(STEPS)
        for step, time in enumerate(pipe.scheduler.timesteps):
            features = reference.encode(pipe.unet, torch.cat([sample] * 2), time, text)
            noise = predict(features, time)
            if step == disturbed:
                error = predict(before, time) - noise
                noise = noise + error
            before = features
            sample = pipe.scheduler.step(noise, time, sample).prev_sample
        return sample, error

    plain, _ = final(None)
    for step in range(1, STEPS):
        moved, error = final(step)
        left = (moved - plain).square().mean().sqrt() / (found.sensitivity[step] * error).square().mean().sqrt()
        assert found.response[step] == pytest.approx(float(left), rel=2e-2)
    assert found.response[STEPS - 1] == pytest.approx(1, rel=1e-3), "nobody reacts to the last step"


def test_responses_between_those_measured_lie_on_straight_lines_of_logarithms():
    assert interpolated({}, 3) == [1, 1, 1]
    assert interpolated({1: 0.1, 3: 0.4}, 5) == pytest.approx([0.1, 0.1, 0.2, 0.4, 0.4])


def test_fewer_responses_take_fewer_runs():
    pipe = tiny_pipeline()
    found = calibrate(pipe, lambda: latents(pipe, num_inference_steps=4), responses=0)
    assert found.runs == 4
    assert found.response == (1, 1, 1, 1)


def test_spans_of_one_step_cost_nothing_and_rows_have_their_lengths(measured):
    _, found = measured
    assert [len(row) for row in found.costs] == list(range(STEPS, 0, -1))
    assert all(row[0] == 0 for row in found.costs)


def test_gflops_of_any_number_of_keys(measured):
    pipe, found = measured
    with fdplug.propagate(pipe, policy={"explicit": {"steps": [0, 2, 3]}}) as on:
        latents(pipe, num_inference_steps=STEPS)
        assert found.gflops_with(3) == pytest.approx(on.ledger.gflops())


def tuned(pipe, found, path, chosen=3, noise=None):
    curve = tuple(
        Choice(keys=cut.keys, error=cut.error, gflops=1.0, measured=0.5, psnr=30.0) for cut in segment(found.costs)
    )
    made = TunedSchedule(
        model="tiny",
        denoiser=fingerprint(pipe.unet),
        timesteps=found.timesteps,
        chosen=chosen,
        curve=curve,
        calibration={"sampler": "ddim"},
        noise=noise,
    )
    made.save(path)
    return made


@pytest.fixture
def file(measured, tmp_path):
    made = tuned(*measured, tmp_path / "tuned.json")
    assert TunedSchedule.load(tmp_path / "tuned.json") == made
    return str(tmp_path / "tuned.json")


def test_the_policy_takes_the_keys_of_the_file(measured, file):
    pipe, _ = measured
    for count in (None, 2):
        with fdplug.propagate(pipe, policy={"tuned": {"file": file, "keys": count}}) as on:
            latents(pipe, num_inference_steps=STEPS)
        assert len(on.ledger.key_steps) == (count or 3)
    check_policy(Tuned(file), lengths=())


def test_the_timesteps_of_the_key_steps_are_a_solvers_own(measured, file):
    """Euler there is DDIM with its prediction reused between key steps, as long as both end at the same noise."""
    pipe, found = measured
    check_sampler(TunedTimesteps(file))
    sampler = TunedTimesteps(file)
    keys = sampler.schedule.curve[2].keys
    assert sampler.steps == 3
    assert sampler.arguments(3) == {"timesteps": [round(found.timesteps[key]) for key in keys]}
    own = pipe.scheduler
    try:
        pipe.scheduler = type(own).from_config(own.config, set_alpha_to_one=True, timestep_spacing="leading")
        settings = {"part": "trunk", "policy": {"explicit": {"steps": keys}}, "injector": "none"}
        with fdplug.propagate(pipe, **settings):
            expected = latents(pipe, num_inference_steps=STEPS)
        pipe.scheduler = sampler.fit(pipe.scheduler)
        got = latents(pipe, **{"num_inference_steps": None, **sampler.arguments(3)})
    finally:
        pipe.scheduler = own
    assert torch.allclose(got, expected, atol=1e-4 * float(expected.abs().max()))
    with pytest.raises(ConfigError, match=r"keys is 7, but .* is for a run of 6 steps"):
        sampler.arguments(7)


def test_the_tuned_noise_is_prior_noise(measured, file, tmp_path):
    pipe, _ = measured
    path = str(tmp_path / "noise.json")
    tuned(*measured, path, noise=Noise(alpha=0.01, tau=0.7, error=0.1, without=0.2))
    images = []
    for injector in ({"tuned": {"file": path}}, {"prior": {"alpha": 0.01, "tau": 0.7}}, "none"):
        with fdplug.propagate(pipe, policy={"tuned": {"file": path}}, injector=injector):
            images.append(latents(pipe, num_inference_steps=STEPS))
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    with pytest.raises(ConfigError, match="holds no prior noise; tune again with --injector tune"):
        TunedNoise(file)


def test_another_denoiser_is_refused_unless_allowed(file):
    other = tiny_pipeline(seed=1)
    with pytest.raises(ConfigError, match="was tuned for another denoiser, that of 'tiny'"):
        fdplug.propagate(other, policy={"tuned": {"file": file}})
    with fdplug.propagate(other, policy={"tuned": {"file": file, "check": False}}):
        latents(other, num_inference_steps=STEPS)


def test_another_step_count_is_refused(measured, file):
    pipe, _ = measured
    with (
        fdplug.propagate(pipe, policy={"tuned": {"file": file}}),
        pytest.raises(PropagationError, match=r"another sampler or step count: 6 steps from .* this run has 7"),
    ):
        latents(pipe, num_inference_steps=7)


def test_half_precision_has_the_same_fingerprint(measured):
    pipe, _ = measured
    assert fingerprint(tiny_pipeline().unet.half()) == fingerprint(pipe.unet)
    assert fingerprint(tiny_pipeline(seed=1).unet) != fingerprint(pipe.unet)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid json: Expecting property name.*; write one with `fdplug tune`"),
        ("[]", "; write one with `fdplug tune`"),
        ('{"format": 1}', "format is 1, 2 is needed"),
        ('{"format": 2}', "; write one with `fdplug tune`"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        registry.build("policy", {"tuned": {"file": str(tmp_path / "x.json")}})


def test_a_missing_file_and_too_many_keys(file, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*none.json: No such file"):
        Tuned(str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match=r"keys is 7, but .* is for a run of 6 steps"):
        Tuned(file, keys=7)


def test_what_depends_on_the_sample_cannot_be_calibrated():
    pipe = tiny_pipeline()
    with pytest.raises(ConfigError, match="'decoder' every prediction depends on the sample"):
        calibrate(pipe, lambda: latents(pipe), part="decoder")


def test_a_run_that_is_not_the_same_each_time_is_refused():
    pipe = tiny_pipeline()
    seeds = itertools.count()
    with pytest.raises(ConfigError, match="not the same each time"):
        calibrate(pipe, lambda: latents(pipe, seed=next(seeds), num_inference_steps=4))


def test_the_file_holds_plain_json(file):
    held = json.loads(Path(file).read_text())
    assert held["format"] == 2
    assert held["curve"][2]["keys"][0] == 0


def test_a_damped_forecast_is_read_from_the_file(tmp_path):
    """Half the linear forecast behind key step 4, reuse behind 2; another file than a trunk's is refused."""
    path = str(tmp_path / "tuned.json")
    run = schedule(8)
    shares = Choice(keys=(0, 2, 4), error=0.0, gflops=1.0, shares=(0.0, 0.0, 0.5))
    curve = [Choice(keys=tuple(range(count)), error=0.0, gflops=1.0) for count in range(1, 9)]
    curve[2] = shares
    held = {"model": "m", "denoiser": "d", "timesteps": run.timesteps, "calibration": {}}
    TunedSchedule(**held, chosen=3, curve=tuple(curve)).save(path)
    cache = registry.build("cache", {"tuned": {"file": path}})
    check_cache(cache)
    cache.begin(run)
    for step, value in ((0, 5.0), (2, 1.0), (4, 3.0)):
        cache.write("block", step, (torch.full((1, 2), value),))
        if step == 2:
            assert cache.read("block", [3])[0].tolist() == [[1.0, 1.0]]
    assert cache.read("block", [4, 5, 6])[0][:, 0].tolist() == pytest.approx([3.0, 3.5, 4.0], rel=1e-5)
    with pytest.raises(ConfigError, match="holds no forecast"):
        registry.build("cache", {"tuned": {"file": path, "keys": 1}})


def test_a_trunk_is_tuned_from_one_recorded_run(capsys, tmp_path):
    """By the command; the policy and the cache read the file, and the run takes the keys it asks for."""
    from fdplug.commands.tune import main
    from fdplug.predict.generation.loading import load_pipeline

    path = str(tmp_path / "trunk.json")
    asked = ["--part", "trunk", "--sampler", "ddim", "--steps", "6", "--key-steps", "3", "--limit", "1"]
    assert main([*asked, "--responses", "0", "--out", path]) == 0
    tuned = TunedSchedule.load(path)
    assert tuned.calibration["runs"] == 1
    assert [len(one.keys) for one in tuned.curve] == [1, 2, 3, 4, 5, 6]
    pipe = load_pipeline("shapes")
    pipe.scheduler = registry.build("sampler", "ddim").fit(pipe.scheduler)
    own = {"tuned": {"file": path}}
    with fdplug.propagate(pipe, part="trunk", policy=own, cache=own, injector="none") as on:
        pipe("a red circle", num_inference_steps=6, output_type="latent")
    assert on.ledger.key_steps == tuned.curve[2].keys


@pytest.mark.slow
def test_a_trunk_is_refined_by_running_candidates(capsys, tmp_path):
    """Every number of key steps that is named; the images are measured, and what changes them least is kept."""
    from fdplug.commands.tune import main

    asked = ["--part", "trunk", "--sampler", "ddim", "--steps", "6", "--key-steps", "3", "2", "--limit", "1"]
    curves = []
    for refine in ("1", "7"):
        path = str(tmp_path / f"{refine}.json")
        assert main([*asked, "--responses", "0", "--refine", refine, "--out", path]) == 0
        tuned = TunedSchedule.load(path)
        assert (tuned.chosen, tuned.calibration["part"]) == (3, "trunk")
        assert [one.measured is not None for one in tuned.curve] == [False, True, True, False, False, False]
        curves.append(tuned.curve)
    for cut, refined in zip(curves[0][1:3], curves[1][1:3], strict=True):
        assert refined.measured <= cut.measured
        assert refined.psnr >= cut.psnr - 0.1
    floor = curves[0][2].psnr - 0.1
    path = str(tmp_path / "floor.json")
    floored = [*asked[:6], "--psnr", str(floor), "--limit", "1", "--responses", "0", "--out", path]
    assert main(floored) == 0
    assert TunedSchedule.load(path).chosen <= 3
