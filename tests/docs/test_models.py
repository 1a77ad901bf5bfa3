"""The lines of docs/models.md run as they are written, on tiny pipelines of the same classes, saved and loaded."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest
import yaml
from diffusers import DiffusionPipeline

from fdplug import plugins, registry
from fdplug.commands import ready_configs
from fdplug.testing.systems import SYSTEMS
from tests.docs.test_docs import ROOT, fences

MODELS = {
    "stabilityai/stable-diffusion-xl-base-1.0": "sdxl",
    "black-forest-labs/FLUX.1-dev": "flux",
    "Qwen/Qwen-Image": "qwen-image",
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": "wan",
    "stabilityai/stable-diffusion-3.5-medium": "sd3",
}
LINES = [code for _, code in fences(ROOT / "docs" / "models.md", "py")]
TEXT = ("prompt", "negative_prompt", "height", "width", "num_frames")


def tiny(system, folder):
    """The tiny pipeline, saved and loaded; what the page calls it with must be its own, but for sizes and texts."""
    pipe = system.reload(system.make(), folder)
    own = type(pipe)

    class Tiny(own):
        def __call__(self, prompt, **given):
            inspect.signature(own.__call__).bind(self, prompt=prompt, **given)
            arguments = {**{name: value for name, value in given.items() if name not in TEXT}, **system.arguments(1)}
            return super().__call__(**arguments)

        def to(self, device):
            assert device == "cuda"
            return self

    Tiny.__name__ = own.__name__
    pipe.__class__ = Tiny
    return pipe


QUICK = {"flux"}
CASES = [
    pytest.param(code, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
    for name, code in zip(MODELS.values(), LINES, strict=True)
]


@pytest.mark.parametrize("code", CASES)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_lines_for_a_model_run(code, tmp_path, monkeypatch, capsys):
    read, made = DiffusionPipeline.from_pretrained, []

    def from_pretrained(model, **options):
        assert set(options) <= {"torch_dtype", "variant"}
        monkeypatch.setattr(DiffusionPipeline, "from_pretrained", read)
        made.append(tiny(SYSTEMS[MODELS[model]], tmp_path))
        return made[0]

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", from_pretrained)
    manager = plugins.new_plugin_manager()
    monkeypatch.syspath_prepend(ROOT / "plugins" / "fdplug-forecast")
    manager.add(importlib.import_module("fdplug_forecast"), "forecast", "fdplug-forecast")
    monkeypatch.setattr(registry, "get_plugin_manager", lambda: manager)
    names = {}
    exec(compile(code, "docs/models.md", "exec"), names)
    ledger, steps = names["on"].ledger, len(names["on"].ledger.steps)
    assert len(ledger.key_steps) == (steps + 1) // 2 > 10
    assert capsys.readouterr().out == f"{len(ledger.key_steps)} of {steps} steps were computed\n"
    assert names["on"].method.part.name == "trunk"
    assert not names["on"].active


READY = {
    "sdxl": "sdxl-euler30-faster",
    "flux": "flux-dev28-faster",
    "qwen-image": "qwen-image50-faster",
    "wan": "wan21-1.3b50-faster",
    "sd3": "sd35-medium40-faster",
}


@pytest.mark.parametrize(("name", "code"), [*zip(MODELS.values(), LINES, strict=True)], ids=[*MODELS.values()])
def test_a_ready_configuration_has_the_settings_of_the_lines(name, code):
    """Model, steps, guidance, size and type; and the pipeline's call takes every argument that it is given."""
    config = yaml.safe_load(Path(ready_configs.find(READY[name])).read_text())["model"]
    calls = {ast.unparse(one.func): one for one in ast.walk(ast.parse(code)) if isinstance(one, ast.Call)}
    lines = {one.arg: ast.literal_eval(one.value) for one in calls["pipe"].keywords}
    loaded = {one.arg: ast.unparse(one.value) for one in calls["DiffusionPipeline.from_pretrained"].keywords}
    given = dict(config.get("arguments", {}))
    if "guidance" in config:
        given["guidance_scale"] = config["guidance"]
    pipeline = getattr(importlib.import_module("diffusers"), SYSTEMS[name].pipeline)
    call = inspect.signature(pipeline.__call__)
    call.bind_partial(**lines)
    steps = call.parameters["num_inference_steps"].default  # where the lines leave it out
    assert {"num_inference_steps": config["steps"], **given} == {"num_inference_steps": steps, **lines}
    assert MODELS[config["model"]] == name
    dtype = loaded["torch_dtype"].removeprefix("torch.")
    assert config["dtype"] == ("auto" if dtype == "float16" else dtype)
