"""A pipeline that holds its denoiser under a name of its own: every command finds it by its family."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, UNet2DConditionModel
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor

from fdplug import propagate
from fdplug.commands import compare, generate, pipelines
from fdplug.denoisers.unet_2d_condition import UNet2DCondition
from fdplug.errors import UnsupportedDenoiserError
from fdplug.lookup import encoder_part, find_denoisers
from fdplug.predict.lightning import module
from fdplug.profiling.timing import DenoiserTimer
from fdplug.testing import registered
from fdplug.testing.components import tiny_unet
from tests.predict.predicting import predict

VARIANTS = ["ddim-4", "{name: half, sampler: ddim, steps: 4, propagation: {policy: {uniform: {interval: 2}}}}"]


class PriorUNet(UNet2DConditionModel):
    """A denoiser that only the plugin's family knows."""


class PriorPipeline(DiffusionPipeline):
    """Text to image in pixels, with the denoiser as `prior`."""

    vae_scale_factor = 2

    def __init__(self, prior, scheduler):
        super().__init__()
        self.register_modules(prior=prior, scheduler=scheduler)

    @torch.no_grad()
    def __call__(self, prompt, num_inference_steps=4, generator=None, output_type="pt", guidance_scale=1.0):
        sample = randn_tensor((len(prompt), 4, 8, 8), generator=generator)
        width = self.prior.config.cross_attention_dim
        text = torch.stack([torch.full((3, width), len(one) / 40) for one in prompt])
        self.scheduler.set_timesteps(num_inference_steps)
        with self.progress_bar(total=num_inference_steps) as bar:
            for time in self.scheduler.timesteps:
                noise = self.prior(sample, time, encoder_hidden_states=text).sample
                sample = self.scheduler.step(noise, time, sample).prev_sample
                bar.update()
        pixels = torch.nn.functional.interpolate(sample[:, :3], size=(16, 16))
        return ImagePipelineOutput(images=VaeImageProcessor.denormalize(pixels))


class PriorFamily(UNet2DCondition):
    """The plugin's family."""

    name = "prior-unet"
    models = (f"{__name__}.PriorUNet",)
    component = "prior"


@pytest.fixture
def prior(monkeypatch):
    """A fresh such pipeline, which is what every command loads."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipe = PriorPipeline(PriorUNet.from_config(tiny_unet().config), DDIMScheduler(clip_sample=False))
    pipe.set_progress_bar_config(disable=True)
    for place in (module, compare, pipelines):
        monkeypatch.setattr(place, "load_pipeline", lambda *args, **kwargs: pipe)
    return pipe


@pytest.fixture
def family():
    """The plugin, installed."""
    with registered("family", PriorFamily):
        yield


def test_propagate_and_the_timer_find_it(prior, family):
    with DenoiserTimer(*find_denoisers(prior)) as timer, propagate(prior, policy="all") as handle:
        prior(["a red circle"], num_inference_steps=4)
    assert timer.calls == 4
    assert timer.seconds > 0
    assert handle.ledger.gflops() > 0
    assert "conv_in" in encoder_part(prior.prior).modules


def test_predict_finds_it(prior, family, model, annotations, tmp_path):
    predict(model, annotations, tmp_path)
    values = json.loads((tmp_path / "metrics.json").read_text())
    assert values["key_steps"] == 2
    assert 0 < values["denoiser_seconds_per_image"] < values["seconds_per_image"]


def test_compare_finds_it(prior, family, model, annotations, tmp_path):
    folder = tmp_path / "out"
    arguments = ["--model", model, "--annotations", annotations, "--limit", "4", "--batch-size", "2"]
    compare.main([*arguments, "--scores", "none", "--out", str(folder), "--variants", *VARIANTS])
    plain, half = json.loads((folder / "results.json").read_text())["variants"]
    assert 0 < plain["denoiser_seconds_per_image"] < plain["seconds_per_image"]
    assert half["passes"] == [[0, 2], [2, 2]]


def test_generate_finds_it(prior, family, model, tmp_path, capsys):
    settings = ["--steps", "4", "--policy", "{uniform: {interval: 2}}"]
    generate.main(["a red circle", "--model", model, "--out", str(tmp_path / "x.png"), *settings])
    assert "in the denoiser" in capsys.readouterr().out


def test_what_no_family_knows_is_generated_as_it_is(prior, model, annotations, tmp_path, capsys):
    """Its seconds are known, those of its denoiser are left out; what would need them is refused."""
    predict(model, annotations, tmp_path / "plain", propagation=None)
    values = json.loads((tmp_path / "plain" / "metrics.json").read_text())
    assert values["images"] == 5
    assert values["seconds_per_image"] > 0
    assert "denoiser_seconds_per_image" not in values
    line = json.loads((tmp_path / "plain" / "manifest.jsonl").read_text().splitlines()[0])
    assert line["denoiser_seconds"] is None
    generate.main(["a", "--model", model, "--out", str(tmp_path / "x.png"), "--steps", "4", "--no-propagation"])
    assert "in the denoiser" not in capsys.readouterr().out
    with pytest.raises(UnsupportedDenoiserError, match="cannot accelerate denoiser PriorUNet"):
        predict(model, annotations, tmp_path / "propagated")


def test_an_interrupted_run_of_such_a_pipeline_goes_on(prior, model, annotations, tmp_path):
    predict(model, annotations, tmp_path, propagation=None)
    _, writer, _ = predict(model, annotations, tmp_path, propagation=None)
    assert writer.generated == 0
