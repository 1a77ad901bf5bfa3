"""Wan 2.2 A14B by a YAML file, from prompts to films: two transformers, each with settings of its own."""

from __future__ import annotations

import json

import pytest
import torch
import yaml

from fdplug.commands import predict
from fdplug.predict.data.seeds import generators, seed_of
from fdplug.predict.generation.loading import load_pipeline, quiet_loading
from fdplug.predict.storage.preview import read
from fdplug.testing.systems import SYSTEMS
from fdplug.testing.systems.video_transformers import wan_vae
from tests.predict.cascades import t5

ARGUMENTS = {"num_frames": 5, "height": 32, "width": 32, "guidance_scale_2": 2.0, "max_sequence_length": 8}


def saved(name, folder):
    """The tiny pipeline with a text encoder and a VAE, which the conformance suite does without."""
    from transformers import UMT5Config, UMT5EncoderModel

    with torch.random.fork_rng(devices=[]), quiet_loading():
        torch.manual_seed(0)
        pipe = SYSTEMS[name].make()
        config = UMT5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        pipe.register_modules(tokenizer=t5()["tokenizer"], text_encoder=UMT5EncoderModel(config).eval(), vae=wan_vae())
        pipe.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
def test_two_transformers_by_yaml(tmp_path, monkeypatch):
    model, out = saved("wan-a14b", tmp_path / "model"), tmp_path / "out"
    (tmp_path / "prompts.txt").write_text("a red circle\na blue square\n")
    settings = {
        "model": {
            "model": model,
            "steps": 6,
            "guidance": 3.0,
            "arguments": ARGUMENTS,
            "propagation": {
                "policy": {"uniform": {"interval": 2}},
                "injector": "none",
                "components": {"transformer_2": {"policy": "all"}},
            },
        },
        "data": {"class_path": "PromptFile", "init_args": {"prompts": str(tmp_path / "prompts.txt"), "batch_size": 1}},
        "writer": {"folder": str(out)},
        "trainer": {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    assert predict.main(["--config", str(tmp_path / "config.yaml")]) == 0
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["caption"] for line in lines] == ["a red circle", "a blue square"]
    assert {line["rate"] for line in lines} == {16.0}

    pipe = load_pipeline(model)
    import fdplug

    with fdplug.propagate(pipe, **settings["model"]["propagation"]) as on:
        own = pipe(
            "a red circle",
            num_inference_steps=6,
            guidance_scale=3.0,
            generator=generators([seed_of(0, 0)]),
            output_type="pt",
            **ARGUMENTS,
        ).frames
    assert {entry.network for entry in on.ledger.entries} == {"transformer", "transformer_2"}
    assert torch.equal(read(out / lines[0]["file"]), (own[0].clamp(0, 1) * 255).round().to(torch.uint8))
    assert lines[0]["gflops"] == pytest.approx(on.ledger.gflops())
    assert lines[0]["key_steps"] == len(on.ledger.key_steps) < 6
