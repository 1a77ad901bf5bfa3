"""What a plugin may import, and what `propagate` needs, waits for nothing that serves other commands."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from fdplug import hookspecs

HEAVY = ("lightning", "pytorch_lightning", "torchmetrics", "matplotlib", "jsonargparse", "rich")
CODE = """
import importlib, sys
for name in sys.argv[1].split():
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        getattr(module, public)
{use}
print(*sorted(set(sys.argv[2].split()) & set(sys.modules)))
"""
USE = """
import fdplug
from fdplug.testing import tiny_pipeline
pipe = tiny_pipeline()
with fdplug.propagate(pipe) as handle:
    pipe("", num_inference_steps=4, output_type="np")
assert handle.ledger.gflops()
"""


def public_modules():
    """Return the names that the contract lists, `fdplug` itself first."""
    listed = hookspecs.__doc__.partition("**Public modules.**")[2].partition(";")[0]
    return ["fdplug", *(f"fdplug.{name.removeprefix('fdplug.')}" for name in re.findall(r"`([a-z.]+)`", listed)[1:])]


def loaded(names, use=""):
    """Return which heavy packages a fresh Python has loaded after importing these."""
    command = [sys.executable, "-c", CODE.format(use=use), " ".join(names), " ".join(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_all_public_modules_are_asked():
    assert len(public_modules()) == 18
    assert {"fdplug.policies", "fdplug.testing", "fdplug.errors"} < set(public_modules())


def test_public_modules_load_nothing_heavy():
    assert loaded(public_modules()) == []


def test_propagation_loads_nothing_heavy():
    assert loaded([], USE) == []


@pytest.mark.parametrize(
    ("name", "heavy"), [("torchmetrics", "torchmetrics"), ("fdplug.predict.comparison.progress", "rich")]
)
def test_what_is_loaded_is_seen(name, heavy):
    assert heavy in loaded([name])


def test_scores_are_listed_without_torch():
    code = "from fdplug import registry; print(*registry.names('score')); import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    names, torch = done.stdout.splitlines()
    assert {"fid", "clip", "fidelity", "shapes"} <= set(names.split())
    assert torch == "False"
