"""More arguments of loading, with diffusers' own loaders on tiny saved files."""

from __future__ import annotations

import sys

import pytest
import torch
from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline
from safetensors.torch import save_file

from fdplug.errors import ConfigError, PipelineError
from fdplug.predict.generation import loading
from fdplug.predict.generation.loading import check_model, load_pipeline, pipeline_class
from fdplug.predict.generation.loading_arguments import check_loading, from_pretrained_arguments
from fdplug.testing import tiny_pipeline
from fdplug.testing.systems import SYSTEMS


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_variant_is_loaded_from_its_own_files(tmp_path):
    pipe = tiny_pipeline().to(torch.float16)
    with loading.quiet_loading():
        pipe.save_pretrained(tmp_path, variant="fp16")
    found = load_pipeline(str(tmp_path), dtype="float16", loading={"variant": "fp16"})
    assert same(weights(found.unet), weights(pipe.unet))
    with pytest.raises(PipelineError, match=r"cannot load the model .*variant=bf16"):
        load_pipeline(str(tmp_path), loading={"variant": "bf16"})


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """A folder of a pipeline whose transformer can come from a file."""
    folder, pipe, other = tmp_path_factory.mktemp("flow"), SYSTEMS["flux"].make(), tiny_pipeline()
    texts = {f"{name}{end}": getattr(other, name) for name in ("text_encoder", "tokenizer") for end in ("", "_2")}
    pipe.register_modules(**texts)
    with loading.quiet_loading():
        pipe.save_pretrained(folder)
    return folder


def test_a_component_comes_from_a_file_of_its_own(flow, tmp_path):
    """With another model's weights, under diffusers' names."""
    file = tmp_path / "other.safetensors"
    changed = {name: value + 1 for name, value in weights(loading_pipe(flow).transformer).items()}
    save_file(changed, file)
    found = load_pipeline(str(flow), loading={"components": {"transformer": str(file)}})
    assert same(weights(found.transformer), changed)


def loading_pipe(folder):
    return load_pipeline(str(folder))


def test_a_component_that_cannot_come_from_a_file_is_told(flow, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match=r"scheduler cannot be loaded from a file; the model has .*transformer"):
        load_pipeline(str(flow), loading={"components": {"scheduler": str(tmp_path / "a.safetensors")}})


def test_a_file_with_a_denoiser_alone_takes_the_rest_from_its_configuration(flow, tmp_path):
    """As those of Flux and SD3 are given away: `from_single_file` finds no VAE and no text encoders in them."""
    file, plain = tmp_path / "denoiser.safetensors", loading_pipe(flow)
    changed = {name: value + 1 for name, value in weights(plain.transformer).items()}
    save_file(changed, file)
    found = load_pipeline(str(file), loading={"config": str(flow)})
    assert type(found) is type(plain)
    assert same(weights(found.transformer), changed)
    assert same(weights(found.vae), weights(plain.vae))
    assert same(weights(found.text_encoder), weights(plain.text_encoder))


def test_a_model_in_one_file_needs_a_class(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(PipelineError, match=r"is a checkpoint in one file: give the pipeline's class with it"):
        load_pipeline(str(file))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("model.ckpt", "model.ckpt can run code when it is loaded; convert it to .safetensors"),
        ("nowhere.safetensors", "there is no file nowhere.safetensors"),
    ],
)
def test_other_files_are_refused_without_loading(model, message):
    with pytest.raises(PipelineError, match=message):
        check_model(model)


def test_a_gated_model_is_told_in_one_line(monkeypatch):
    import requests
    from diffusers import DiffusionPipeline
    from huggingface_hub.errors import GatedRepoError

    def refuse(*args, **kwargs):
        try:
            raise GatedRepoError("403 Client Error", response=requests.Response())
        except GatedRepoError as error:
            raise OSError("You are trying to access something") from error

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", refuse)
    with pytest.raises(
        PipelineError, match=r"'a/b' is gated: accept its terms on https://huggingface.co/a/b, then log in"
    ):
        load_pipeline("a/b")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("fp16", r"loading is a mapping, as \{variant: fp16\}, got 'fp16'"),
        ({"varient": "fp16"}, "no argument 'varient', did you mean 'variant'"),
        ({"token": "secret"}, "a token would be written down with the images; set HF_TOKEN"),
        ({"trust_remote_code": True}, "no argument 'trust_remote_code'"),
        ({"custom_pipeline": "x"}, "no argument 'custom_pipeline'"),
        ({"components": {"unet": "x.bin"}}, "unet comes from a .safetensors or .gguf file, a folder or a hub id, got"),
        ({"components": {"unet": "../no/such"}}, "a folder or a hub id, got '../no/such'"),
        ({"pipeline": "StableDiffusion"}, "diffusers has no pipeline 'StableDiffusion'; give the name of its class"),
        ({"pipeline": "UNet2DConditionModel"}, "diffusers has no pipeline 'UNet2DConditionModel'"),
        ({"components": {"unet": "none.gguf"}}, "there is no file none.gguf for unet"),
        ({"quantization_config": {"load_in_4bit": True}}, "quantization_config holds quant_backend, quant_kwargs"),
    ],
)
def test_wrong_arguments_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        check_loading(given)


def installed(monkeypatch):
    """Take the packages that quantize for installed: their settings are made, and nothing is quantized."""
    from diffusers.quantizers import quantization_config

    monkeypatch.setattr(quantization_config.BitsAndBytesConfig, "post_init", lambda self: None)


def test_quantization_by_component_is_diffusers_own(monkeypatch):
    from diffusers import BitsAndBytesConfig, GGUFQuantizationConfig
    from diffusers.quantizers import PipelineQuantizationConfig

    installed(monkeypatch)
    mapping = {
        "transformer": {"bitsandbytes_4bit": {"load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat16"}},
        "transformer_2": {"gguf": {"compute_dtype": "float16"}},
    }
    monkeypatch.setattr(PipelineQuantizationConfig, "_validate_quant_mapping_args", lambda self: None)
    found = from_pretrained_arguments({"quantization_config": {"quant_mapping": mapping}}, {})["quantization_config"]
    first, second = (found.quant_mapping[name] for name in mapping)
    assert isinstance(first, BitsAndBytesConfig)
    assert (first.load_in_4bit, first.bnb_4bit_compute_dtype) == (True, torch.bfloat16)
    assert isinstance(second, GGUFQuantizationConfig)
    assert second.compute_dtype is torch.float16


def test_text_encoders_are_quantized_as_transformers_does(monkeypatch):
    from diffusers.quantizers import PipelineQuantizationConfig
    from transformers import QuantoConfig

    monkeypatch.setattr(QuantoConfig, "post_init", lambda self: None)
    monkeypatch.setattr(PipelineQuantizationConfig, "_validate_quant_mapping_args", lambda self: None)
    mapping = {"text_encoder": {"quanto": {"weights": "int4"}}}
    index = {"text_encoder": ["transformers", "T5EncoderModel"]}
    found = from_pretrained_arguments({"quantization_config": {"quant_mapping": mapping}}, index)["quantization_config"]
    assert isinstance(found.quant_mapping["text_encoder"], QuantoConfig)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"quant_mapping": {"unet": {"nothing": {}}}}, "no backend 'nothing' for unet; there are .*gguf"),
        ({"quant_mapping": {"unet": "gguf"}}, "unet is as in"),
        ({"quant_backend": "nothing", "quant_kwargs": {"a": 1}}, "loading: quantization_config: "),
        ({"quant_mapping": {"unet": {"torchao": {"quant_type": "Int8WeightOnlyConfig"}}}}, "torchao is not installed"),
    ],
)
def test_what_cannot_quantize_is_told(config, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(ConfigError, match=message):
        from_pretrained_arguments({"quantization_config": config}, {})


def test_what_loading_is_given_reaches_diffusers(model, monkeypatch):
    from diffusers import DiffusionPipeline

    seen, read = {}, DiffusionPipeline.from_pretrained
    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", lambda place, **given: seen.update(given) or read(place))
    load_pipeline(model, loading={"revision": "main", "low_cpu_mem_usage": False})
    assert (seen["revision"], seen["low_cpu_mem_usage"], seen["trust_remote_code"]) == ("main", False, False)
    assert seen["use_safetensors"] is True


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    """A folder of a pipeline without a ControlNet, and one of a ControlNet for it."""
    folder, pipe = tmp_path_factory.mktemp("control"), SYSTEMS["controlnet"].make()
    pipe.controlnet.save_pretrained(folder / "net")
    parts = {name: part for name, part in pipe.components.items() if name != "controlnet"}
    StableDiffusionPipeline(**parts, requires_safety_checker=False).save_pretrained(folder / "sd")
    return folder / "sd", folder / "net", pipe


def test_weights_go_into_another_pipeline_with_a_component_of_another_folder(control):
    folder, net, pipe = control
    given = {"pipeline": "StableDiffusionControlNetPipeline", "components": {"controlnet": str(net)}}
    found = load_pipeline(str(folder), loading=given)
    assert type(found) is StableDiffusionControlNetPipeline
    for name in ("unet", "controlnet"):
        weights = getattr(pipe, name).state_dict()
        assert all(torch.equal(one, weights[key]) for key, one in getattr(found, name).state_dict().items())
    assert pipeline_class(str(folder), given) is StableDiffusionControlNetPipeline
    assert pipeline_class(str(folder)) is StableDiffusionPipeline


def test_a_component_that_the_pipeline_has_no_place_for_is_told(control):
    folder, net, _ = control
    message = "StableDiffusionPipeline has no component 'controlnet'; if another class of pipelines has, name it"
    with pytest.raises(ConfigError, match=message):
        load_pipeline(str(folder), loading={"components": {"controlnet": str(net)}})
