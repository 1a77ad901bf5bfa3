"""Every built-in family goes through the check that third parties use."""

from __future__ import annotations

import pytest

from fdplug.lookup import find_families
from fdplug.registry import build, names
from fdplug.testing import check_family
from fdplug.testing.systems import (
    SYSTEMS,
    film_transformers,
    image_transformers,
    joint_transformers,
    video_transformers,
)

TABLE = ("wan-5b", "wan-a14b", "wan-a14b-i2v", "flux2-klein", "qwen-image-edit")  # further systems of a family
CHOSEN = (
    *("ddim", "dit", "pixart", "sd3", "flux", "svd", "text-to-video", "animatediff"),
    *("kandinsky3", "audioldm2", "i2vgen-xl", "stable-cascade-prior", "stable-cascade-decoder", "controlnet-xs"),
    *(
        one.name
        for module in (image_transformers, joint_transformers, video_transformers, film_transformers)
        for one in module.SYSTEMS
        if one.name not in TABLE
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_a_family_keeps_to_the_contract(name):
    system = SYSTEMS[name]
    check_family(find_families(system.make())[0][0], lambda: with_a_fitting_scheduler(system), system.run)


def with_a_fitting_scheduler(system):
    """The pipeline; where its scheduler adds noise or combines predictions, with one that fits every part."""
    pipe = system.make()
    if system.name in ("hunyuan-dit", "pixart"):
        pipe.scheduler = build("sampler", "ddim").fit(pipe.scheduler)
    if system.name == "stable-audio":
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, solver_order=1)
    return pipe


@pytest.mark.slow
def test_no_family_is_left_out():
    """Stable Diffusion's is in tests/propagation."""
    assert {find_families(SYSTEMS[name].make())[0][0].name for name in (*CHOSEN, "sd")} == set(names("family"))
