"""CLIP score, FID and the shapes analogues."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fdplug.errors import ConfigError, DataError, PipelineError
from fdplug.metrics.statistics import FeatureStatistics
from fdplug.predict import Caption
from fdplug.predict.scores import ClipScore, Fid, check_fid, load_clip, load_fid, reference_statistics
from fdplug.predict.scoring import chosen
from fdplug.predict.shapes_scores import ShapesScores, check_captions, standard_error
from fdplug.testing import tiny_tokenizer

TEXTS = ["a red circle", "a blue square on a gray background above a small green circle, and so on and on", "a"]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A tiny CLIP of real classes with random weights."""
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = tmp_path_factory.mktemp("clip")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, "vocab_size": 54, "max_position_embeddings": 12, "bos_token_id": 52, "eos_token_id": 53}
    vision = {**small, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    size = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    CLIPProcessor(CLIPImageProcessorPil(**size), tiny_tokenizer(length=12)).save_pretrained(folder)
    return str(folder)


def _reference_clip_score(folder, images, texts):
    """100 x cosine by hand, one pair at a time."""
    from transformers import CLIPModel, CLIPProcessor

    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    scores = []
    for image, text in zip(images, texts, strict=True):
        given = processor(
            text=[text], images=[image], return_tensors="pt", padding=True, truncation=True, max_length=12
        )
        with torch.no_grad():
            out = model(**given)
        scores.append(100 * torch.nn.functional.cosine_similarity(out.image_embeds, out.text_embeds).item())
    return float(np.mean(scores))


def test_clip_score_is_the_cosine_by_hand(clip_folder):
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    captions = [Caption(index, text) for index, text in enumerate(TEXTS)]
    score = ClipScore(load_clip(clip_folder))
    score.update(images[:2], captions[:2])
    score.update(images[2:], captions[2:])
    expected = max(_reference_clip_score(clip_folder, images, TEXTS), 0)
    assert score.compute() == {"clip_score": pytest.approx(expected, abs=1e-3)}


def test_a_missing_clip_model_is_one_line(tmp_path):
    with pytest.raises(PipelineError, match="cannot load the CLIP model") as caught:
        load_clip(str(tmp_path / "none"))
    assert len(str(caught.value).splitlines()) == 1


def test_fid_names_what_to_install():
    from importlib.util import find_spec

    if find_spec("torch_fidelity") and find_spec("torchvision"):
        pytest.skip("FID's packages are installed")
    with pytest.raises(ConfigError, match=r"FID needs torch-fidelity.*pip install 'fdplug\[fid\]'"):
        check_fid()
    with pytest.raises(ConfigError, match="FID needs"):
        load_fid(None)


def test_fid_is_the_distance_of_inception_s_features():
    def inception(images):
        return images.flatten(1)[:, :4].double() / 255

    images = torch.randint(0, 256, (9, 3, 4, 4), dtype=torch.uint8)
    reference = FeatureStatistics(4)
    reference.update(inception(images))
    score = Fid(inception, reference)
    score.update(images, [])
    assert score.compute() == {"fid": pytest.approx(0, abs=1e-9)}


class _References:
    def __len__(self):
        return 40

    def read(self, index, size=None):
        return np.full((2, 2, 3), index, np.uint8)


def test_reference_statistics_cover_every_image():
    read = []
    statistics = reference_statistics(
        lambda images: images.flatten(1)[:, :2].double(), _References(), None, read.append
    )
    assert sum(read) == int(statistics.count) == 40
    torch.testing.assert_close(statistics.compute()[0], torch.full((2,), 19.5, dtype=torch.float64))


class _Evaluators:
    """Answers that are known beforehand."""

    def embed_images(self, images):
        return images.flatten(1)[:, :4]

    def clip_score(self, images, captions):
        return torch.tensor([float(len(caption)) for caption in captions])

    def semantics(self, images, captions):
        return {"all": torch.tensor(["red" in caption for caption in captions])}


def test_shapes_scores_and_their_standard_error():
    reference = FeatureStatistics(4)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8, generator=generator)
    reference.update(images.flatten(1)[:, :4].float() / 255)
    score = ShapesScores(_Evaluators(), reference)
    captions = [Caption(index, "red" if index % 4 else "green") for index in range(16)]
    score.update(images[:10], captions[:10])
    score.update(images[10:], captions[10:])
    values = score.compute()
    assert set(values) == set(score.labels)
    assert values["shapes_fd"] == pytest.approx(0, abs=1e-4)
    assert values["shapes_clip"] == pytest.approx((12 * 3 + 4 * 5) / 16)
    assert values["semantic_accuracy"] == pytest.approx(0.75)
    assert values["semantic_accuracy_se"] == pytest.approx(np.sqrt(13 / 18 * 5 / 18 / 18))


def test_a_perfect_share_is_not_claimed_to_be_certain():
    assert standard_error(1.0, 64) == pytest.approx(np.sqrt(65 / 66 * 1 / 66 / 66))
    assert standard_error(0.5, 10_000) == pytest.approx(0.005, rel=1e-3)


def test_shapes_scores_are_never_called_fid_or_clip_score():
    assert not {"fid", "clip_score", "FID", "CLIP score"} & {*ShapesScores.labels, *ShapesScores.labels.values()}


def test_captions_of_another_world_are_refused():
    check_captions([Caption(1, "a small red circle on a gray background")])
    with pytest.raises(DataError, match="caption of image 2 is not of the shapes world: 'a dog' is not"):
        check_captions([Caption(2, "a dog")])


def test_which_scores_are_chosen():
    assert chosen("auto", "shapes", None, "x") == ["shapes"]
    assert chosen("auto", "a/b", None, "x") == ["clip"]
    assert chosen("auto", "a/b", "folder", "none") == ["fid"]
    assert chosen("none", "shapes", None, "x") == []
    assert chosen("clip,fid", "shapes", None, "x") == ["clip", "fid"]
    with pytest.raises(ConfigError, match="no score 'clop', did you mean 'clip'"):
        chosen("clop", "shapes", None, "x")
    with pytest.raises(ConfigError, match="the score 'none' stands alone"):
        chosen("clip,none", "shapes", None, "x")
