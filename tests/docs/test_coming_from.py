"""Every line of fdplug on the page for those who come from other packages runs, on tiny pipelines."""

from __future__ import annotations

import pytest

import fdplug
from docs.building.catalogue import manager
from fdplug import registry
from fdplug.testing import tiny_pipeline
from fdplug.testing.systems import SYSTEMS
from tests.docs.test_docs import ROOT, fences

PAGE = ROOT / "docs" / "coming-from.md"
OURS = [code for _, code in fences(PAGE, "py") if "fdplug.propagate(" in code]
U_NET = ("deepcache", "tome", "propagate(pipe)", "guidance")
QUICK = ("deepcache", "tome")


def on(code):
    """A tiny pipeline of the kind that the lines are for, and what to call it with."""
    if any(word in code for word in U_NET):
        return tiny_pipeline(), {"prompt": "a circle", "output_type": "latent"}
    system = SYSTEMS["sd3"]
    return system.make(), dict(system.arguments(1))


CASES = [
    pytest.param(code, marks=[] if any(word in code for word in QUICK) else [pytest.mark.slow], id=f"{number}")
    for number, code in enumerate(OURS)
]


@pytest.mark.parametrize("code", CASES)
@pytest.mark.filterwarnings("ignore::fdplug.errors.NoEffectWarning")  # random weights change much at every step
def test_the_lines_of_fdplug_run(code, monkeypatch):
    made = manager()
    monkeypatch.setattr(registry, "get_plugin_manager", lambda: made)
    pipe, arguments = on(code)
    own = type(pipe)

    class Tiny(own):
        def __call__(self, prompt):
            given = {**arguments, "num_inference_steps": 12}
            return super().__call__(**{**given, "prompt": prompt} if "prompt" in given else given)

    Tiny.__name__, Tiny.__module__ = own.__name__, own.__module__
    pipe.__class__ = Tiny
    pipe.set_progress_bar_config(disable=True)
    names = {"fdplug": fdplug, "pipe": pipe, "prompt": "a circle"}
    exec(compile(code, str(PAGE), "exec"), names)
    assert len(names["on"].ledger.steps) >= 12
    assert not names["on"].active


def test_every_section_has_lines_of_fdplug():
    assert len(OURS) >= 7
    assert set(QUICK) <= {word for code in OURS for word in QUICK if word in code}
