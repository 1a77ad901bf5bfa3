"""Optuna's study: what was proposed and what came of it, in a database that outlives the process."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from fdplug.checks import installed
from fdplug.errors import DataError, FdplugError, OutputError
from fdplug.errors.wording import one_line

FILE = "study.db"
REMEDY = (
    "remove it, and the proposals begin anew, or name another folder; what was measured is kept in measurements.jsonl"
)


def check_study(folder: Path | None) -> None:
    """Refuse a folder whose database cannot be read, before anything is generated.

    Raises:
        DataError: it is no database, or harmed.
    """
    if folder is None or not (path := folder / FILE).exists():
        return
    # opened for writing, too: what a killed process has half written is taken back
    with (
        _told(path, Exception),
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as database,
    ):
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)


def open_study(folder: Path | None, name: str) -> Any:
    """Return the study of this name in the folder's database, or a new one in memory.

    A proposal that was being tried when the process ended is the next one.

    Raises:
        ConfigError: the package is not installed.
        DataError: the database cannot be read.
        OutputError: the disk is full.
    """
    installed("fdplug optimize", "optimize", "optuna")
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    if folder is None:
        return optuna.create_study(study_name=name, direction="maximize")
    with _told(folder / FILE, Exception):  # another version of Optuna raises what it likes
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder.resolve() / FILE}")
        study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
        _try_again(study, storage)
    return study


def _try_again(study: Any, storage: Any) -> None:
    from optuna.trial import TrialState

    number = storage.get_study_id_from_name(study.study_name)
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.RUNNING:
            place = storage.get_trial_id_from_study_id_trial_number(number, trial.number)
            storage.set_trial_state_values(place, TrialState.WAITING)


def using(folder: Path | None) -> AbstractContextManager[None]:
    """Return a context in which what goes wrong with the database of a folder is told in one line.

    Raises:
        DataError: it cannot be read.
        OutputError: the disk is full.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    return _told((folder or Path()) / FILE, sqlite3.Error, SQLAlchemyError, StorageInternalError)


@contextmanager
def _told(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: BaseException) -> FdplugError:
    causes = [str(one) for one in (error, error.__cause__, error.__context__) if one is not None]
    if any("disk is full" in text for text in causes):
        return OutputError(f"cannot write {path}: the disk is full; make room there, and the same command goes on")
    return DataError(f"cannot read the study {path}: {one_line(error, 120)}; {REMEDY}")
