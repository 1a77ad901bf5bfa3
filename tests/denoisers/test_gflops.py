"""GFLOPs by ledger equal those that fvcore counts over a whole call, for every system."""

from __future__ import annotations

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch.utils._python_dispatch import TorchDispatchMode

import fdplug
from fdplug.lookup import find_families
from fdplug.testing.systems import SYSTEMS
from fdplug.trees import leaves
from tests.denoisers.conftest import networks

aten = torch.ops.aten
ALWAYS = {"controlnet", "dit", "hunyuan-video"}
NAMES = [pytest.param(name, marks=[] if name in ALWAYS else [pytest.mark.slow]) for name in SYSTEMS]
POLICY = {"uniform": {"interval": 2}}


class Seen(list):
    """A hook that keeps outputs and looks at nothing else, which a propagation takes for one of fvcore's."""

    __module__ = "fvcore.nn"

    def __call__(self, module, args, output):
        """Keep an output."""
        self.append(output)


class WholeCall(torch.nn.Module):
    """A pipeline call as a module for fvcore to trace; its children are the networks that the ledger knows."""

    def __init__(self, case, names):
        super().__init__()
        for name, network in networks(case.pipe).items():
            if name in names:
                self.add_module(name, network)
            else:
                network.requires_grad_(False)  # the trace takes its weights for constants
        self._call = lambda: case.run(num_inference_steps=case.steps)

    def forward(self, nothing):
        """Return what the networks return: the trace leaves out what no output needs."""
        seen = Seen()
        hooks = [one.register_forward_hook(seen) for one in self.children()]
        self._call()
        for hook in hooks:
            hook.remove()
        return (*leaves(seen), nothing)


def _sdpa(inputs, outputs):
    query, key, value = (one.type().sizes() for one in inputs[:3])
    rows = 1
    for size in query[:-1]:
        rows *= size
    return rows * key[-2] * (query[-1] + value[-1])


def _baddbmm(inputs, outputs):
    batch, rows, inner = inputs[1].type().sizes()
    return batch * rows * inner * inputs[2].type().sizes()[-1]


def traced(case, names):
    """FLOPs that fvcore counts inside these networks over one whole call."""
    analysis = FlopCountAnalysis(WholeCall(case, names), (torch.zeros(()),))
    analysis.set_op_handle("aten::scaled_dot_product_attention", _sdpa).set_op_handle("aten::baddbmm", _baddbmm)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    counted = analysis.by_module()
    return {name: counted[name] for name in names}


class Arithmetic(TorchDispatchMode):
    """Multiply-adds of everything that runs inside the networks, by the shapes that go in and out."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if func in (aten.mm.default, aten.bmm.default):
            self.total += made.numel() * args[0].shape[-1]
        elif func is aten.addmm.default:
            self.total += made.numel() * args[1].shape[-1]
        elif func is aten.convolution.default:
            self.total += made.numel() * args[1][0].numel()
        elif func is aten.native_layer_norm.default:
            self.total += made[0].numel() * (4 if args[2] is None else 5)
        elif func is aten._scaled_dot_product_flash_attention_for_cpu.default:
            query, key, value = args[:3]
            self.total += query[..., 0].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        return made


def watched(case, names):
    """FLOPs of what these networks do over one whole call, as it is run."""
    found, handles = Arithmetic(), []
    for name in names:
        network = networks(case.pipe)[name]
        handles.append(network.register_forward_pre_hook(lambda *_: found.__enter__() and None))
        handles.append(network.register_forward_hook(lambda *_: found.__exit__(None, None, None), always_call=True))
    case.run(num_inference_steps=case.steps)
    for handle in handles:
        handle.remove()
    return {"all": found.total}


UNTRACEABLE = {"hunyuan-video", "easyanimate", "stable-audio"}  # torch's tracer fails on their code
# Positions, times or masks are worked out once a call, however many rows there are, and counted for each: a share that
# is large only in a tiny model.
ONCE = {"flux2": 1e-2, "flux2-klein": 1e-3, "prx": 1e-4, "lumina2": 1e-2, "hidream": 1e-3, "mochi": 1e-2}
ONCE |= {"stable-audio": 2e-3, "i2vgen-xl": 2e-2, "sdxl-controlnet-union": 1e-4}
ONCE |= {"stable-cascade-decoder": 1e-3}  # small pictures are resized for what is replayed, which the trace leaves out


@pytest.mark.parametrize("name", NAMES)
def test_the_ledger_counts_what_fvcore_counts(cases, name):
    case = cases(name)
    case.steps = {"text2video-zero": 8, "wan-a14b": 5, "wan-a14b-i2v": 5}.get(name, 3 if case.system.steps == 6 else 5)
    with fdplug.propagate(case.pipe, policy=POLICY, injector="none") as on:
        case.run(num_inference_steps=case.steps)
        names = [name for name in on.ledger.examples if "#" not in name]
        assert {family.component for family, _ in find_families(case.pipe)} <= set(names)
        counted = on.ledger.gflops() * 1e9
        count = watched if name in UNTRACEABLE else traced
        assert counted == pytest.approx(sum(count(case, names).values()), rel=ONCE.get(name, 1e-6))
