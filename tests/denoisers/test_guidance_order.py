"""How rows of guidance come, as the table says it, against what the pipelines hand over."""

from __future__ import annotations

import functools
import inspect

import pytest
import torch

from fdplug.denoisers.transformer_table import ROWS
from fdplug.lookup import find_families
from fdplug.testing.systems import (
    SYSTEMS,
    film_transformers,
    image_transformers,
    joint_transformers,
    video_transformers,
)

UNGUIDED = {"flux2", "wan-5b"}  # distilled, and the same as another
MODULES = (image_transformers, joint_transformers, video_transformers, film_transformers)
QUICK = {"qwen-image", "z-image"}
NAMES = [
    system.name if system.name in QUICK else pytest.param(system.name, marks=pytest.mark.slow)
    for module in MODULES
    for system in module.SYSTEMS
    if system.name not in UNGUIDED
]


def changed(arguments):
    """The same arguments with another prompt."""
    made = dict(arguments)
    for name, value in arguments.items():
        if "prompt_embeds" in name and "negative" not in name and "mask" not in name:
            made[name] = [one + 1 for one in value] if isinstance(value, list) else value + 1
    return made


def calls_of_the_first_step(system, pipe, arguments):
    """What each row of each call of the denoiser was given as conditioning, in the first step."""
    family, network = find_families(pipe)[0]
    seen, over = [], []

    def hear(module, args, kwargs):
        if over:
            return
        given = inspect.signature(type(module).forward).bind(module, *args, **kwargs).arguments
        tensors = [given[name] for name in family.conditioning if given.get(name) is not None]
        turned = {name: place for name, place in family.batch_dimensions.items() if given.get(name) is not None}
        tensors += [given[name].movedim(place, 0) for name, place in turned.items()]
        rows = len(given[family.sample])
        kept = [one for one in tensors if isinstance(one[0] if isinstance(one, list) else one, torch.Tensor)]
        kept = [one for one in kept if len(one) == rows]
        seen.append([[one[row] for one in kept] for row in range(rows)])

    handle = network.register_forward_pre_hook(hear, with_kwargs=True)
    step = type(pipe.scheduler).step

    @functools.wraps(step)  # pipelines look at what a scheduler's step takes
    def stepped(self, *args, **kwargs):
        over.append(True)
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pipe.scheduler), "step", stepped)
        system.run(pipe, num_inference_steps=3, **arguments)
    handle.remove()
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_guidance_come_as_the_table_says(name):
    """Of two runs with another prompt, the rows that differ are those of the prompt."""
    system = SYSTEMS[name]
    pipe = system.make()
    arguments = system.arguments(1)
    one, other = (calls_of_the_first_step(system, pipe, given) for given in (arguments, changed(arguments)))
    differ = [
        [not all(map(torch.equal, row, again)) for row, again in zip(call, repeated, strict=True)]
        for call, repeated in zip(one, other, strict=True)
    ]
    (row,) = [row for row in ROWS if row.name == find_families(pipe)[0][0].name]
    if row.guidance is None:
        assert differ == [[True, False]]  # lists of rows, of which none is left out
    else:
        stands = [one == "conditional" for one in row.guidance.order]
        assert differ == ([[one] for one in stands] if row.guidance.separate else [stands])
