"""Runs drawn at random: a system, a sampler, a method, a change at some step; and their plain loop."""

from __future__ import annotations

import copy
import functools
import random
import warnings
from dataclasses import dataclass

import torch

import fdplug
from fdplug import registry
from fdplug.errors import FdplugWarning
from fdplug.testing.systems import SYSTEMS

UNETS = ("sd", "sdxl", "controlnet")
FLOWS = ("sd3", "flux")
NAMES = (*UNETS, *UNETS, "dit", "pixart", *FLOWS)
SAMPLERS = ("ddim", "ddpm", "euler", "dpm-solver++", "heun", "unipc", "pndm")
CHANGES = {
    "sd": ("none", "lora", "freeu", "prompt", "prompt in place", "guidance off", "processor", "weights"),
    "sdxl": ("none", "lora", "freeu", "prompt", "prompt in place", "processor", "weights"),
    "controlnet": ("none", "lora", "freeu", "prompt in place", "processor", "weights"),
    "sd3": ("none", "prompt", "prompt in place", "weights"),
    "flux": ("none", "prompt", "prompt in place", "weights"),
}


@dataclass(frozen=True)
class Example:
    """One run, as numbers and words."""

    name: str
    sampler: str
    interval: int
    part: str
    steps: int
    rows: int
    guidance: float
    alpha: float
    change: str
    at: int


def example(seed: int) -> Example:
    """Return the example of a seed."""
    draw = random.Random(seed)
    name = draw.choice(NAMES)
    unet = name in UNETS
    steps = draw.randint(4, 9)
    return Example(
        name=name,
        sampler=draw.choice(SAMPLERS) if unet else "own",
        interval=draw.randint(2, 5),
        part=draw.choice(("encoder", "encoder", "trunk", *(("decoder",) if unet else ()))),
        steps=steps,
        rows=draw.randint(1, SYSTEMS[name].largest),
        guidance=draw.choice((1.0, 4.0)),
        alpha=draw.choice((0.0, 0.0, 0.02)),
        change=draw.choice(CHANGES.get(name, ("none",))),
        at=draw.randrange(steps - 1),
    )


def build(one: Example):
    """Return a fresh pipeline for an example."""
    pipe = SYSTEMS[one.name].make()
    if one.sampler != "own":
        pipe.scheduler = registry.build("sampler", one.sampler).build(pipe.scheduler.config)
    if one.change == "lora":
        from peft import LoraConfig

        torch.manual_seed(0)
        pipe.unet.add_adapter(
            LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]), adapter_name="a"
        )
    return pipe


def run(one: Example, pipe):
    """Make the pictures, changing what is to change at the end of its step."""
    arguments = {"num_inference_steps": one.steps, "guidance_scale": one.guidance}
    if one.change != "none":
        arguments["callback_on_step_end"] = lambda pipe, step, timestep, given: (
            _change(one, pipe, given) if step == one.at else {}
        )
        arguments["callback_on_step_end_tensor_inputs"] = ["latents", "prompt_embeds"]
    return SYSTEMS[one.name].run(pipe, one.rows, **arguments)


@torch.no_grad()
def _change(one: Example, pipe, given):
    network = pipe.unet if one.name in UNETS else pipe.transformer
    if one.change == "lora":
        network.set_adapters(["a"], [0.3])
    elif one.change == "freeu":
        pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.4, b2=1.6)
    elif one.change == "prompt":
        return {"prompt_embeds": -given["prompt_embeds"]}
    elif one.change == "prompt in place":
        given["prompt_embeds"].neg_()
    elif one.change == "guidance off" and one.guidance > 1:
        pipe._guidance_scale = 0.0
        return {"prompt_embeds": given["prompt_embeds"].chunk(2)[-1]}
    elif one.change == "processor":
        from diffusers.models.attention_processor import AttnProcessor

        network.set_attn_processor(AttnProcessor())
    elif one.change == "weights":
        (network.conv_out if one.name in UNETS else network.proj_out).weight.mul_(0.9)
    return {}


def propagated(one: Example, pipe=None, times: int = 1, **settings):
    """Return what propagation makes, call by call, the ledger, and how often each module of the part ran."""
    pipe = pipe or build(one)
    chosen = {"policy": {"uniform": {"interval": one.interval}}, "part": one.part, "injector": "none", **settings}
    counts: dict[str, list[int]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FdplugWarning)
        with fdplug.propagate(pipe, **chosen) as on:
            network = getattr(pipe, on.method.family.component)
            handles = [
                network.get_submodule(name).register_forward_hook(
                    lambda module, args, output, name=name: counts.setdefault(name, []).append(1)
                )
                for name in on.method.part.modules
            ]
            made = []
            for _ in range(times):
                counts.clear()
                made.append(run(one, pipe))
            for handle in handles:
                handle.remove()
    return made, on.ledger, {name: len(seen) for name, seen in counts.items()}


def counting(step, place):
    """A scheduler's step that says at which step a run is, and that no call has been made there yet."""

    @functools.wraps(step)  # pipelines look whether it takes a generator
    def counted(*args, **kwargs):
        result = step(*args, **kwargs)
        place["step"] += 1
        place["call"] = 0
        return result

    return counted


def plain(one: Example):
    """The method as a plain loop: hooks that keep what modules hand on at key steps and give it back at the others."""
    pipe = build(one)
    family, network = fdplug.pipeline.find_family(pipe)
    part = family.part(network, one.part)
    place, kept = {"step": 0, "call": 0}, {}
    pipe.scheduler.step = counting(pipe.scheduler.step, place)

    def replay(name, whole=False):
        def hook(module, args, kwargs, output):
            now, rows = place["step"], 0 if whole else (place["rows"], place["call"])
            text = kwargs.get("encoder_hidden_states") if whole else place["text"]
            before = kept.get((name, rows))
            if now % one.interval == 0 or before is None or not _same(before[0], text):
                kept[name, rows] = copy.deepcopy((text, output))
            return copy.deepcopy(kept[name, rows][1])

        return hook

    def enter(module, args, kwargs):
        sample = kwargs.get(family.sample, args[0] if args else None)
        place["rows"], place["text"] = len(sample), kwargs.get("encoder_hidden_states")
        place["call"] += 1

    network.register_forward_pre_hook(enter, with_kwargs=True)
    for name in part.modules:
        network.get_submodule(name).register_forward_hook(replay(name), with_kwargs=True)
    for companion in part.companions:
        if getattr(pipe, companion.component, None) is not None:
            other = getattr(pipe, companion.component)
            other.register_forward_hook(replay(companion.component, whole=True), with_kwargs=True)
    return run(one, pipe)


def _same(one, other):
    """Whether two texts are the same; what is given another one is computed."""
    return one is other is None or (one.shape == other.shape and torch.equal(one, other))
