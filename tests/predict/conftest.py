"""A tiny pipeline saved once per session, and annotation files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.counting import counted_once

__all__ = ["counted_once"]

WORDS = ("a red circle", "a green square", "a blue circle above a red square", "a large red square", "a small circle")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads, and lose much on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Folder of a tiny pipeline in safetensors."""
    from fdplug.predict.generation.loading import quiet_loading
    from fdplug.testing import tiny_pipeline

    folder = tmp_path_factory.mktemp("model") / "tiny"
    with quiet_loading():
        tiny_pipeline().save_pretrained(folder, safe_serialization=True)
    return str(folder)


@pytest.fixture(scope="session")
def loaded(model):
    """The tiny pipeline, loaded once; every test must leave it as it found it."""
    from fdplug.predict.generation.loading import load_pipeline

    return load_pipeline(model)


def document(captions=WORDS):
    """An annotation file: ids out of order, two captions for the first image, blanks around them."""
    images = [{"id": 7 * index + 3, "file_name": f"{index}.png"} for index in range(len(captions))]
    annotations = [
        {"id": 500 - index, "image_id": 7 * index + 3, "caption": f" {text}\n"} for index, text in enumerate(captions)
    ]
    annotations.append({"id": 900, "image_id": 3, "caption": "a later caption of the first image"})
    return {"images": images[::-1], "annotations": annotations}


@pytest.fixture
def annotations(tmp_path):
    """Path of an annotation file with five images."""
    return written(tmp_path, document())


def opened(path):
    """An image as (H, W, 3) numbers."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def written(folder, content):
    """Write an annotation file; text is written as it is."""
    path = folder / "captions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)
