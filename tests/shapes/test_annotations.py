from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fdplug.shapes import CLASSES, annotations_file
from fdplug.shapes.annotations import WORLDS, class_scenes, held_out_scenes, references, write_annotations
from fdplug.shapes.captions import held_out
from fdplug.shapes.drawing import draw
from fdplug.shapes.scene import Scene


@pytest.mark.parametrize("model", WORLDS)
def test_the_first_records_come_from_the_generator(model: str) -> None:
    found = [reference.scene for reference in references(annotations_file(model))[:30]]
    assert held_out_scenes(30, world=WORLDS[model]) == found


@pytest.mark.slow
@pytest.mark.parametrize("model", WORLDS)
def test_all_records_come_from_the_generator(model: str) -> None:
    found = [reference.scene for reference in references(annotations_file(model))]
    assert held_out_scenes(world=WORLDS[model]) == found


@pytest.mark.parametrize("model", WORLDS)
def test_the_file_is_what_its_scenes_give(model: str, tmp_path: Path) -> None:
    write_annotations(tmp_path / "again.json", [one.scene for one in references(annotations_file(model))])
    assert (tmp_path / "again.json").read_bytes() == annotations_file(model).read_bytes()


def test_classes_are_every_caption_of_one_object_that_training_shows() -> None:
    found = references(annotations_file(CLASSES))
    assert [one.scene for one in found] == class_scenes()
    captions = [one.caption for one in found]
    assert (
        len(set(captions[:200])) == 200 == 2 * (8 * 3 - 4) * 5
    )  # fills, colours and shapes but four pairs, backgrounds
    assert all(captions[:200] == captions[start : start + 200] for start in range(0, 1000, 200))
    assert not any(held_out(caption) for caption in captions)
    assert all(len(one.scene.things) == 1 for one in found)


def test_the_file_has_the_form_of_coco() -> None:
    record = json.loads(annotations_file().read_text())
    assert set(record) == {"info", "licenses", "images", "annotations"}
    images, notes = record["images"], record["annotations"]
    assert [image["id"] for image in images] == list(range(1, 1001))
    assert {(image["height"], image["width"]) for image in images} == {(64, 64)}
    assert images[0]["file_name"] == "000000000001.png"
    assert [note["image_id"] for note in notes] == [image["id"] for image in images]
    assert len({note["caption"] for note in notes}) == 1000


def test_captions_tell_the_scenes() -> None:
    record = json.loads(annotations_file().read_text())
    for image, note in zip(record["images"], record["annotations"], strict=True):
        assert Scene.from_dict(image["scene"]).caption == note["caption"]


def test_references_are_drawn_on_the_fly() -> None:
    first = references()[0]
    assert first.id == 1
    np.testing.assert_array_equal(first.image(), draw(first.scene))
