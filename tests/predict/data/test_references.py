"""Reference images: files, drawn scenes, and names that try to leave the folder."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fdplug.errors import DataError
from fdplug.predict import Caption, CocoCaptions
from fdplug.predict.data.references import ReferenceImages
from fdplug.shapes.drawing import draw
from fdplug.shapes.scene import random_scene
from tests.predict.conftest import document, written


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for index in range(5):
        pixels = np.zeros((20, 40, 3), np.uint8)
        pixels[:, 10:30] = 40 * index
        Image.fromarray(pixels).save(images / f"{index}.png")
    return images


def test_files_are_cropped_to_the_middle_and_resized(folder):
    captions = [Caption(9, "x", "3.png")]
    references = ReferenceImages(captions, folder)
    assert references.read(0).shape == (20, 40, 3)
    middle = references.read(0, (8, 8))
    assert middle.shape == (8, 8, 3)
    assert (middle == 120).all()


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "\\\\host\\x", "x\0.png", "..", ""]
)
def test_names_that_leave_the_folder_are_refused(folder, name):
    with pytest.raises(DataError, match=r"image 9.*(leaves the image folder; refused|has no 'file_name')"):
        ReferenceImages([Caption(9, "x", name)], folder)


def test_outputs_are_never_named_by_the_file(folder):
    assert Caption(9, "x", "../../x").output_name == "000000000009.png"


def test_missing_files_and_folders_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"1 of 1 images have no file under .*the first is image 9 \('nope.png'\)"):
        ReferenceImages([Caption(9, "x", "nope.png")], folder)
    with pytest.raises(DataError, match=r"no image folder .*; name a folder of images"):
        ReferenceImages([Caption(9, "x", "0.png")], tmp_path / "none")
    with pytest.raises(DataError, match="have no 'scene' to draw"):
        ReferenceImages([Caption(9, "x", "0.png")])


def test_a_file_that_is_no_image_is_named(folder):
    (folder / "0.png").write_bytes(b"\x89PNG not")
    with pytest.raises(DataError, match=r"image 9: cannot read the image .*0\.png"):
        ReferenceImages([Caption(9, "x", "0.png")], folder).read(0)


def test_scenes_are_drawn():
    scene = random_scene(np.random.default_rng(0))
    references = ReferenceImages([Caption(9, scene.caption, None, scene.to_dict())])
    assert (references.read(0) == draw(scene)).all()


def test_a_bad_scene_is_named():
    with pytest.raises(DataError, match="image 9: its 'scene' cannot be drawn"):
        ReferenceImages([Caption(9, "x", None, {"layout": "one"})]).read(0)


def test_the_data_module_checks_the_image_folder(tmp_path, folder):
    record = document()
    record["images"][0]["file_name"] = "../../x"
    data = CocoCaptions(written(tmp_path, record), real_images=str(folder), limit=1)
    with pytest.raises(DataError, match="leaves the image folder"):
        data.setup("predict")
