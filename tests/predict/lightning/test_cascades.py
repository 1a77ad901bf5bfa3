"""`predict` with three pipelines in a row: every stage in the manifest and in `run.json`, resumed to the same bytes."""

from __future__ import annotations

import json

import pytest

from fdplug.errors import ConfigError
from tests.predict import cascades
from tests.predict.conftest import document, written
from tests.predict.predicting import check_whole, content, numbers, predict, records

KEYS = {"policy": {"uniform": {"interval": 2}}, "injector": "none"}


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    folder = tmp_path_factory.mktemp("if")
    model, then = cascades.save(folder)
    then[0] |= {"propagation": KEYS}
    return model, then, written(folder, document())


def drawn(cascade, folder, **options):
    model, then, annotations = cascade
    return predict(model, annotations, folder, size=8, **{"then": then, "injector": "none", **options})


@pytest.fixture(scope="module")
def whole(cascade, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "out"
    module, _, _ = drawn(cascade, folder)
    assert module.variant == "own-4+uniform, own-3+uniform, own-4"
    return folder


def test_every_stage_is_in_the_manifest_and_in_the_settings(whole):
    lines = records(whole)
    assert len(lines) == 5
    stages = lines[0]["stages"]
    assert [one["pipeline"] for one in stages] == [
        *("IFPipeline", "IFSuperResolutionPipeline", "StableDiffusionUpscalePipeline")
    ]
    assert [one["key_steps"] for one in stages] == [2, 2, 4]
    assert lines[0]["key_steps"] == 8
    assert lines[0]["gflops"] == pytest.approx(sum(one["gflops"] for one in stages))
    settings = json.loads((whole / "run.json").read_text())
    assert [one["steps"] for one in settings["settings"]["then"]] == [3, 4]
    assert settings["settings"]["then"][0]["propagation"]["policy"] == {"uniform": {"interval": 2}}
    assert {"unet", "2.unet", "3.unet"} <= set(settings["weights"])
    assert numbers(whole)["gflops_per_image"] == pytest.approx(lines[0]["gflops"])


def test_a_cascade_goes_on_where_images_are_missing(cascade, whole, tmp_path):
    import shutil

    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    lost = sorted(folder.glob("*.png"))[1:3]
    for path in lost:
        path.unlink()
    _, writer, _ = drawn(cascade, folder)
    assert writer.generated == 2
    assert content(folder) == content(whole)
    check_whole(folder, [type("One", (), {"image_id": line["id"]}) for line in records(whole)])


def test_other_settings_of_a_stage_are_refused(cascade, whole):
    model, then, _ = cascade
    with pytest.raises(ConfigError, match=r"begun with other settings: then .* -> "):
        drawn((model, [then[0] | {"steps": 5}, then[1]], cascade[2]), whole)
