"""The database of proposals: kept, gone on with, and refused in one line where it is harmed."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from functools import partial

import pytest

from fdplug.errors import DataError, OutputError
from fdplug.optimization.proposing.study import FILE, check_study, open_study, using

pytest.importorskip("optuna", reason="optuna is not installed: pip install 'fdplug[optimize]'")


@pytest.fixture
def folder(tmp_path):
    """A study of 30 proposals, the last of which was being tried when its process ended."""
    study = open_study(tmp_path, "a")
    for _ in range(30):
        trial = study.ask()
        value = trial.suggest_float("x", 0, 1)
        if trial.number < 29:
            study.tell(trial, value)
    return tmp_path


def test_a_study_goes_on_with_what_was_being_tried(folder):
    check_study(folder)
    study = open_study(folder, "a")
    assert [trial.number for trial in study.get_trials()] == list(range(30))
    assert study.ask().number == 29


def test_a_folder_without_a_study_is_none_to_refuse(tmp_path):
    check_study(tmp_path)
    check_study(tmp_path / "missing")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"SQLite format 3\0" + b"\xff" * 5000, b"{}"])
def test_what_is_no_database_is_refused_or_filled(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    if not content:  # an empty file is an empty database
        check_study(tmp_path)
        assert open_study(tmp_path, "a").get_trials() == []
        return
    with pytest.raises(DataError, match=r"cannot read the study .*study\.db: .*; remove it, and the proposals begin"):
        check_study(tmp_path)


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(DataError, match="cannot read the study"):
        check_study(tmp_path)


def test_a_harmed_database_is_refused_or_read_and_never_a_traceback(folder):
    written, chance, read = (folder / FILE).read_bytes(), random.Random(0), 0
    for _ in range(60):
        harmed = bytearray(written)
        for _ in range(chance.choice([1, 20, 400])):
            harmed[chance.randrange(len(harmed))] = chance.randrange(256)
        (folder / FILE).write_bytes(harmed[: chance.choice([len(harmed), chance.randrange(len(harmed))])])
        with contextlib.suppress(DataError):
            check_study(folder)
            open_study(folder, "a")
            read += 1
    assert 0 < read < 40


def test_a_full_disk_and_a_harm_that_shows_late_are_one_line(folder, monkeypatch):
    study = open_study(folder, "a")
    monkeypatch.setattr(study, "ask", partial(_executed, folder / FILE))
    with (
        pytest.raises(OutputError, match=r"cannot write .*study\.db: the disk is full; make room there"),
        using(folder),
    ):
        study.ask()
    (folder / FILE).write_bytes(b"\xff" * 100_000)
    with pytest.raises(DataError, match=r"cannot read the study .*; remove it"), using(folder):
        open_study(folder, "a").get_trials()


def _executed(path):
    """What sqlite says on a full disk: no page more than there are already."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA max_page_count = 1")
        database.execute("CREATE TABLE more AS SELECT zeroblob(1000000)")


def test_other_errors_are_left_as_they_are(folder):
    with pytest.raises(ZeroDivisionError), using(folder):
        raise ZeroDivisionError
