"""Runs drawn at random over all systems: a family, a sampler, a part, a policy; and the plain loop with hooks."""

from __future__ import annotations

import copy
import random
import warnings
from dataclasses import dataclass

import fdplug
from fdplug import registry
from fdplug.errors import ConfigError, FdplugWarning
from fdplug.lookup import find_families
from fdplug.testing.systems import SYSTEMS
from tests.propagation.random_runs import counting

NOISE = ("own", "own", "ddim", "ddpm", "euler", "dpm-solver++", "heun", "unipc", "pndm", "deis")
FLOW = ("own", "own", "own", "flow-euler", "flow-dpm++", "flow-unipc")
SEVERAL_LOOPS = {"text2video-zero"}
"""The plain loop follows one loop a picture; `test_surroundings.py` holds what is replayed in each of several."""
NAMES = sorted(SYSTEMS.keys() - SEVERAL_LOOPS)


@dataclass(frozen=True)
class Example:
    """One run, as numbers and words; `keys` count from the first step that the run takes.

    The sampler is the first of the two for systems that predict noise, the second for those that predict a flow.
    """

    name: str
    samplers: tuple[str, str]
    part: str
    keys: tuple[int, ...]
    rows: int


def example(seed: int) -> Example:
    """Return the example of a seed; every system has its turn."""
    draw = random.Random(seed)
    system = SYSTEMS[NAMES[seed % len(NAMES)]]
    others = draw.sample(range(1, 4), draw.randint(0, 2))
    return Example(
        name=system.name,
        samplers=(draw.choice(NOISE), draw.choice(FLOW)),
        part=draw.choice(("encoder", "encoder", "trunk", "decoder", "encoder+decoder")),
        keys=(0, *sorted(others)),
        rows=draw.randint(1, system.largest),
    )


def build(one: Example):
    """Return a pipeline for an example; None where its sampler does not fit it."""
    pipe = SYSTEMS[one.name].make()
    sampler = one.samplers["Flow" in type(pipe.scheduler).__name__]
    try:
        if sampler != "own":
            pipe.scheduler = registry.build("sampler", sampler).fit(pipe.scheduler)
    except ConfigError:
        return None
    return pipe


INSTEAD = {"decoder": "encoder", "encoder+decoder": "trunk"}


def part_of(one: Example, family, network):
    """The name of the part: transformers have no decoder, and not every family has a trunk."""
    names = [part.name for part in family.parts(network)]
    return next((name for name in (one.part, INSTEAD.get(one.part)) if name in names), "encoder")


def run(one: Example, pipe):
    """Make the pictures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SYSTEMS[one.name].run(pipe, one.rows)


def propagated(one: Example, pipe, policy, decoding: str):
    """Return what propagation makes, and the ledger."""
    part = part_of(one, *find_families(pipe)[0])
    settings = {"policy": policy, "part": part, "injector": "none", "decoding": decoding}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FdplugWarning)
        with fdplug.propagate(pipe, **settings) as on:
            return run(one, pipe), on.ledger


def plain(one: Example, pipe):
    """The method as a plain loop: hooks that keep what modules hand on at key steps and give it back at the others."""
    place: dict[str, object] = {"step": 0, "call": 0}
    kept: dict[tuple[object, ...], object] = {}
    handles = []

    def replay(name, calls):
        def hook(module, args, kwargs, output):
            where = (name, calls(name))
            if place["step"] in one.keys or where not in kept:
                kept[where] = copy.deepcopy(output)
            return copy.deepcopy(kept[where])

        return hook

    def within(name):
        """Which call of the step, and which of the module in it."""
        seen = place["seen"]
        seen[name] = seen.get(name, 0) + 1
        return place["call"], seen[name]

    def enter(module, args, kwargs):
        place["call"] += 1
        place["seen"] = {}

    others: dict[object, int] = {}

    def apart(name):
        """Which call of a companion in its step."""
        others[name, place["step"]] = others.get((name, place["step"]), 0) + 1
        return others[name, place["step"]]

    for family, network in find_families(pipe):
        part = family.part(network, part_of(one, family, network))
        handles.append(network.register_forward_pre_hook(enter, with_kwargs=True))
        for name in part.modules:
            hook = replay(f"{family.component}.{name}", within)
            handles.append(network.get_submodule(name).register_forward_hook(hook, with_kwargs=True))
        for companion in part.companions:
            other = getattr(pipe, companion.component, None)
            if other is not None:
                handles.append(other.register_forward_hook(replay(companion.component, apart), with_kwargs=True))
    pipe.scheduler.step = counting(pipe.scheduler.step, place)
    try:
        return run(one, pipe)
    finally:
        del pipe.scheduler.step
        for handle in handles:
            handle.remove()
