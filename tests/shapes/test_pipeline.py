from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import fdplug.shapes
from fdplug.shapes import annotations_file, pipeline_folder
from fdplug.shapes.annotations import references
from fdplug.shapes.generate import generate, load_pipeline, use_sampler

LIMIT = 20_000_000


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load_pipeline()


def test_the_package_data_is_small_and_safe() -> None:
    package = Path(fdplug.shapes.__file__).parent
    data = [path for path in package.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert sum(path.stat().st_size for path in data) <= LIMIT
    assert {path.suffix for path in data} <= {".safetensors", ".json", ".jsonl", ".txt", ".png", ".md"}
    assert annotations_file() in data
    assert pipeline_folder() / "model_index.json" in data


def test_the_weights_are_half_precision() -> None:
    from safetensors import safe_open

    for path in Path(fdplug.shapes.__file__).parent.rglob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            assert {weights.get_tensor(name).dtype for name in weights.keys()} <= {torch.float16}  # noqa: SIM118


def test_the_plain_pipeline_loads_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import StableDiffusionPipeline

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    plain: Any = StableDiffusionPipeline.from_pretrained(pipeline_folder(), safety_checker=None)
    assert plain.unet.dtype == plain.vae.dtype == plain.text_encoder.dtype == torch.float32
    assert plain.unet.config.down_block_types == ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    assert plain.vae.config.scaling_factor * plain.vae_scale_factor > 0


def test_generated_pictures_follow_their_captions(pipe: Any, judges: Any) -> None:
    captions = [reference.caption for reference in references()[:12]]
    images = generate(pipe, captions, seeds=range(12), steps=10, batch_size=12)
    assert images.shape == (12, 3, 64, 64)
    assert judges.semantics(images, captions)["all"].float().mean() >= 0.7


def test_a_picture_does_not_depend_on_its_batch(pipe: Any) -> None:
    captions = [reference.caption for reference in references()[:3]]
    together = generate(pipe, captions, seeds=[5, 6, 7], steps=3)
    alone = generate(pipe, captions[1:2], seeds=[6], steps=3)
    torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=0)


def test_seeds_and_captions_must_agree(pipe: Any) -> None:
    with pytest.raises(ValueError, match="2 captions but 1 seeds"):
        generate(pipe, ["a", "b"], seeds=[0], steps=1)


def test_an_unknown_sampler_is_refused(pipe: Any) -> None:
    with pytest.raises(ValueError, match="sampler 'heun' is unknown; choose one of ddim"):
        use_sampler(pipe, "heun")


@pytest.mark.slow
def test_semantic_accuracy_of_ddim_50(pipe: Any, judges: Any) -> None:
    captions = [reference.caption for reference in references()[:192]]
    images = generate(pipe, captions, seeds=range(192), steps=50, batch_size=32)
    assert judges.semantics(images, captions)["all"].float().mean() >= 0.75
