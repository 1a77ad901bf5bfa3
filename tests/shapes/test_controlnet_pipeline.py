"""The shipped `shapes-controlnet`: found by name, loaded by a stock pipeline, obedient, and accelerated."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fdplug
from fdplug import PropagationConfig, shapes
from fdplug.errors import ConfigError, DataError, PipelineError
from fdplug.predict.comparison.scoring import chosen
from fdplug.predict.data.captions import Caption, read_captions
from fdplug.predict.data.inputs import with_inputs
from fdplug.predict.data.subset import selection_hash
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.generate import GenerationOutput, run
from fdplug.predict.generation.loading import load_pipeline, own_settings
from fdplug.scores.base import Batch
from fdplug.scores.outlines import OutlineScore
from fdplug.shapes.control.outlines import draw_outlines
from fdplug.shapes.scene import Scene

NAME = "shapes-controlnet"
CARD = Path(fdplug.__file__).parent / "shapes" / "CONTROLNET.md"


@pytest.fixture(scope="module")
def pipe() -> Any:
    return load_pipeline(NAME)


@pytest.fixture(scope="module")
def score() -> OutlineScore:
    made = OutlineScore()
    made.load("cpu")
    return made


def drawn(pipe: Any, captions: list[Caption], steps: int, propagation: Any = None) -> GenerationOutput:
    generation = GenerationConfig(sampler="dpm-solver++", steps=steps).resolved(**own_settings(NAME))
    return run(pipe, captions, generation, propagation)


def obedience(score: OutlineScore, images: torch.Tensor, captions: list[Caption]) -> float:
    score.begin()
    score.update(Batch(images, captions))
    return score.compute()["outline_f1"]


def test_it_is_an_embedded_model() -> None:
    assert NAME in shapes.MODELS
    assert own_settings(NAME) == {"guidance": 4.0, "arguments": {}}
    assert shapes.pipeline_folder(NAME) == shapes.pipeline_folder()
    assert shapes.loading("shapes") == {}
    assert shapes.inputs("shapes-flow") == ()


def test_a_stock_pipeline_loads_it_offline(monkeypatch: pytest.MonkeyPatch, pipe: Any) -> None:
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    net = ControlNetModel.from_pretrained(shapes.controlnet_folder())
    stock: Any = StableDiffusionControlNetPipeline.from_pretrained(
        shapes.pipeline_folder(), controlnet=net, safety_checker=None
    )
    assert stock.unet.dtype == stock.controlnet.dtype == torch.float32
    assert type(pipe) is type(stock)
    ours = pipe.controlnet.state_dict()
    assert all(torch.equal(one, ours[name]) for name, one in stock.controlnet.state_dict().items())


def test_the_card_names_the_weights() -> None:
    text = CARD.read_text()
    files = [*shapes.controlnet_folder().rglob("*.safetensors"), shapes.evaluators_folder() / "finder.safetensors"]
    assert len(files) == 2
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] in text, path


def test_its_captions_begin_from_the_outlines_of_their_scenes(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    captions, plain = read_captions(NAME, 3), read_captions("shapes", 3)
    assert [caption._replace(inputs=()) for caption in captions] == plain
    seen: list[Any] = []
    real = type(pipe).__call__

    @functools.wraps(real)
    def noted(self: Any, **given: Any) -> Any:
        seen.extend(given["image"])
        return real(self, **given)

    monkeypatch.setattr(type(pipe), "__call__", noted)
    drawn(pipe, captions, 1)
    for image, caption in zip(seen, captions, strict=True):
        np.testing.assert_array_equal(np.asarray(image), draw_outlines(Scene.from_dict(caption.scene or {})))
    assert selection_hash(captions) != selection_hash(plain)


def test_pictures_of_a_folder_come_before_the_outlines(tmp_path: Path) -> None:
    for number in (1, 2):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{number}.png")
    found = with_inputs(read_captions(NAME, 2), {"image": str(tmp_path)})
    assert [caption.inputs for caption in found] == [(("image", str(tmp_path / f"{n}.png")),) for n in (1, 2)]


def test_pictures_keep_to_their_outlines_and_others_do_not(pipe: Any, score: OutlineScore) -> None:
    captions = read_captions(NAME, 6)
    controlled = obedience(score, drawn(pipe, captions, 6).images, captions)
    free = obedience(score, drawn(load_pipeline("shapes"), read_captions("shapes", 6), 6).images, captions)
    assert controlled > 0.85
    assert free < 0.5


@pytest.mark.slow
def test_empty_captions_do_not_free_it(pipe: Any, score: OutlineScore) -> None:
    captions = read_captions(NAME, 12)
    blind = [caption._replace(text="") for caption in captions]
    assert obedience(score, drawn(pipe, blind, 10).images, captions) > 0.7


@pytest.mark.slow
def test_it_is_accelerated(pipe: Any) -> None:
    captions = read_captions(NAME, 1)
    plain = drawn(pipe, captions, 6)
    every = drawn(pipe, captions, 6, PropagationConfig(policy="all", injector="none"))
    half = drawn(pipe, captions, 6, PropagationConfig(policy={"uniform": {"interval": 2}}, injector="none"))
    assert torch.equal(every.images, plain.images)
    assert half.ledger.key_steps == (0, 2, 4)
    assert half.ledger.passes("", network="controlnet") == 3
    assert half.gflops() < 0.8 * every.gflops()


@pytest.mark.slow
def test_obedience_of_50_steps(pipe: Any, score: OutlineScore) -> None:
    captions = read_captions(NAME, 48)
    generation = GenerationConfig(sampler="ddim", steps=50).resolved(**own_settings(NAME))
    assert obedience(score, run(pipe, captions, generation).images, captions) > 0.9


@pytest.mark.slow
def test_compare_takes_it_by_name(tmp_path: Path) -> None:
    from fdplug.commands import compare

    words = ["--model", NAME, "--limit", "2", "--feature-changes", "0", "--timed-rounds", "1"]
    out = tmp_path / "out"
    assert compare.main([*words, "--scores", "outlines", "--variants", "own-2", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["settings"]["pipeline"] == "StableDiffusionControlNetPipeline"
    assert results["settings"]["annotations"] == NAME
    assert 0 <= results["variants"][0]["outline_f1"] <= 1
    with pytest.raises(PipelineError, match="needs a picture for every caption"):
        compare.main([*words, "--annotations", "shapes", "--variants", "own-2", "--out", str(tmp_path / "other")])


def test_its_usual_scores_are_those_of_shapes_and_its_obedience() -> None:
    assert chosen("auto", NAME, None, "none") == ["shapes", "outlines"]
    assert chosen("auto", "shapes", None, "none") == ["shapes"]


def test_generate_draws_outlines_or_takes_a_picture(tmp_path: Path) -> None:
    from fdplug.commands import generate

    words = ["a large plain red circle on a gray background", "--model", NAME, "--steps", "2", "--no-propagation"]
    made, empty = tmp_path / "made.png", tmp_path / "empty.png"
    Image.new("RGB", (64, 64)).save(empty)
    assert generate.main([*words, "--out", str(made)]) == 0
    assert generate.main([*words, "--out", str(tmp_path / "other.png"), "--input", str(empty)]) == 0
    assert made.read_bytes() != (tmp_path / "other.png").read_bytes()
    with pytest.raises(DataError, match=r"there are no outlines to draw .* 'a cat'.*; give a picture of outlines"):
        generate.main(["a cat", *words[1:], "--out", str(made)])


def test_predict_takes_it_by_name(tmp_path: Path) -> None:
    from fdplug.commands import predict

    words = ["--model.model", NAME, "--model.steps", "2", "--model.propagation", "null", "--data.limit", "2"]
    predict.main([*words, "--writer.folder", str(tmp_path / "out")])
    assert len(list((tmp_path / "out").rglob("*.png"))) >= 2


def test_scores_need_scenes(score: OutlineScore) -> None:
    with pytest.raises(DataError, match="caption of image 7 has no scene, so its outlines are not known"):
        score.check([Caption(7, "a cat")])


def test_its_suites_refuse_other_pipelines(tmp_path: Path) -> None:
    from fdplug.commands import compare

    with pytest.raises(ConfigError, match=r"table13 is about pipelines with a controlnet, .* take --model shapes-cont"):
        compare.main(["--suite", "table13", "--model", "shapes", "--out", str(tmp_path / "out")])
