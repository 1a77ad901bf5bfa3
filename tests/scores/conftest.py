"""Tiny real extractors in folders, and pictures."""

from __future__ import annotations

import pytest
import torch

from fdplug.scores.features.extractor import Extractor

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pictures(count, size=16, seed=0):
    """Random pictures (N, 3, size, size) uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def save_pictures(images, folder):
    """Pictures as PNG files with the names that generated images have."""
    from fdplug.predict.storage.atomic import write_png

    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        write_png(image, folder / f"{index:012d}.png")
    return folder


class Corner(Extractor):
    """The first numbers of an image as its features, and as the logits of as many classes."""

    kind = "corner"

    def __init__(self, width=4):
        super().__init__(torch.nn.Linear(1, 1))
        self.width = self.num_classes = width

    def embed(self, images):
        return images.flatten(1)[:, : self.width].float() / 255

    def logits(self, images):
        return self.embed(images) * 3


@pytest.fixture
def corner():
    return Corner()


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A tiny CLIP of real classes with random weights."""
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    from fdplug.testing import tiny_tokenizer

    folder = tmp_path_factory.mktemp("clip")
    text = {**SMALL, "vocab_size": 54, "max_position_embeddings": 12, "bos_token_id": 52, "eos_token_id": 53}
    vision = {**SMALL, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    size = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    CLIPProcessor(CLIPImageProcessorPil(**size), tiny_tokenizer(length=12)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def vit_folder(tmp_path_factory):
    """A tiny ViT image classifier of real classes with random weights, 5 classes."""
    from transformers import ViTConfig, ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    ViTForImageClassification(ViTConfig(**SMALL, image_size=16, patch_size=8, num_labels=5)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return str(folder)
