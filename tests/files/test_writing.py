"""Files are written whole or not at all, and a target that cannot be written is refused before any work."""

import importlib
import os

import pytest

from fdplug.cli import COMMANDS
from fdplug.commands import new_plugin
from fdplug.errors import OutputError
from fdplug.files.tables import safe_cell
from fdplug.files.writing import writable_file, writable_folder, write_bytes, write_text
from fdplug.predict.storage.manifest import ManifestEntry, ManifestPart, clear_manifest, read_manifest, sha256
from fdplug.predict.storage.run_folder import RunFolder
from tests.bad_inputs.refusing import refusal


def _folder(path):
    path.mkdir()


def _fifo(path):
    os.mkfifo(path)


def _below_a_file(path):
    path.parent.rmdir()
    path.parent.write_text("a file")


TARGETS = {"folder": _folder, "fifo": _fifo, "below a file": _below_a_file}


@pytest.mark.parametrize("kind", TARGETS)
def test_a_target_that_cannot_be_written_is_refused(kind, tmp_path):
    path = tmp_path / "sub" / "out.json"
    path.parent.mkdir()
    TARGETS[kind](path)
    refusal(lambda: writable_file(path))


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 250, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(name, tmp_path):
    refusal(lambda: writable_file(tmp_path / name))
    with pytest.raises(OutputError, match="cannot write"):
        write_text("x", tmp_path / name)


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for name in ("file", "file/sub", "a\0b", "x" * 5000):
        refusal(lambda name=name: writable_folder(tmp_path / name))


def test_what_was_there_stays_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "tuned.json"
    write_text("before", path)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"cannot write .*tuned\.json: No space left on device"):
        write_bytes(b"after", path)
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["tuned.json"]


BEFORE = {
    "tune": (["--limit", "1"], "--out", "t.json"),
    "generate": (["a red circle"], "--out", "i.png"),
    "analyze": ([], "--out", "folder"),
    "compare": (["--variants", "ddim-2", "--limit", "1"], "--out", "folder"),
    "evaluate": (["."], "--out", "r.json"),
}


@pytest.mark.parametrize("command", BEFORE)
def test_a_command_refuses_its_target_before_a_model_is_loaded(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(COMMANDS[command].module)
    for owner in ("fdplug.commands.pipelines", "fdplug.commands.compare"):
        monkeypatch.setattr(f"{owner}.load_pipeline", lambda *args, **kwargs: pytest.fail("a model is loaded"))
    (tmp_path / "file").write_text("mine")
    arguments, option, name = BEFORE[command]
    refusal(lambda: module.main([*arguments, option, f"file/{name}"]))
    if "." in name:
        (tmp_path / name).mkdir()
        refusal(lambda: module.main([*arguments, option, name]))
    assert (tmp_path / "file").read_text() == "mine"


def test_new_plugin_refuses_a_target_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    refusal(lambda: new_plugin.main(["first-half", "--kind", "policy", "--out", str(tmp_path / "file")]))


@pytest.mark.parametrize(
    "name", [".", "sub", "notes.txt", "../out.png", "a\0.png", "x" * 5000, "notes.png", "/etc/x.png"]
)
def test_overwrite_removes_what_was_written_and_nothing_else(name, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "sub").mkdir()
    for mine in (folder / "notes.txt", folder / "notes.png", tmp_path / "out.png"):
        mine.write_text("mine")
    (folder / "1.png").write_bytes(b"drawn")
    part = ManifestPart(folder)
    known = {"caption": "x", "seed": 1, "variant": "v", "seconds": 1.0, "denoiser_seconds": 1.0}
    part.append(ManifestEntry(id=1, file="1.png", sha256=sha256(b"drawn"), **known))
    part.append(ManifestEntry(id=2, file=name, sha256="0", **known))
    part.close()
    clear_manifest(folder)
    assert not read_manifest(folder)
    assert sorted(one.name for one in folder.iterdir()) == ["notes.png", "notes.txt", "sub"]
    assert (tmp_path / "out.png").read_text() == "mine"


def test_a_lock_that_is_handed_on_keeps_a_third_run_out(tmp_path, monkeypatch):
    monkeypatch.setattr("fdplug.predict.storage.run_folder.ORPHANS_LIVE", 0.1)
    first, second, third = RunFolder(tmp_path), RunFolder(tmp_path), RunFolder(tmp_path)
    first.open()
    lock = first._lock
    assert lock is not None
    release = lock.release

    def slow(*args, **kwargs):
        release(*args, **kwargs)
        second.open()

    monkeypatch.setattr(lock, "release", slow)
    first.close()
    refusal(third.open)
    second.close()
    third.open()
    third.close()


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@SUM(A1)", "\tx"])
def test_a_cell_never_begins_like_a_formula(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["ddim-5", "-1.5", "+2e3", -3.5, None, 7])
def test_other_cells_stay_as_they_are(value):
    assert safe_cell(value) is value
