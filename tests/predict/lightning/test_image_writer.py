"""What the writer leaves behind, and what it refuses."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from fdplug.errors import ConfigError, OutputError
from fdplug.files.writing import write_bytes
from fdplug.predict import Caption, TextToImage
from fdplug.predict.data.seeds import seed_of
from fdplug.predict.storage.run_folder import LOCK
from tests.predict.conftest import document, written
from tests.predict.predicting import UNIFORM, content, predict, records


@pytest.fixture(scope="module")
def finished(model, tmp_path_factory):
    """A folder with a finished run of five captions."""
    folder = tmp_path_factory.mktemp("finished")
    predict(model, written(folder, document()), folder / "out", seed=3)
    return folder / "out"


def test_the_manifest_says_what_was_generated_and_how(finished):
    lines = [json.loads(line) for line in (finished / "manifest.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [3, 10, 17, 24, 31]
    first = lines[0]
    data = (finished / "000000000003.png").read_bytes()
    assert first["sha256"] == hashlib.sha256(data).hexdigest()
    assert (first["caption"], first["variant"], first["status"]) == ("a red circle", "own-4+uniform", "ok")
    assert first["seed"] == seed_of(3, 3)
    assert (first["file"], first["key_steps"]) == ("000000000003.png", 2)
    assert 0 < first["denoiser_seconds"] < first["seconds"]
    assert {path.name for path in finished.iterdir()} - set(content(finished)) == {
        LOCK,
        "logs",
        "manifest.jsonl",
        "metrics.json",
        "run.json",
    }


def test_the_settings_that_decide_the_images_are_kept(finished):
    kept = json.loads((finished / "run.json").read_text())
    settings = kept["settings"]
    assert (settings["steps"], settings["seed"], settings["sampler"], settings["dtype"]) == (4, 3, "own", "float32")
    assert settings["propagation"]["policy"] == UNIFORM
    assert set(kept["weights"]) == {"unet", "vae", "text_encoder"}
    assert kept["begun"]["versions"]["torch"]


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"seed": 4}, r"seed 3 -> 4"),
        ({"steps": 6, "seed": 3, "guidance": 2.0}, r"steps 4 -> 6; guidance none -> 2.0"),
        ({"seed": 3, "policy": {"uniform": {"interval": 3}}}, r"propagation.policy.uniform.interval 2 -> 3"),
        ({"seed": 3, "propagation": None}, r"propagation .*policy.* -> none"),
    ],
)
def test_other_settings_are_refused_with_the_difference(model, finished, monkeypatch, options, difference):
    monkeypatch.setattr(
        "fdplug.predict.lightning.module.load_pipeline", lambda *a, **k: pytest.fail("the model was loaded")
    )
    before = content(finished)
    with pytest.raises(ConfigError, match=f"was begun with other settings: {difference}.*add --overwrite"):
        predict(model, str(finished.parent / "captions.json"), finished, **options)
    assert content(finished) == before


def test_a_folder_of_the_flat_form_is_refused_with_the_new_one(model, finished):
    path = finished / "run.json"
    kept = path.read_text()
    content_of = json.loads(kept)
    content_of["settings"]["propagate"] = content_of["settings"].pop("propagation")
    path.write_text(json.dumps(content_of))
    with pytest.raises(ConfigError, match=r"earlier form: propagate, .* propagation: {policy: ..., cache"):
        predict(model, str(finished.parent / "captions.json"), finished, seed=3)
    path.write_text(kept)


def test_other_captions_are_refused(model, finished, tmp_path):
    changed = document()
    changed["annotations"][1]["caption"] = "a purple cow"
    with pytest.raises(ConfigError, match=r"image 10 of the caption 'a green square', now it is 'a purple cow'"):
        predict(model, written(tmp_path, changed), finished, seed=3)
    fewer = document(("a red circle",))
    with pytest.raises(ConfigError, match=r"image 10 of the caption 'a green square', which is not asked for now"):
        predict(model, written(tmp_path, fewer), finished, seed=3)


def test_other_weights_are_refused(model, annotations, tmp_path, monkeypatch):
    predict(model, annotations, tmp_path / "out")
    monkeypatch.setattr(TextToImage, "weights", lambda self: {"unet": "0123"})
    with pytest.raises(ConfigError, match=r"begun with other weights: .*unet \S+ -> .0123"):
        predict(model, annotations, tmp_path / "out")


def test_images_of_an_unknown_run_are_not_overwritten(model, annotations, tmp_path):
    (tmp_path / "mine.png").write_bytes(b"")
    with pytest.raises(
        ConfigError, match=r"holds images, but no run.json says how they were generated; add --overwrite"
    ):
        predict(model, annotations, tmp_path)


def test_overwrite_begins_anew_and_removes_only_what_the_run_has_written(model, annotations, tmp_path):
    predict(model, annotations, tmp_path)
    (tmp_path / "mine.png").write_bytes(b"mine")
    before = content(tmp_path)
    fewer = written(tmp_path, document(("a red circle", "a green square")))
    predict(model, fewer, tmp_path, overwrite=True, seed=9)
    after = content(tmp_path)
    assert set(after) == {"mine.png", "000000000003.png", "000000000010.png"}
    assert after["000000000003.png"] != before["000000000003.png"]
    assert [record["id"] for record in records(tmp_path)] == [3, 10]


def test_more_captions_are_added_to_a_finished_run(model, tmp_path):
    predict(model, written(tmp_path, document(("a red circle", "a green square"))), tmp_path / "out")
    before = content(tmp_path / "out")
    _, writer, _ = predict(model, written(tmp_path, document()), tmp_path / "out")
    assert writer.generated == 3
    assert len(content(tmp_path / "out")) == 5
    assert before.items() <= content(tmp_path / "out").items()


def test_names_come_from_ids_alone():
    assert Caption(5, "a", "../../x").output_name == "000000000005.png"
    assert Caption(10**12, "b").output_name == "1000000000000.png"


def _full(limit):
    """A disk that takes `limit` more files, and half of the next."""
    original, count = Path.write_bytes, [0]

    def write(self, data):
        count[0] += self.name.endswith(".part") and ".png." in self.name
        if count[0] > limit:
            original(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, data)

    return write


def test_a_full_disk_loses_nothing_that_was_done(model, annotations, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", _full(3))
        with pytest.raises(OutputError, match=r"000000000024.png: No space left on device; what is listed .* is safe"):
            predict(model, annotations, tmp_path / "out")
    assert len(content(tmp_path / "out")) == 3
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".") and path.name != LOCK]
    _, writer, _ = predict(model, annotations, tmp_path / "out")
    assert writer.generated == 2
    predict(model, annotations, tmp_path / "again")
    assert content(tmp_path / "out") == content(tmp_path / "again")


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    write_bytes(b"old", path)

    def torn(self, data):
        with self.open("wb") as file:
            file.write(data[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", torn)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(b"new", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["file/x", "/proc/none"])
def test_a_folder_that_cannot_be_written_is_refused_at_the_door(model, annotations, tmp_path, monkeypatch, place):
    monkeypatch.setattr(
        "fdplug.predict.lightning.module.load_pipeline", lambda *a, **k: pytest.fail("the model was loaded")
    )
    (tmp_path / "file").write_text("")
    quiet = {"logger": False}
    with pytest.raises(ConfigError, match="cannot write to the folder"):
        predict(model, annotations, tmp_path / place, trainer=quiet)


def test_a_folder_that_becomes_read_only_stops_the_run_in_one_line(model, annotations, tmp_path, monkeypatch):
    def refused(source, target):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    original = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: refused(a, b) if str(b).endswith("24.png") else original(a, b))
    with pytest.raises(OutputError, match=r"cannot write .*24.png: Read-only file system; what is listed") as caught:
        predict(model, annotations, tmp_path / "out")
    assert len(str(caught.value).splitlines()) == 1
    assert len(content(tmp_path / "out")) == 3
