"""The image store, by plain references: PIL reads the files, json the manifest, hashlib the hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fdplug.errors import OutputError
from fdplug.predict.storage.image_store import GeneratedImage, ImageStore

SIZE = 16


def _generated(image_id, variant="ddim-4", broken=False, **costs):
    """An image of random pixels that depend on its id and variant alone."""
    random = np.random.default_rng([image_id, *variant.encode()])
    pixels = torch.tensor(random.integers(0, 256, (3, SIZE, SIZE), dtype=np.uint8))
    image = None if broken else pixels
    return GeneratedImage(image_id, f"caption {image_id}", image_id + 1, variant, image, seconds=0.5, **costs)


def _lines(path):
    """The lines without their checksums."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(line.pop("crc32") for line in lines)
    return lines


def _tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_image_is_a_png_with_a_line_in_the_manifest(tmp_path):
    store, written = ImageStore(tmp_path), _generated(7, denoiser_seconds=0.25, gflops=3.0, key_steps=2)
    store.write(written)
    path = tmp_path / "000000000007.png"
    assert (np.asarray(Image.open(path)) == written.image.permute(1, 2, 0).numpy()).all()
    expected = {
        "id": 7,
        "caption": "caption 7",
        "seed": 8,
        "variant": "ddim-4",
        "status": "ok",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seconds": 0.5,
        "denoiser_seconds": 0.25,
        "gflops": 3.0,
        "key_steps": 2,
        "rate": None,
        "stages": None,
    }
    assert _lines(tmp_path / "manifest.rank0.jsonl") == [expected]
    store.close()
    assert [vars(entry) for entry in store.merge()] == [expected]
    assert _lines(tmp_path / "manifest.jsonl") == [expected]
    assert _tree(tmp_path) == {path.name, "manifest.jsonl"}


def test_a_later_store_reads_what_an_earlier_one_wrote_with_its_costs(tmp_path):
    written = _generated(7, denoiser_seconds=0.25, gflops=3.0, key_steps=2)
    ImageStore(tmp_path).write(written)  # neither closed nor merged, as if killed
    read = ImageStore(tmp_path).read("ddim-4", 7)
    assert torch.equal(read.image, written.image)
    costs = ("caption", "seed", "seconds", "denoiser_seconds", "gflops", "key_steps")
    assert [getattr(read, name) for name in costs] == ["caption 7", 8, 0.5, 0.25, 3.0, 2]


def test_a_store_reads_what_it_has_written_itself(tmp_path):
    store = ImageStore(tmp_path)
    assert store.read("ddim-4", 7) is None
    store.write(_generated(7))
    assert torch.equal(store.read("ddim-4", 7).image, _generated(7).image)
    assert [entry.id for entry in store.entries] == [7]


def test_variants_share_ids_and_have_folders_of_their_own(tmp_path):
    store = ImageStore(tmp_path)
    for variant in ("ddim-4", "ddim-8"):
        store.write(_generated(7, variant), f"images/{variant}")
    assert {entry.file for entry in store.merge()} == {
        "images/ddim-4/000000000007.png",
        "images/ddim-8/000000000007.png",
    }
    again = ImageStore(tmp_path)
    for variant in ("ddim-4", "ddim-8"):
        assert torch.equal(again.read(variant, 7).image, _generated(7, variant).image)
    assert again.read("ddim-2", 7) is None


def test_not_a_number_is_done_and_has_no_file(tmp_path):
    ImageStore(tmp_path).write(_generated(7, broken=True))
    (line,) = _lines(tmp_path / "manifest.rank0.jsonl")
    assert (line["status"], line["file"], line["sha256"]) == ("not a number", None, None)
    assert _tree(tmp_path) == {"manifest.rank0.jsonl"}
    assert ImageStore(tmp_path).read("ddim-4", 7).image is None


@pytest.mark.parametrize("harm", [lambda data: b"", lambda data: data[:-1], lambda data: data + b"x", None])
def test_a_harmed_or_missing_file_is_to_be_generated_again(tmp_path, harm):
    store = ImageStore(tmp_path)
    store.write(_generated(7))
    store.write(_generated(8))
    path = tmp_path / "000000000007.png"
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm(path.read_bytes()))
    again = ImageStore(tmp_path)
    assert again.read("ddim-4", 7) is None
    assert again.read("ddim-4", 8) is not None
    again.write(_generated(7))
    assert torch.equal(ImageStore(tmp_path).read("ddim-4", 7).image, _generated(7).image)
    assert [entry.id for entry in again.merge()] == [7, 8]


def test_parts_of_several_processes_become_one_manifest_in_the_order_of_ids(tmp_path):
    stores = [ImageStore(tmp_path, rank) for rank in range(3)]
    for image_id in (5, 3, 4, 0, 2, 1):
        stores[image_id % 3].write(_generated(image_id))
    for store in stores:
        store.close()
    assert [entry.id for entry in stores[0].merge()] == list(range(6))
    assert [line["id"] for line in _lines(tmp_path / "manifest.jsonl")] == list(range(6))
    assert not list(tmp_path.glob("manifest.rank*"))


def test_clear_removes_what_was_written_and_nothing_else(tmp_path):
    store = ImageStore(tmp_path)
    store.write(_generated(7))
    store.write(_generated(8))
    (tmp_path / "000000000008.png").write_bytes(b"mine")
    (tmp_path / "000000000009.png").write_bytes(b"mine")
    store.close()
    store.clear()
    assert _tree(tmp_path) == {"000000000008.png", "000000000009.png"}
    assert not store.entries
    assert store.read("ddim-4", 7) is None


def test_a_full_disk_leaves_neither_half_a_file_nor_a_line(tmp_path, monkeypatch):
    store, original = ImageStore(tmp_path), Path.write_bytes
    store.write(_generated(7))

    def half(path, data):
        original(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = _tree(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", half)
        with pytest.raises(
            OutputError, match=r"000000000008.png: No space left on device; what is listed .*: run the same"
        ):
            store.write(_generated(8))
    assert _tree(tmp_path) == before
    assert store.read("ddim-4", 8) is None
    assert [line["id"] for line in _lines(tmp_path / "manifest.rank0.jsonl")] == [7]


def test_a_manifest_that_cannot_be_added_to_does_not_count_the_image_as_done(tmp_path, monkeypatch):
    store = ImageStore(tmp_path)

    def full(file, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OutputError, match=r"manifest.rank0.jsonl: No space left on device; what is listed"):
            store.write(_generated(7))
    assert store.read("ddim-4", 7) is None
    assert ImageStore(tmp_path).read("ddim-4", 7) is None


def test_a_file_where_the_folder_should_be_is_an_error_in_one_line(tmp_path):
    (tmp_path / "images").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot make the folder .*images/ddim-4: Not a directory; what") as caught:
        ImageStore(tmp_path).write(_generated(7), "images/ddim-4")
    assert len(str(caught.value).splitlines()) == 1
