"""Every system once per session: built, saved to a folder, loaded again."""

from __future__ import annotations

import copy
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import fdplug
from fdplug.testing.systems import (
    SYSTEMS,
    film_transformers,
    flux_variants,
    image_transformers,
    joint_transformers,
    other_unets,
    video_transformers,
)

# What diffusers and torch have to say about old pipelines and their own code.
NOTICES = (
    "ignore:Default grid_sample:UserWarning",
    "ignore:torch.meshgrid:UserWarning",
    "ignore:`FluxPosEmbed` is deprecated:FutureWarning",
    "ignore:`LoraLoaderMixin` is deprecated:FutureWarning",
    "ignore::torch.jit.TracerWarning",
    "ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning",
    "ignore:In CPU autocast, but the target dtype is not supported:UserWarning",
)
WITH = ("diffusers", "torch", "transformers")  # versions that the support table says it holds for
UNIFORM = {"uniform": {"interval": 3}}

# Rows of the table of transformers that the default run takes: separate calls, samples in lists, long skips.
REPRESENTATIVES = {"qwen-image", "z-image", "hunyuan-dit"}
_TAIL = (flux_variants, image_transformers, joint_transformers, video_transformers, film_transformers, other_unets)
_MORE = {"sdxl-controlnet-union", "controlnet-xs", "sdxl-controlnet-xs", "marigold"}
LONG_TAIL = _MORE | {system.name for module in _TAIL for system in module.SYSTEMS} - REPRESENTATIVES


def marked(names=SYSTEMS):
    """Return parameters for these systems: those of the long tail are slow."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in LONG_TAIL else name for name in names]


# Systems of one pipeline class, or of one denoiser run by nearly the same loop: the first stands for the others.
ALIKE = {
    "sd-v",
    "sd-inpaint",
    "sd-ip-adapter",
    "custom-diffusion",
    "deci-diffusion",
    "sdxl-img2img",
    "sdxl-refiner",
    "controlnet-several",
    "sdxl-controlnet",
    "sd-x4-upscaler",
    "if-2",
    "pixart-sigma",
    "ddim",
}


def one_of_a_kind():
    """Return parameters for all systems: in the default run one for those that are alike."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in LONG_TAIL | ALIKE else name for name in SYSTEMS]


def pytest_collection_modifyitems(items):
    """Let those notices pass in this folder; every other warning is an error. Note whose check a test is."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for notice in NOTICES:
                item.add_marker(pytest.mark.filterwarnings(notice))
            if item.path.stem != "test_support_table":  # which looks at what is written from the others
                item.user_properties += _whose(getattr(item, "callspec", None))


def _whose(callspec):
    """Return the system that a test is about, and the versions it runs with, for `tests/denoisers/record.py`."""
    given = {} if callspec is None else callspec.params
    name = given.get("case", given.get("name"))
    versions = ", ".join(f"{one} {version(one).partition('+')[0]}" for one in WITH)
    return [("system", name), ("versions", versions)] if name in SYSTEMS else []


def close(one, other, tolerance=1e-4):
    """Whether two outputs agree to 1e-4 of their scale."""
    scale = max(1.0, float(other.abs().max()))
    return one.shape == other.shape and float((one - other).abs().max()) <= tolerance * scale


def networks(pipe):
    """The pipeline's networks by name."""
    return {name: one for name, one in pipe.components.items() if isinstance(one, torch.nn.Module)}


# What a VAE of Wan empties at every call.
OF_WAN_VAE = {"_feat_map", "_conv_idx", "_conv_num", "_enc_feat_map", "_enc_conv_idx", "_enc_conv_num"}


def snapshot(pipe):
    """Every attribute of every module of the pipeline by identity, and of the scheduler and the pipeline by name."""
    modules = {
        (component, name): {key: id(value) for key, value in module.__dict__.items() if key not in OF_WAN_VAE}
        for component, network in networks(pipe).items()
        for name, module in network.named_modules()
    }
    return modules, sorted(pipe.scheduler.__dict__), sorted(pipe.__dict__)


class Case:
    """A system, its loaded pipeline, and what it makes when nothing is propagated."""

    def __init__(self, system, folder):
        self.system = system
        self.pipe = system.reload(system.make(), folder)
        self._known = {}

    def run(self, n=1, **changes):
        return self.system.run(self.pipe, n, **changes)

    def plain(self, n=1):
        """The pipeline's own output."""
        return self._remember(("plain", n), lambda: self.run(n))

    def propagated(self, n=1, **settings):
        """The output and the ledger with propagation; each asked for once."""
        key = (n, *sorted((name, str(value)) for name, value in settings.items()))
        return self._remember(key, lambda: self._propagated(n, settings))

    def _propagated(self, n, settings):
        with fdplug.propagate(self.pipe, **{"policy": UNIFORM, **settings}) as on:
            return self.run(n), on.ledger

    def _remember(self, key, make):
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def fresh(self):
        """A copy of the pipeline that has never run propagated."""
        return copy.deepcopy(self.pipe)


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    known = {}

    def case(name):
        if name not in known:
            known[name] = Case(SYSTEMS[name], tmp_path_factory.mktemp(name))
        return known[name]

    return case


@pytest.fixture(params=marked())
def case(request, cases):
    """One after the other, every system of the support table."""
    return cases(request.param)
