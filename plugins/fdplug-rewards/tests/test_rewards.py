"""The rewards against transformers' own logits, on tiny models of the real classes."""

from types import SimpleNamespace

import pytest
import torch
from fdplug_rewards import Hps, PickScore
from transformers import CLIPConfig, CLIPModel, CLIPProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from fdplug.errors import ConfigError, PipelineError
from fdplug.scores import Batch
from fdplug.testing import check_score, tiny_tokenizer

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXTS = ["a red circle", "a blue square on a gray background above a small green circle, and so on and on", "a"]
CAPTIONS = [SimpleNamespace(text=text, image_id=index) for index, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny CLIP with random weights and another logit scale than the usual one."""
    place = tmp_path_factory.mktemp("reward")
    text = {**SMALL, "vocab_size": 54, "max_position_embeddings": 12, "bos_token_id": 52, "eos_token_id": 53}
    vision = {**SMALL, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=8, logit_scale_init_value=1.5)
    CLIPModel(config).save_pretrained(place)
    size = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    CLIPProcessor(CLIPImageProcessorPil(**size), tiny_tokenizer(length=12)).save_pretrained(place)
    return str(place)


@pytest.fixture
def images():
    return torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_contract(folder):
    check_score(PickScore(folder, None))
    check_score(Hps(folder))


def test_a_reward_is_the_logit_of_the_model(folder, images):
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    expected = []
    for image, text in zip(images, TEXTS, strict=True):
        cut = {"padding": True, "truncation": True, "max_length": 12}
        with torch.no_grad():
            expected.append(
                model(**processor(text=[text], images=[image], return_tensors="pt", **cut)).logits_per_image
            )
    score = Hps(folder)
    score.load("cpu")
    score.begin()
    score.update(Batch(images, CAPTIONS))
    assert score.compute()["hps"] == pytest.approx(torch.cat(expected).mean().item(), abs=1e-5)


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PipelineError, match=r"cannot load the reward model '.*none': .*; name a folder with `model`"):
        Hps(str(tmp_path / "none")).load("cpu")
    with pytest.raises(ConfigError, match="model must be the hub id or folder of a CLIP model, got 3"):
        Hps(3)
