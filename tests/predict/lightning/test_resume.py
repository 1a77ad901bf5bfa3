"""Killed at any moment, the same call goes on: nothing missing, nothing twice, nothing half."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fdplug.predict import CocoCaptions, LogFidelity
from fdplug.predict.storage.manifest import read_image, read_manifest, sha256
from tests.predict.conftest import document, opened, written
from tests.predict.killing import run_until
from tests.predict.predicting import check_whole, content, numbers, predict, records

WORDS = ("a red circle", "a green square", "a blue circle")
BATCH = 2


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """Folders of an uninterrupted run and of its baseline, and the annotation file."""
    folder = tmp_path_factory.mktemp("whole")
    annotations = written(folder, document(WORDS))
    predict(model, annotations, folder / "plain", steps=2, propagation=None)
    _again(model, folder / "out", annotations, folder / "plain")
    return folder


def _again(model, out, annotations, plain, **options):
    return predict(model, annotations, out, [LogFidelity(str(plain))], steps=2, **options)


def _generated_ids(folder):
    """Ids of which images were generated, as often as they were: what the module notes down for us."""
    path = folder / "generated.txt"
    return path.read_text().split() if path.is_file() else []


def _noting(monkeypatch, folder):
    """Let every pipeline call note the ids it begins with."""
    from fdplug.predict.generation import generate

    original = generate.call_pipeline

    def call(pipe, captions, generation):
        with (folder / "generated.txt").open("a") as file:
            file.write("".join(f"{caption.image_id}\n" for caption in captions))
        return original(pipe, captions, generation)

    monkeypatch.setattr(generate, "call_pipeline", call)


def _check_killed(model, whole, folder, monkeypatch, operation):
    """Kill at an operation, go on, and compare with the uninterrupted run; False if it was finished before."""
    out = folder / "out"
    folder.mkdir()
    with monkeypatch.context() as patched:
        _noting(patched, folder)
        arguments = (model, out, str(whole / "captions.json"), whole / "plain")
        killed = run_until(lambda: _again(*arguments), operation)
        before = {entry.id for entry in read_manifest(out).values() if read_image(out, entry) is not None}
        done_before = len(_generated_ids(folder))
        _again(*arguments)
    assert content(out) == content(whole / "out"), operation
    assert records(out) == records(whole / "out"), operation
    assert numbers(out) == numbers(whole / "out"), operation
    check_whole(out, _captions(whole))
    assert not set(map(int, _generated_ids(folder)[done_before:])) & before, operation
    assert len(_generated_ids(folder)) <= len(WORDS) + BATCH, operation
    return killed


def _captions(whole):
    data = CocoCaptions(str(whole / "captions.json"))
    data.setup()
    return data.captions


@pytest.mark.parametrize("operation", [15, *(pytest.param(one, marks=pytest.mark.slow) for one in (8, 22))])
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(model, whole, tmp_path, monkeypatch, operation):
    assert _check_killed(model, whole, tmp_path / "run", monkeypatch, operation)


@pytest.mark.slow
def test_a_run_may_be_killed_at_every_single_operation(model, whole, tmp_path, monkeypatch):
    operation = 1
    while _check_killed(model, whole, tmp_path / str(operation), monkeypatch, operation):
        operation += 1
    assert operation > 30


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_comes_to_an_end(model, whole, tmp_path):
    arguments = (model, tmp_path / "out", str(whole / "captions.json"), whole / "plain")
    kills = 0
    while run_until(lambda: _again(*arguments), 14):
        kills += 1
        assert kills < 20
    assert kills > 1
    assert content(tmp_path / "out") == content(whole / "out")
    assert numbers(tmp_path / "out") == numbers(whole / "out")


def test_a_finished_run_is_read_and_not_generated(model, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fdplug.predict.generation.generate.call_pipeline", lambda *a: pytest.fail("something was generated")
    )
    before = content(whole / "out"), numbers(whole / "out")
    _, writer, _ = _again(model, whole / "out", str(whole / "captions.json"), whole / "plain")
    assert writer.generated == 0
    assert (content(whole / "out"), numbers(whole / "out")) == before


def test_a_harmed_image_is_generated_again(model, whole, tmp_path):
    arguments = (model, tmp_path / "out", str(whole / "captions.json"), whole / "plain")
    _again(*arguments)
    path = tmp_path / "out" / "000000000010.png"
    path.write_bytes(path.read_bytes()[:-20])
    _, writer, _ = _again(*arguments)
    assert writer.generated == 1
    assert (opened(path) == opened(whole / "out" / path.name)).all()
    assert len(records(tmp_path / "out")) == 3


def test_only_the_very_file_that_was_written_is_read_back(whole, tmp_path):
    entry = next(entry for entry in read_manifest(whole / "out").values() if entry.id == 10)
    data = (whole / "out" / entry.file).read_bytes()
    path = tmp_path / entry.file
    assert read_image(tmp_path, entry) is None
    for harmed in (b"", data[:-20], data + b"x", (whole / "out" / "000000000003.png").read_bytes()):
        path.write_bytes(harmed)
        assert read_image(tmp_path, entry) is None
    path.write_bytes(b"no image")
    assert read_image(tmp_path, replace(entry, sha256=sha256(b"no image"))) is None
    path.write_bytes(data)
    assert (read_image(tmp_path, entry).permute(1, 2, 0).numpy() == opened(whole / "out" / entry.file)).all()
    outside = replace(entry, file=f"../{tmp_path.name}/{entry.file}")
    assert read_image(tmp_path, outside) is not None
    assert read_image(tmp_path / "folder", replace(entry, file=f"../{entry.file}")) is None


def test_a_manifest_that_points_out_of_the_folder_is_not_followed(model, whole, tmp_path):
    arguments = (model, tmp_path / "out", str(whole / "captions.json"), whole / "plain")
    _again(*arguments)
    manifest = tmp_path / "out" / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    precious = tmp_path / "precious.png"
    precious.write_bytes((tmp_path / "out" / lines[0]["file"]).read_bytes())
    lines[0]["file"] = "../precious.png"
    del lines[0]["crc32"]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, writer, _ = _again(*arguments)
    assert writer.generated == 1
    _again(*arguments, overwrite=True)
    assert precious.is_file()


def test_two_runs_in_one_folder_are_refused(model, whole, tmp_path, monkeypatch):
    from fdplug.errors import ConfigError
    from fdplug.predict.storage import run_folder

    monkeypatch.setattr(run_folder, "ORPHANS_LIVE", 0.1)
    busy = run_folder.RunFolder(tmp_path / "out")
    busy.open()
    arguments = (model, tmp_path / "out", str(whole / "captions.json"), whole / "plain")
    with pytest.raises(ConfigError, match=r"another run is writing to the folder .*; wait for it, or name another"):
        _again(*arguments)
    busy.close()
    _again(*arguments)
