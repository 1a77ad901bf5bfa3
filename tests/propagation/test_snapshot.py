"""What counts as a change of a module's settings, and what does not."""

import pytest
import torch
from torch import nn

from fdplug.propagation.watching.snapshot import Settings


class Processor:
    def __init__(self):
        self.scale = 0.8
        self.strengths = {"style": 0.7}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.norm = nn.LayerNorm(2)
        self.convolution = nn.Conv2d(2, 2, 3)
        self.register_buffer("positions", torch.zeros(3))
        self.processor = Processor()
        self.scaling = {"a": 0.5, "b": {"c": [1, 2]}}
        self.merged = ["a"]
        self.gain = 1000.5
        self.steering = torch.ones(2)
        self.obsolete = None


class Early(nn.Module):
    """Holds something before torch's own, so that the order of its attributes is not the usual one."""

    def __init__(self):
        self.__dict__["gain"] = 1000.5
        super().__init__()


class Plain:
    """A processor without anything to set."""


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.early = Early()
        self.attention = nn.Module()
        self.attention.processor = Plain()
        self.normalised = nn.Linear(2, 2)
        self.normalised.register_buffer("direction", torch.ones(2))
        self.head = nn.Linear(2, 2)
        self.own = nn.Linear(2, 2)
        self.own.forward = lambda given: given
        self.head.handle = self.head.register_forward_hook(lambda module, given, output: output)


def refill(network):
    network.block.scaling = {"a": 0.25 * 2, "b": {"c": [1, 2]}}


def repeat(network):
    network.block.gain = float("1000.5")
    network.block.processor.scale = float("0.8")


def in_place(tensor):
    with torch.no_grad():
        tensor.add_(1)


class OtherLinear(nn.Linear):
    """Computes something else."""


CHANGES = {
    "another class": lambda one: setattr(one.block.linear, "__class__", OtherLinear),
    "another forward in the place of one of its own": lambda one: setattr(one.own, "forward", lambda given: -given),
    "an option": lambda one: setattr(one.block, "gain", 2.0),
    "an option of another kind": lambda one: setattr(one.block, "gain", "1000.5"),
    "a new attribute": lambda one: setattr(one.block, "b1", 1.2),
    "one attribute for another": lambda one: (delattr(one.block, "obsolete"), setattr(one.block, "b1", None)),
    "an attribute less": lambda one: delattr(one.block, "gain"),
    "a strength in place": lambda one: one.block.scaling.update(a=0.6),
    "a strength further down": lambda one: one.block.scaling["b"]["c"].append(3),
    "another key": lambda one: one.block.scaling.update(d=one.block.scaling.pop("a")),
    "a list in place": lambda one: one.block.merged.append("b"),
    "another list": lambda one: setattr(one.block, "merged", []),
    "an option of a processor": lambda one: setattr(one.block.processor, "scale", 0.9),
    "a strength of a processor": lambda one: one.block.processor.strengths.update(style=0.1),
    "another processor": lambda one: setattr(one.block, "processor", Processor()),
    "a weight in place": lambda one: in_place(one.head.weight),
    "another weight": lambda one: setattr(one.head, "weight", nn.Parameter(one.head.weight.detach().clone())),
    "a weight less": lambda one: setattr(one.head, "weight", None),
    "a number in the place of a tensor": lambda one: setattr(one.block, "steering", 1.0),
    "a tensor in the place of nothing": lambda one: setattr(one.block, "obsolete", torch.ones(2)),
    "a weight elsewhere": lambda one: setattr(one.head.weight, "data", one.head.weight.data * 2),
    "the borders of a convolution": lambda one: setattr(one.block.convolution, "padding_mode", "circular"),
    "the padding of a convolution": lambda one: setattr(one.block.convolution, "padding", (1, 1)),
    "a buffer in place": lambda one: in_place(one.block.positions),
    "a tensor in place": lambda one: in_place(one.block.steering),
    "another module": lambda one: setattr(one.block, "linear", nn.Linear(2, 2)),
    "a module more": lambda one: one.block.add_module("more", nn.Identity()),
    "a new hook": lambda one: one.block.norm.register_forward_pre_hook(lambda module, given: None),
    "a hook less": lambda one: one.head.handle.remove(),
    "an option that came before all others": lambda one: setattr(one.early, "gain", 2.0),
    "the first option of a processor": lambda one: setattr(one.attention.processor, "scale", 0.9),
    "a buffer of a layer without buffers of its own": lambda one: in_place(one.normalised.direction),
    "training": lambda one: one.block.train(False),
    "a wrapped forward": lambda one: setattr(one.head, "forward", lambda given: given),
}
SAME = {"nothing": lambda one: None, "equal containers": refill, "equal numbers": repeat}


def looked(network):
    return Settings(list(network.modules()))


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_found(what):
    network = Network()
    settings = looked(network)
    before = settings.snapshot()
    CHANGES[what](network)
    assert not settings.snapshot().is_alike(before)
    assert settings.snapshot().is_alike(settings.snapshot())


@pytest.mark.parametrize("what", SAME)
def test_what_is_equal_is_no_change(what):
    network = Network()
    settings = looked(network)
    before = settings.snapshot()
    SAME[what](network)
    assert settings.snapshot().is_alike(before)


def test_a_change_inside_of_a_container_that_took_the_place_of_an_equal_one_is_found():
    network = Network()
    settings = looked(network)
    before = settings.snapshot()
    refill(network)
    assert settings.snapshot().is_alike(before)
    network.block.scaling["b"]["c"][0] = 5
    assert not settings.snapshot().is_alike(before)


WRITTEN = {"a weight in place", "a weight elsewhere", "a buffer in place", "a tensor in place"}
WRITTEN |= {"a buffer of a layer without buffers of its own"}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_since_settings_were_forgotten_is_found(what):
    """All but what is written to tensors, which decides nothing of where to look."""
    network = Network()
    modules = list(network.modules())
    settings = Settings(modules)
    settings.snapshot()
    settings.forget()
    assert settings.is_as_forgotten()
    CHANGES[what](network)
    assert settings.is_as_forgotten() == (what in WRITTEN)
    before = settings.snapshot()
    assert settings.snapshot() is before
    assert Settings(modules).snapshot().is_alike(before)


def test_weights_of_inference_mode_are_looked_at():
    with torch.inference_mode():
        network = Network()
    settings = looked(network)
    before = settings.snapshot()
    assert settings.snapshot().is_alike(before)
    network.block.gain = 1.0
    assert not settings.snapshot().is_alike(before)


def test_weights_that_accelerate_puts_in_and_out_are_passed_over():
    network = Network()
    network.head._hf_hook = object()
    settings = looked(network)
    before = settings.snapshot()
    network.head.weight = nn.Parameter(network.head.weight.detach().clone())
    assert settings.snapshot().is_alike(before)


def test_operations_that_are_cast_since_are_a_change():
    settings = looked(Network())
    before = settings.snapshot()
    with torch.autocast("cpu", torch.bfloat16):
        assert not settings.snapshot().is_alike(before)
    assert settings.snapshot().is_alike(before)


@pytest.mark.parametrize("hook", ["_hf_hook", "_diffusers_hook"])
def test_weights_that_hooks_move_or_cast_around_calls_may_lie_elsewhere(hook):
    network = Network()
    setattr(network, hook, object())
    settings = looked(network)
    before = settings.snapshot()
    network.head.weight.data = network.head.weight.data.clone()
    assert settings.snapshot().is_alike(before)


def test_nothing_is_held_on_to_once_it_is_forgotten():
    import gc
    import weakref

    network = Network()
    settings = looked(network)
    settings.snapshot()
    weight = weakref.ref(network.head.weight)
    settings.forget()
    network.head.weight = None
    gc.collect()
    assert weight() is None


def test_a_compiled_network_is_looked_at_through_its_wrapper():
    """What `torch.compile` returns keeps fewer attributes than other modules do."""
    inner = nn.Linear(2, 2)
    settings = Settings([torch.compile(inner), inner])
    before = settings.snapshot()
    assert settings.snapshot().is_same(before)
    with torch.no_grad():
        inner.weight.neg_()
    assert not settings.snapshot().is_same(before)
