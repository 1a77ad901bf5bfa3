"""Loading pipelines: what is refused, and why."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from fdplug.errors import ConfigError, PipelineError
from fdplug.predict.generation.generate import check_size
from fdplug.predict.generation.loading import check_model, load_pipeline, predicts_flow, resolve_dtype
from fdplug.testing import tiny_text_encoder


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


def _index(folder, **changes):
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", ["./none", "/none/x", "none", "none/", "a/b/c"])
def test_a_missing_folder_is_refused_without_loading(name):
    with pytest.raises(
        PipelineError,
        match=r"folder .* does not exist; a model is 'shapes' or 'shapes-flow' or 'shapes-controlnet', a hub id",
    ):
        check_model(name)


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(PipelineError, match=r"has no model_index.json, so it is no diffusers pipeline"):
        check_model(str(tmp_path))


def test_a_damaged_index_is_refused(copy):
    (copy / "model_index.json").write_text("{")
    with pytest.raises(PipelineError, match=r"model_index.json: it is not valid json"):
        check_model(str(copy))


def test_an_unknown_hub_id_is_one_line():
    with pytest.raises(PipelineError, match="cannot load the model 'no-such/model'") as caught:
        load_pipeline("no-such/model")
    assert len(str(caught.value).splitlines()) == 1


def test_weights_come_from_safetensors_unless_asked_otherwise(copy):
    (copy / "text_encoder" / "model.safetensors").unlink()
    torch.save(tiny_text_encoder().state_dict(), copy / "text_encoder" / "pytorch_model.bin")
    with pytest.raises(PipelineError, match=r"cannot load the model .*safetensors"):
        load_pipeline(str(copy))
    assert load_pipeline(str(copy), allow_pickle=True).text_encoder is not None


def test_code_that_comes_with_a_model_is_never_run(copy, monkeypatch):
    (copy / "evil.py").write_text("raise SystemExit('the code ran')\n")
    (copy / "unet" / "evil.py").write_text("raise SystemExit('the code ran')\n")
    _index(copy, _class_name=["evil", "Evil"])
    with pytest.raises(PipelineError, match="names a custom pipeline class; fdplug runs no code"):
        load_pipeline(str(copy))
    _index(copy, _class_name="StableDiffusionPipeline", unet=["evil", "Evil"])
    with pytest.raises(PipelineError, match=r"'unet' brings its own code \(evil.py\); fdplug runs none"):
        load_pipeline(str(copy))
    (copy / "evil.py").unlink()
    (copy / "unet" / "evil.py").unlink()
    with pytest.raises(PipelineError, match="cannot load the model"):
        load_pipeline(str(copy))


def test_a_pipeline_without_prompt_is_refused(tmp_path):
    from diffusers import DDIMScheduler, DDPMPipeline, UNet2DModel

    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "layers_per_block": 1}
    unet = UNet2DModel(sample_size=8, block_out_channels=(8, 8), attention_head_dim=8, norm_num_groups=2, **blocks)
    DDPMPipeline(unet=unet, scheduler=DDIMScheduler()).save_pretrained(tmp_path)
    with pytest.raises(PipelineError, match=r"DDPMPipeline of .* takes no prompt; a text-to-image pipeline is needed"):
        load_pipeline(str(tmp_path))


def test_dtypes_by_name(model):
    assert resolve_dtype("auto", "cpu") is torch.float32
    assert resolve_dtype("auto", "cuda:0") is torch.float16
    assert load_pipeline(model, dtype="bfloat16").unet.dtype is torch.bfloat16


def test_a_size_the_pipeline_cannot_make_is_refused(loaded):
    check_size(loaded, 16)
    with pytest.raises(ConfigError, match="a multiple of 8 up to 16384 for StableDiffusionPipeline, got 17"):
        check_size(loaded, 17)


def test_a_model_for_flows_is_told_by_its_index(tmp_path):
    assert predicts_flow("shapes-flow")
    assert not predicts_flow("shapes")
    (tmp_path / "model_index.json").write_text('{"scheduler": [null, null]}')
    assert not predicts_flow(str(tmp_path))
