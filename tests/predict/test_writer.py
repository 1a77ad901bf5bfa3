"""Files are written whole or not at all."""

from __future__ import annotations

import pytest
import torch

from fdplug.errors import ConfigError
from fdplug.predict import Caption, ImageWriter, Prediction, TextToImage
from fdplug.predict.writer import replaced, writable_folder, write_png
from tests.predict.conftest import opened


def test_images_are_named_by_id_and_read_back(tmp_path, model):
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    captions = [Caption(5, "a", "../../x"), Caption(10**12, "b")]
    writer = ImageWriter(str(tmp_path / "new" / "folder"))
    writer.setup(None, TextToImage(model), "predict")
    writer.write_on_batch_end(None, None, Prediction(images, captions, 0.0, 0.0), [0, 1], captions, 0, 0)
    names = ["000000000005.png", "1000000000000.png"]
    assert sorted(path.name for path in writer.folder.iterdir()) == names
    for name, image in zip(names, images, strict=True):
        assert (opened(writer.folder / name) == image.permute(1, 2, 0).numpy()).all()


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "x.png"
    write_png(torch.zeros(3, 4, 4, dtype=torch.uint8), path)
    before = path.read_bytes()

    def torn(temporary):
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replaced(path, torn)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_refused_at_the_door(tmp_path, model):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write to the folder .*file/x"):
        writable_folder(tmp_path / "file" / "x")
    with pytest.raises(ConfigError, match="cannot write to the folder"):
        ImageWriter("/proc/none").setup(None, TextToImage(model), "predict")
