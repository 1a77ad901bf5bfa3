"""The shipped `shapes-flow`: found by name, loaded by a stock pipeline, drawn by it, and accelerated."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import fdplug
from fdplug import PropagationConfig, shapes
from fdplug.predict.data.captions import read_captions
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import GenerationOutput, run
from fdplug.predict.generation.loading import load_pipeline, own_settings

FOLDER = shapes.pipeline_folder("shapes-flow")
CARD = Path(fdplug.__file__).parent / "shapes" / "FLOW.md"


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load_pipeline("shapes-flow")


def drawn(pipe: Any, count: int, steps: int, propagation: PropagationConfig | None = None) -> GenerationOutput:
    generation = GenerationConfig(steps=steps).resolved(**own_settings("shapes-flow"))
    return run(pipe, read_captions("shapes-flow", count), generation, propagation)


def accuracy(judges: Any, pixels: torch.Tensor) -> float:
    captions = [caption.text for caption in read_captions("shapes-flow", len(pixels))]
    return float(judges.semantics(pixels.float() / 255, captions)["all"].float().mean())


def test_it_is_an_embedded_model() -> None:
    assert "shapes-flow" in shapes.MODELS
    assert own_settings("shapes-flow") == {"guidance": 4.0, "arguments": {"max_sequence_length": 0}}
    assert own_settings("some/model") == {}
    with pytest.raises(ValueError, match="no embedded model 'flow'; choose from shapes, shapes-flow"):
        shapes.pipeline_folder("flow")


def test_a_stock_pipeline_loads_it_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import StableDiffusion3Pipeline

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    stock: Any = StableDiffusion3Pipeline.from_pretrained(FOLDER, text_encoder_3=None, tokenizer_3=None)
    assert stock.transformer.dtype == stock.vae.dtype == stock.text_encoder.dtype == torch.float32
    assert len(stock.transformer.transformer_blocks) == 12
    assert type(stock.scheduler).__name__ == "FlowMatchEulerDiscreteScheduler"
    assert stock.tokenizer_max_length == 30


def test_the_card_names_the_weights() -> None:
    text = CARD.read_text()
    for path in FOLDER.rglob("*.safetensors"):
        assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] in text, path


def test_the_autoencoder_is_that_of_shapes() -> None:
    shared, found = (shapes.pipeline_folder(model) / "vae" for model in ("shapes", "shapes-flow"))
    assert {p.name: p.read_bytes() for p in shared.glob("*.safetensors")} == {
        p.name: p.read_bytes() for p in found.glob("*.safetensors")
    }


def test_no_t5_costs_nothing_by_name(pipe: Any) -> None:
    seen = []

    def note(module: Any, positional: Any, named: dict[str, Any]) -> None:
        seen.append(named["encoder_hidden_states"].shape[1])

    with pipe.transformer.register_forward_pre_hook(note, with_kwargs=True):
        drawn(pipe, 1, 1)
        pipe("a large plain red circle on a gray background", num_inference_steps=1, output_type="latent")
    assert seen == [30, 30 + 256]


def test_its_captions_are_of_its_own_world() -> None:
    from fdplug.shapes.captions import held_out, parse_caption

    captions = read_captions("shapes-flow")
    assert len({caption.text for caption in captions}) == len(captions) == 1000
    assert all(held_out(caption.text) for caption in captions)
    looks = [look for caption in captions for look in parse_caption(caption.text).looks]
    assert {look.shape for look in looks} == {"circle", "triangle", "cross"}
    assert {look.size for look in looks} == {"large"}
    assert {look.fill for look in looks} == {"plain", "striped"}
    assert max(len(parse_caption(caption.text).looks) for caption in captions) == 2


def test_pictures_follow_their_captions(pipe: Any, judges: Any) -> None:
    assert accuracy(judges, drawn(pipe, 12, 14).images) >= 0.5


@pytest.mark.parametrize("part", ["encoder", "trunk"])
def test_it_is_accelerated(pipe: Any, part: str) -> None:
    plain = drawn(pipe, 2, 8)
    every = drawn(pipe, 2, 8, PropagationConfig(policy="all", injector="none", part=part))
    half = drawn(pipe, 2, 8, PropagationConfig(policy={"uniform": {"interval": 2}}, injector="none", part=part))
    assert torch.equal(every.images, plain.images)
    assert half.ledger.key_steps == (0, 2, 4, 6)
    assert half.gflops() < 0.8 * every.gflops()
    difference = (half.images.float() - plain.images.float()).abs().mean()
    assert 0 < difference < 30


def test_fewer_steps_cost_accuracy(pipe: Any, judges: Any) -> None:
    assert accuracy(judges, drawn(pipe, 16, 2).images) < accuracy(judges, drawn(pipe, 16, 14).images)


@pytest.mark.slow
def test_semantic_accuracy_of_28_steps(pipe: Any, judges: Any) -> None:
    parts = [drawn_part(pipe, start) for start in range(0, 192, 32)]
    assert accuracy(judges, torch.cat(parts)) >= 0.5


@pytest.mark.slow
def test_the_zeros_of_t5_change_little(pipe: Any, judges: Any) -> None:
    captions = [caption.text for caption in read_captions("shapes-flow", 48)]
    seeds = [torch.Generator().manual_seed(index) for index in range(48)]
    images = pipe(captions, num_inference_steps=28, guidance_scale=4.0, generator=seeds, output_type="pt").images
    assert accuracy(judges, images * 255) >= 0.5


def drawn_part(pipe: Any, start: int) -> torch.Tensor:
    generation = GenerationConfig(steps=28).resolved(**own_settings("shapes-flow"))
    return run(pipe, read_captions("shapes-flow")[start : start + 32], generation).images


def test_every_command_takes_its_own_captions(tmp_path: Path) -> None:
    from fdplug.commands import compare

    out = tmp_path / "out"
    words = [
        "--model",
        "shapes-flow",
        "--limit",
        "2",
        "--variants",
        "own-2",
        "--feature-changes",
        "0",
        "--timed-rounds",
        "1",
    ]
    assert compare.main([*words, "--out", str(out)]) == 0
    settings = json.loads((out / "results.json").read_text())["settings"]
    assert (settings["annotations"], settings["guidance"]) == ("shapes-flow", shapes.GUIDANCE)
