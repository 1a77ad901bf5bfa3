from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import fdplug.shapes
from fdplug.predict import Caption
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import run
from fdplug.predict.generation.loading import load_pipeline
from fdplug.shapes import annotations_file, pipeline_folder
from fdplug.shapes.annotations import references

LIMIT = 36_000_000


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load_pipeline("shapes")


def generated(pipe: Any, first: int, count: int, steps: int) -> Tensor:
    """Pictures (count, 3, 64, 64) in [0, 1] of held-out captions, each from noise seeded by its place."""
    records = references()[first : first + count]
    captions = [Caption(one.id, one.caption, seed=place) for place, one in enumerate(records, first)]
    generation = GenerationConfig(steps=steps, guidance=fdplug.shapes.GUIDANCE)
    parts = [run(pipe, captions[start : start + 32], generation).images for start in range(0, count, 32)]
    return torch.cat(parts).float() / 255


def test_the_package_data_is_small_and_safe() -> None:
    package = Path(fdplug.shapes.__file__).parent
    data = [path for path in package.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert sum(path.stat().st_size for path in data) <= LIMIT
    assert {path.suffix for path in data} <= {".safetensors", ".json", ".jsonl", ".txt", ".png", ".md"}
    assert annotations_file() in data
    assert pipeline_folder() / "model_index.json" in data


HALF = {torch.float16, torch.bfloat16}


def test_the_weights_are_half_precision() -> None:
    from safetensors import safe_open

    for path in Path(fdplug.shapes.__file__).parent.rglob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            assert {weights.get_tensor(name).dtype for name in weights.keys()} <= HALF  # noqa: SIM118


def test_the_plain_pipeline_loads_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import StableDiffusionPipeline

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    plain: Any = StableDiffusionPipeline.from_pretrained(pipeline_folder(), safety_checker=None)
    assert plain.unet.dtype == plain.vae.dtype == plain.text_encoder.dtype == torch.float32
    assert plain.unet.config.down_block_types == ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    assert plain.vae.config.scaling_factor * plain.vae_scale_factor > 0


def test_generated_pictures_follow_their_captions(pipe: Any, judges: Any) -> None:
    captions = [reference.caption for reference in references()[:12]]
    images = generated(pipe, 0, 12, steps=10)
    assert images.shape == (12, 3, 64, 64)
    assert judges.semantics(images, captions)["all"].float().mean() >= 0.7


def test_a_picture_does_not_depend_on_its_batch(pipe: Any) -> None:
    together, alone = generated(pipe, 0, 3, steps=3), generated(pipe, 1, 1, steps=3)
    torch.testing.assert_close(together[1:2], alone, atol=1.01 / 255, rtol=0)


@pytest.mark.slow
def test_semantic_accuracy_of_ddim_50(pipe: Any, judges: Any) -> None:
    captions = [reference.caption for reference in references()[:192]]
    images = generated(pipe, 0, 192, steps=50)
    assert judges.semantics(images, captions)["all"].float().mean() >= 0.75
