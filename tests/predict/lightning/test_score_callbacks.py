"""Scores while images are generated: by several processes, in bfloat16, and the same from the finished folder."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from fdplug.commands.evaluate import evaluate, parser
from fdplug.errors import ConfigError, DataError, FdplugWarning
from fdplug.predict import (
    ClassLabels,
    CocoCaptions,
    LogClipScore,
    LogFid,
    LogFidelity,
    LogFtc,
    LogInceptionScore,
    LogPrecisionRecall,
    LogScores,
)
from fdplug.predict.generation.conditioning import image_size
from fdplug.scores import MeanScore, Number
from fdplug.testing import registered
from tests.predict.conftest import WORDS, document, opened, written
from tests.predict.predicting import numbers, predict
from tests.scores.conftest import clip_folder, vit_folder  # noqa: F401  fixtures

QUIET = "ignore:Frechet distance of"
pytestmark = pytest.mark.filterwarnings(QUIET)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An annotation file of seven captions, and real images for them of another size than what is generated."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    captions = [*WORDS, "a blue square", "a small green circle"]
    for index in range(len(captions)):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    written(folder, document(captions))
    return folder


@pytest.fixture
def networks(vit_folder, clip_folder):  # noqa: F811
    """Folders of an extractor and of a CLIP model."""
    return vit_folder, clip_folder


def _callbacks(networks):
    vit, clip = networks
    compared = (kind(extractor=vit) for kind in (LogFid, LogPrecisionRecall, LogInceptionScore))
    return [*compared, LogClipScore(clip), LogFtc()]


def _generate(model, place, out, callbacks, ranks=1, **options):
    engine = {"devices": ranks, "strategy": "ddp_fork"} if ranks > 1 else {}
    data = CocoCaptions(str(place / "captions.json"), real_images=str(place), batch_size=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Frechet distance of")
        engine |= options.pop("engine", {})
        return predict(model, None, out, callbacks, data=data, trainer=engine, **options)


def _scored(folder, place, networks):
    """What `fdplug evaluate` says of a finished folder."""
    vit, clip = networks
    given = ("--real-images", place, "--extractor", vit, "--clip-model", clip, "--batch-size", 3, "--device", "cpu")
    options = parser().parse_args([str(one) for one in (folder, "--scores", "fid,pr,is,clip", *given)])
    return evaluate(options, Console(quiet=True))


KEYS = ("fid", "precision", "recall", "inception_score", "clip_score", "clip_score_se")


def test_scores_of_several_processes_and_of_the_folder_are_those_of_one(model, place, networks, tmp_path):
    _generate(model, place, tmp_path / "one", _callbacks(networks), steps=2)
    one = numbers(tmp_path / "one")
    assert set(KEYS) <= set(one)
    _generate(model, place, tmp_path / "two", _callbacks(networks), ranks=2, steps=2)
    (row,) = _scored(tmp_path / "one", place, networks)
    two = numbers(tmp_path / "two")
    for key in KEYS:
        assert one[key] == pytest.approx(two[key], rel=1e-3), key
        assert one[key] == pytest.approx(row[key], rel=1e-4), key
    assert row["count"] == 7


def test_scores_of_a_bfloat16_run_are_computed_in_float32(model, place, networks, tmp_path):
    engine = {"precision": "bf16-true"}
    _generate(model, place, tmp_path, _callbacks(networks), steps=2, dtype="bfloat16", engine=engine)
    (row,) = _scored(tmp_path, place, networks)
    values = numbers(tmp_path)
    assert {key: values[key] for key in KEYS} == {key: pytest.approx(row[key], rel=1e-6) for key in KEYS}


def test_what_lacks_is_said_before_the_model_is_loaded(model, annotations, tmp_path, monkeypatch, networks):
    vit, _ = networks
    monkeypatch.setattr(
        "fdplug.predict.lightning.module.load_pipeline", lambda *a, **k: pytest.fail("the model was loaded")
    )
    cases = (
        (LogFid(extractor=vit), DataError, "have no 'scene' to draw"),
        (LogFid(str(tmp_path / "none"), vit), DataError, "no image folder '.*none'; name a folder of images"),
        (LogFid(str(tmp_path / "x.npz"), vit), DataError, "there are no statistics"),
        (LogFidelity(str(tmp_path / "none")), ConfigError, "the baseline folder .* does not exist"),
    )
    for callback, error, message in cases:
        with pytest.raises(error, match=message):
            predict(model, annotations, tmp_path / "out", [callback])


class Mean(MeanScore):
    """How bright images are."""

    name = "mean"
    numbers = (Number("mean_brightness", "brightness", higher_is_better=True),)

    def values(self, batch):
        return {"mean_brightness": batch.images.double().mean((1, 2, 3))}


def test_any_score_is_a_callback_by_its_name(model, annotations, tmp_path):
    with registered("score", Mean):
        predict(model, annotations, tmp_path, [LogScores(["mean"])], steps=2)
    images = np.stack([opened(path) for path in sorted(tmp_path.glob("*.png"))])
    assert numbers(tmp_path)["mean_brightness"] == pytest.approx(images.mean())
    logged = next(tmp_path.rglob("metrics.csv")).read_text()
    assert "mean_brightness" in logged


def test_a_callback_of_no_score_or_without_its_baseline_is_refused():
    with pytest.raises(ConfigError, match="no score 'men'"):
        LogScores(["men"])
    with pytest.raises(ConfigError, match="fidelity: give a `baseline`, the folder of un-accelerated images"):
        LogScores(["fidelity"])


def test_ftc_without_its_parts_warns(model, annotations, tmp_path):
    with pytest.warns(FdplugWarning, match="no FTC without fid, clip_score; add the scores that give them"):
        predict(model, annotations, tmp_path, [LogFtc()], steps=2)


def test_the_size_of_what_is_generated_is_known(loaded):
    assert image_size(loaded) == (16, 16)
    assert image_size(loaded, 24) == (24, 24)


@pytest.fixture(scope="module")
def dit(tmp_path_factory):
    """Folder of a tiny DiT."""
    from fdplug.predict.generation.loading import quiet_loading
    from fdplug.testing.systems import SYSTEMS

    folder = tmp_path_factory.mktemp("dit")
    with quiet_loading():
        SYSTEMS["dit"].make().save_pretrained(folder)
    return str(folder)


def test_a_class_conditional_model_takes_class_labels(dit, tmp_path):
    data = ClassLabels(classes=[3, 500, 7], batch_size=2)
    predict(dit, None, tmp_path, data=data, steps=4)
    names = [f"{label:012d}.png" for label in (3, 7, 500)]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == names
    pictures = [opened(tmp_path / name) for name in names]
    assert {one.shape for one in pictures} == {(pictures[0].shape)}
    assert not (pictures[0] == pictures[1]).all()
    assert image_size(_loaded(dit)) == pictures[0].shape[:2]


def _loaded(folder):
    from fdplug.predict.generation.loading import load_pipeline

    return load_pipeline(folder, needs_prompt=False)


def test_prompts_and_class_labels_are_not_mixed_up(dit, model, annotations, tmp_path):
    from fdplug.errors import PipelineError

    with pytest.raises(PipelineError, match="DiTPipeline takes no prompt but class labels; give --data ClassLabels"):
        predict(dit, annotations, tmp_path / "a", steps=2)
    with pytest.raises(PipelineError, match="generates from prompts, not class labels; give --data CocoCaptions"):
        predict(model, None, tmp_path / "b", data=ClassLabels(classes=[1]), steps=2)
    with pytest.raises(ConfigError, match="DiTPipeline generates images of one size only; leave out size, got 32"):
        predict(dit, None, tmp_path / "c", data=ClassLabels(classes=[1]), steps=2, size=32)
