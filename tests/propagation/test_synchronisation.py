"""The denoising loop never waits for an accelerator: no value of a tensor is asked for between its steps."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import fdplug
from fdplug.propagation.messages import shown
from fdplug.testing.systems import SYSTEMS

ROOT = Path(fdplug.__file__).parent
KEYS = {"uniform": {"interval": 3}}
ASKS = {"_local_scalar_dense", "equal", "nonzero", "is_nonzero", "masked_select", "unique_dim", "_unique2"}
# The loop's modules, and the functions in them that may ask: before the first step, for messages, or on the host.
MODULES = (
    *(
        "propagation/guided",
        *(f"propagation/loop/{name}" for name in ("runs", "ends", "scheduler", "denoiser", "passes", "companions")),
        "propagation/replay",
        "propagation/run",
        "propagation/plan",
        "propagation/window",
    ),
    *("propagation/calls/call", "propagation/calls/given", "propagation/calls/lanes", "propagation/messages"),
    *("trees", "repeated", "caches", "injectors", "patching", "builtin/compiled_pieces"),
)
METHODS = {"item", "tolist", "numpy", "nonzero", "cpu", "synchronize"}
MAY_ASK = {
    "run.__init__",
    "run._noise_deviations",
    "messages.shown",
    "call.is_at",
    "call.is_among",
    "call.is_at_one_time",
}


class Asked(TorchDispatchMode):
    """Records which functions of fdplug asked for a value of a tensor.

    Diffusers asks as well, in schedulers and pipelines; whoever lies nearest on the stack is the one who asked.
    """

    def __init__(self):
        super().__init__()
        self.by = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name.removeprefix("aten::") in ASKS:
            self.by.add(_who(sys._getframe(1)))
        return func(*args, **(kwargs or {}))


def _who(frame):
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT):
            return f"{path.stem}.{frame.f_code.co_name}"
        if "diffusers" in path.parts or "transformers" in path.parts:
            return None
        frame = frame.f_back
    return None


def ask(system, **settings):
    """Return who in fdplug asks for values during a run of `system`."""
    pipe = system.make()
    with fdplug.propagate(pipe, policy=KEYS, **settings), Asked() as asked:
        system.run(pipe, num_inference_steps=9)
    return asked.by - {None}


@pytest.mark.parametrize("decoding", ["serial", "parallel"])
@pytest.mark.parametrize("name", ["sd", "sdxl", "dit", "controlnet"])
def test_no_value_is_asked_for_in_the_loop(name, decoding):
    assert ask(SYSTEMS[name], decoding=decoding) <= MAY_ASK


@pytest.mark.parametrize("name", ["sd", "controlnet"])
def test_no_value_is_asked_for_where_rows_are_left_out(name):
    assert ask(SYSTEMS[name], guidance={"cached": {"difference": "extrapolated"}}) <= MAY_ASK


def test_a_value_that_is_asked_for_is_noticed():
    """A function of fdplug that asks is named; what a test asks itself is not."""
    with Asked() as asked:
        shown(torch.ones(1))
        torch.ones(1).item()
    assert asked.by == {"messages.shown", None}


def asking_calls(source):
    """Yield (function, line) of every call of a method that waits, and of `torch.equal`."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    name, owner = node.func.attr, node.func.value
                    on_torch = isinstance(owner, ast.Name) and owner.id == "torch"
                    if name in METHODS or (on_torch and name in ("equal", "allclose")):
                        yield function.name, node.lineno


@pytest.mark.parametrize("module", MODULES)
def test_no_line_of_the_loop_asks(module):
    """Only where it says so: values are compared where a pipeline builds its conditioning anew at every step."""
    stem = Path(module).name
    found = {f"{stem}.{function}" for function, _ in asking_calls((ROOT / f"{module}.py").read_text())}
    assert found <= MAY_ASK | {"given._same"}


def test_an_asking_line_is_found():
    source = (
        "def one(x):\n    return x.sum().item()\ndef two(x):\n    return torch.equal(x, x)\ndef three(x):\n    return x"
    )
    assert set(asking_calls(source)) == {("one", 2), ("two", 4)}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("decoding", ["serial", "parallel"])
def test_a_gpu_is_not_waited_for(decoding):
    """Every step from the second to the last, under CUDA's own check; the scheduler's timesteps lie on the GPU."""
    system = SYSTEMS["sd-v"]
    pipe = system.make().to("cuda")

    def strict(pipe, step, timestep, tensors):
        torch.cuda.set_sync_debug_mode("error" if step < 7 else "default")
        return tensors

    try:
        with fdplug.propagate(pipe, policy=KEYS, decoding=decoding):
            system.run(pipe, num_inference_steps=9, callback_on_step_end=strict)
    finally:
        torch.cuda.set_sync_debug_mode("default")
