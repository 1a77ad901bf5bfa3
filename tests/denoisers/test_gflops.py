"""GFLOPs by ledger equal those that fvcore counts over a whole call, for every system."""

from __future__ import annotations

import pytest
import torch
from fvcore.nn import FlopCountAnalysis

import fdplug
from fdplug.pipeline import find_family
from fdplug.testing.systems import SYSTEMS
from fdplug.trees import leaves
from tests.denoisers.conftest import networks

ALWAYS = {"controlnet", "dit"}
NAMES = [pytest.param(name, marks=[] if name in ALWAYS else [pytest.mark.slow]) for name in SYSTEMS]
POLICY = {"uniform": {"interval": 2}}


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
        seen = []
        hooks = [one.register_forward_hook(lambda module, args, output: seen.append(output)) for one in self.children()]
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


@pytest.mark.parametrize("name", NAMES)
def test_the_ledger_counts_what_fvcore_counts(cases, name):
    case = cases(name)
    case.steps = {"text2video-zero": 8}.get(name, 3 if case.system.steps == 6 else 5)
    with fdplug.propagate(case.pipe, policy=POLICY, injector="none") as on:
        case.run(num_inference_steps=case.steps)
        names = list(on.ledger.examples)
        assert find_family(case.pipe)[0].component in names
        counted = on.ledger.gflops() * 1e9
        assert counted == pytest.approx(sum(traced(case, names).values()), rel=1e-6)
