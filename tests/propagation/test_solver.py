"""What a scheduler's steps do, found by taking some, against what is known of every scheduler of diffusers."""

from __future__ import annotations

import warnings

import diffusers
import pytest
import torch
from diffusers import ConfigMixin, DDIMScheduler, DPMSolverMultistepScheduler
from diffusers.configuration_utils import register_to_config

import fdplug
from fdplug import registry
from fdplug.errors import FdplugWarning
from fdplug.propagation.solver import Solver, solver_of
from fdplug.testing import latents, tiny_pipeline

ONE, SEVERAL, NOISE = Solver(), Solver(combines=True), Solver(adds_noise=True)
KNOWN = {
    "CMStochasticIterativeScheduler": NOISE,
    "CogVideoXDDIMScheduler": ONE,
    "CogVideoXDPMScheduler": NOISE,
    "CosineDPMSolverMultistepScheduler": NOISE,
    "DDIMInverseScheduler": ONE,
    "DDIMParallelScheduler": ONE,
    "DDIMScheduler": ONE,
    "DDPMParallelScheduler": NOISE,
    "DDPMScheduler": NOISE,
    "DDPMWuerstchenScheduler": NOISE,
    "DEISMultistepScheduler": SEVERAL,
    "DPMSolverMultistepInverseScheduler": SEVERAL,
    "DPMSolverMultistepScheduler": SEVERAL,
    "DPMSolverSDEScheduler": NOISE,
    "DPMSolverSinglestepScheduler": SEVERAL,
    "EDMDPMSolverMultistepScheduler": SEVERAL,
    "EDMEulerScheduler": ONE,
    "EulerAncestralDiscreteScheduler": NOISE,
    "EulerDiscreteScheduler": ONE,
    "FlowMapEulerDiscreteScheduler": ONE,
    "FlowMatchEulerDiscreteScheduler": ONE,
    "FlowMatchHeunDiscreteScheduler": SEVERAL,
    "FlowMatchLCMScheduler": NOISE,
    "HeunDiscreteScheduler": SEVERAL,
    "IPNDMScheduler": SEVERAL,
    "KDPM2AncestralDiscreteScheduler": NOISE,
    "KDPM2DiscreteScheduler": SEVERAL,
    "LCMScheduler": NOISE,
    "LMSDiscreteScheduler": SEVERAL,
    "LTXEulerAncestralRFScheduler": NOISE,
    "MiniMaxH3Scheduler": ONE,
    "PNDMScheduler": SEVERAL,
    "RePaintScheduler": NOISE,
    "SASolverScheduler": NOISE,
    "TCDScheduler": NOISE,
    "UnCLIPScheduler": NOISE,
    "UniPCMultistepScheduler": SEVERAL,
}
# They step through tokens, stages or grids, or have no `step`.
UNTRIED = {
    "AmusedScheduler",
    "BlockRefinementScheduler",
    "DiscreteDDIMScheduler",
    "EntropyBoundScheduler",
    "HeliosDMDScheduler",
    "HeliosScheduler",
    "KarrasVeScheduler",
    "PiflowScheduler",
    "RFD4ProteinaScheduler",
    "SCMScheduler",
    "ScoreSdeVeScheduler",
    "VQDiffusionScheduler",
}


def made(name, **settings):
    """A scheduler of diffusers; skipped where it needs a package that is not installed, or settings of a model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return getattr(diffusers, name)(**settings)
        except ImportError as error:
            pytest.skip(str(error).strip().splitlines()[0])


def test_every_scheduler_of_diffusers_is_on_one_list():
    names = {name for name in dir(diffusers) if name.endswith("Scheduler") and "Flax" not in name}
    assert names == {*KNOWN, *UNTRIED}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_found_is_what_is_known(name):
    assert solver_of(made(name)) == KNOWN[name]


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("DPMSolverMultistepScheduler", {"solver_order": 1}, ONE),
        ("DPMSolverMultistepScheduler", {"solver_order": 3}, SEVERAL),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, NOISE),
        ("DPMSolverMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True}, SEVERAL),
        ("UniPCMultistepScheduler", {"solver_order": 1}, SEVERAL),  # it corrects by the prediction before
        ("UniPCMultistepScheduler", {"solver_order": 1, "disable_corrector": list(range(50))}, ONE),
        ("DEISMultistepScheduler", {"solver_order": 1}, ONE),
        ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}, NOISE),
        ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}, ONE),
        ("PNDMScheduler", {"skip_prk_steps": True}, SEVERAL),
        ("EulerDiscreteScheduler", {"use_karras_sigmas": True}, ONE),
    ],
    ids=str,
)
def test_settings_decide(name, settings, expected):
    assert solver_of(made(name, **settings)) == expected


def test_a_trial_changes_neither_the_scheduler_nor_random_numbers():
    scheduler = made("EulerAncestralDiscreteScheduler", beta_end=0.0123)
    scheduler.set_timesteps(5)
    before = {name: id(value) for name, value in vars(scheduler).items()}
    state = torch.get_rng_state()
    assert solver_of(scheduler) == NOISE
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: id(value) for name, value in vars(scheduler).items()} == before


def test_the_settings_are_the_schedulers_own_not_those_of_the_one_before():
    """A DDIM made from the configuration of a second-order solver still goes by one prediction."""
    ddim = registry.build("sampler", "ddim").fit(DPMSolverMultistepScheduler(solver_order=2))
    assert ddim.config["solver_order"] == 2
    assert solver_of(ddim) == ONE


class Noisy(DDIMScheduler):
    """A scheduler that is on no list."""

    def step(self, *args, **kwargs):
        """Add noise."""
        prev, *rest = super().step(*args, **{**kwargs, "return_dict": False})
        return (prev + torch.randn_like(prev), *rest)


class Odd(DDIMScheduler, ConfigMixin):
    """A scheduler that takes steps in its own pipeline only."""

    @register_to_config
    def __init__(self, gain=1.0, **kwargs):
        super().__init__(**kwargs)

    def step(self, model_output, timestep, sample, eta=0.0, generator=None, return_dict=True):
        """Refuse other sizes."""
        if sample.shape[-1] != 8:
            raise ValueError(f"no sample of {sample.shape[-1]}")
        return super().step(model_output, timestep, sample, return_dict=return_dict)


def test_a_scheduler_on_no_list_is_found_out():
    assert solver_of(Noisy()) == NOISE


def test_what_cannot_be_tried_is_said():
    pipe = tiny_pipeline()
    pipe.scheduler = Odd.from_config(pipe.scheduler.config)
    assert solver_of(pipe.scheduler).untried == "ValueError: no sample of 2"
    settings = {"part": "trunk", "injector": "none", "policy": {"uniform": {"interval": 2}}}
    with fdplug.propagate(pipe, **settings):
        expected = r"whether Odd adds fresh noise .* is not known, .*\(ValueError: no sample of 2\).*compare them"
        with pytest.warns(FdplugWarning, match=expected):
            latents(pipe, num_inference_steps=4)
    with fdplug.propagate(pipe, **{**settings, "part": "encoder"}):
        latents(pipe, num_inference_steps=4)
