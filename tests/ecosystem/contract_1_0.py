"""A plugin as it could be written on the day of contract 1.0. Never change it: what it does must go on working."""

from collections.abc import Mapping

import torch

import fdplug
from fdplug.caches import FeatureCache
from fdplug.denoisers import Companion, DenoiserFamily, Part
from fdplug.injectors import NoiseInjector
from fdplug.parts import PartRule
from fdplug.policies import AdaptivePolicy, BlockPolicy, KeyStepPolicy
from fdplug.samplers import Sampler
from fdplug.transforms import Transform

FDPLUG_CONTRACT = "1.0"


class Ends(KeyStepPolicy):
    """The first and the last step."""

    name = "frozen-ends"

    def __init__(self, extra: int = 0):
        self.extra = extra

    def key_steps(self, schedule):
        step = schedule.step(schedule.start)
        assert (step.index, step.num_steps) == (schedule.start, schedule.num_steps)
        assert 0 <= step.time <= 1
        assert schedule.timesteps[step.index] == step.timestep
        assert schedule.num_train_timesteps > 0
        return frozenset({schedule.start, schedule.end - 1})


class Alternating(AdaptivePolicy):
    """Every second step."""

    name = "frozen-alternating"

    def reset(self):
        self.count = 0

    def is_key(self, step, sample):
        self.count += 1
        return self.count % 2 == 1


class PerBlock(BlockPolicy):
    """Every second step for the first module, the first step for the others."""

    name = "frozen-per-block"

    def block_key_steps(self, schedule, modules):
        even = frozenset(range(schedule.start, schedule.end, 2))
        return {name: even if name == modules[0] else frozenset({schedule.start}) for name in modules}


class Keep(FeatureCache):
    """Features as they are."""

    name = "frozen-keep"
    exact = True

    def begin(self, schedule):
        super().begin(schedule)
        self.schedule = schedule

    def reset(self):
        self.kept = {}

    def write(self, name, step, features):
        self.kept[name] = features

    def read(self, name, steps):
        return tuple(torch.cat([feature] * len(steps)).clone() for feature in self.kept[name])


class Little(NoiseInjector):
    """A little prior noise."""

    name = "frozen-little"

    def inject(self, sample, prior, step):
        return sample + 0.001 * step.time * prior


class Trailing(Sampler):
    """DDIM with trailing timesteps."""

    name = "frozen-trailing"
    scheduler = "DDIMScheduler"
    settings: Mapping = {"timestep_spacing": "trailing"}
    steps = 12


class Flag(Transform):
    """Sets a flag."""

    name = "frozen-flag"
    provides = frozenset({"frozen-fact"})

    def apply(self, pipe):
        pipe.unet.conv_in.frozen_flag = True

    def undo(self, pipe):
        del pipe.unet.conv_in.frozen_flag


class Middle(PartRule):
    """The middle block; wants the flag."""

    name = "frozen-middle"
    needs = {"frozen-fact": "as the test has it"}  # noqa: RUF012
    excludes = {"cache:drop": "as the test has it"}  # noqa: RUF012

    def part(self, family, denoiser):
        assert family.component == "unet"
        return Part(name="frozen-middle", modules=("mid_block",), sample_free=False, chained=frozenset(), companions=())


class Family(DenoiserFamily):
    """A class that no one else knows."""

    name = "frozen-family"
    models = ("torch.nn.Identity",)
    component = "unet"
    sample = "sample"
    timestep = "timestep"
    conditioning = ("encoder_hidden_states",)
    batch_arguments = ()
    unbatched = frozenset()

    def parts(self, denoiser, blocks: int = 1):
        control = Companion(component="controlnet", conditioning=("encoder_hidden_states",))
        yield Part(name="encoder", modules=("conv_in",), sample_free=True, companions=(control,))

    def couples_rows(self, denoiser):
        return False


@fdplug.hookimpl
def fdplug_key_step_policies():
    return [Ends, Alternating, PerBlock]


@fdplug.hookimpl
def fdplug_feature_caches():
    return [Keep]


@fdplug.hookimpl
def fdplug_noise_injectors():
    return [Little]


@fdplug.hookimpl
def fdplug_samplers():
    return [Trailing]


@fdplug.hookimpl
def fdplug_denoiser_families():
    return [Family]


@fdplug.hookimpl
def fdplug_transforms():
    return [Flag]


@fdplug.hookimpl
def fdplug_parts():
    return [Middle]
