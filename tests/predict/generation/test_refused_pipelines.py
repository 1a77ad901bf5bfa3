"""Pipelines that `predict` and `compare` cannot use are refused by their class alone, with the reason."""

from __future__ import annotations

import diffusers
import pytest

from fdplug.errors import PipelineError
from fdplug.predict import Caption
from fdplug.predict.generation.conditioning import check_conditioning

CAPTIONS = [Caption(0, "a red circle")]
SHOWN = [Caption(0, "a red circle", inputs=(("image", "circle.png"),))]


@pytest.mark.parametrize(
    ("name", "captions", "message"),
    [
        ("MarigoldDepthPipeline", SHOWN, "makes maps of depth, normals or materials, no pictures: call it yourself"),
        ("StableCascadePriorPipeline", CAPTIONS, "makes embeddings for another pipeline, no pictures"),
        ("StableCascadeDecoderPipeline", CAPTIONS, "needs image_embeddings, which captions do not hold"),
        ("KandinskyV22Pipeline", CAPTIONS, "takes no prompt"),
        ("IFSuperResolutionPipeline", CAPTIONS, "needs a picture for every caption: give --data.inputs"),
        ("StableDiffusionUpscalePipeline", CAPTIONS, "needs a picture for every caption"),
        ("QwenImageEditPipeline", CAPTIONS, "needs a picture for every caption"),
    ],
)
def test_what_cannot_be_generated_is_said_before_anything_is_loaded(name, captions, message):
    with pytest.raises(PipelineError, match=f"{name} {message}"):
        check_conditioning(getattr(diffusers, name), captions)


@pytest.mark.parametrize(
    ("name", "captions"),
    [
        ("WanVACEPipeline", CAPTIONS),
        ("WanPipeline", CAPTIONS),
        ("QwenImageEditPipeline", SHOWN),
        ("StableDiffusionControlNetXSPipeline", SHOWN),
        ("IFSuperResolutionPipeline", SHOWN),
        ("StableCascadeCombinedPipeline", CAPTIONS),
    ],
)
def test_what_can_be_generated_is_taken(name, captions):
    check_conditioning(getattr(diffusers, name), captions)


def test_an_argument_that_is_given_is_not_missed():
    check_conditioning(diffusers.StableCascadeDecoderPipeline, CAPTIONS, arguments={"image_embeddings": 0})
