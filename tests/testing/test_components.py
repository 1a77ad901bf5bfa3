"""The tiny components that plugin authors build their tests on: the same every time, and of the classes that count."""

from __future__ import annotations

import pytest
import torch

from fdplug.errors import UnknownPluginError
from fdplug.testing import latents, registered, schedule, tiny_pipeline
from fdplug.testing.systems import SYSTEMS


def test_a_tiny_pipeline_is_the_same_every_time():
    runs = [latents(tiny_pipeline(), num_inference_steps=3) for _ in range(2)]
    assert torch.equal(*runs)


def test_a_schedule_has_the_steps_that_were_asked_for():
    made = schedule(7)
    assert made.num_steps == 7
    assert list(made.timesteps) == sorted(made.timesteps, reverse=True)


def test_a_plugin_is_registered_for_a_while():
    from fdplug import registry
    from fdplug.policies import KeyStepPolicy

    class First(KeyStepPolicy):
        """The first step."""

        name = "only-the-first"

        def key_steps(self, schedule):
            return frozenset({0})

    with registered("policy", First):
        assert isinstance(registry.build("policy", "only-the-first"), First)
    with pytest.raises(UnknownPluginError, match="only-the-first"):
        registry.build("policy", "only-the-first")


@pytest.mark.parametrize("name", ["sd", "dit", "ddim"])
def test_pictures_of_a_system_do_not_depend_on_how_many_are_made(name):
    system = SYSTEMS[name]
    pipe = system.make()
    assert torch.allclose(system.run(pipe, 1), system.run(pipe, 2)[:1], atol=1e-4)
