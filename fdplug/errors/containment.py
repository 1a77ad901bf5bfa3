"""What code of others may not change for everybody, as it is loaded: streams, warnings, signals, seeds."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from typing import Any

from fdplug.errors import FdplugWarning

Undo = Callable[[], Any]


@contextmanager
def as_it_was() -> Iterator[None]:
    """Put back what the code inside changes for everybody; what it prints goes to stderr.

    What a command prints may be read by a program, its warnings are to be seen, and images may depend on seeds. A copy
    of the process that was made inside is ended.
    """
    process, undo = os.getpid(), [*_undo()]
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if os.getpid() != process:
            os._exit(0)
        for one in undo:
            one()


def _undo() -> Iterator[Undo]:
    """Yield what puts back one thing each."""
    for name in ("stdin", "stdout", "stderr", "excepthook", "unraisablehook", "argv"):
        yield partial(setattr, sys, name, getattr(sys, name))
    for name in ("showwarning", "formatwarning"):
        yield partial(setattr, warnings, name, getattr(warnings, name))
    yield partial(_show_warnings, list(warnings.filters))
    yield partial(setattr, logging.root.manager, "disable", logging.root.manager.disable)
    yield partial(random.setstate, random.getstate())
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            yield partial(signal.signal, number, signal.getsignal(number) or signal.SIG_DFL)
    with suppress(OSError):  # the folder is gone
        yield partial(os.chdir, os.getcwd())
    yield from _of_arrays()


def _of_arrays() -> Iterator[Undo]:
    """Yield what puts back random numbers and modes of packages that are loaded already."""
    numpy: Any = sys.modules.get("numpy")
    torch: Any = sys.modules.get("torch")
    if hasattr(numpy, "random"):
        yield partial(numpy.random.set_state, numpy.random.get_state())
    if hasattr(torch, "get_rng_state"):
        yield partial(torch.set_rng_state, torch.get_rng_state())
        yield partial(torch.set_default_dtype, torch.get_default_dtype())
        yield partial(torch.set_grad_enabled, torch.is_grad_enabled())


def _show_warnings(before: list[Any]) -> None:
    """Put warning filters back, and keep those that came since and hide or raise nothing of fdplug's."""
    filters: Any = warnings.filters
    filters[:] = [*[one for one in filters if one not in before and not _is_blanket(one)], *before]


def _is_blanket(one: Any) -> bool:
    _, message, category, module, _ = one
    return message is None and module is None and issubclass(FdplugWarning, category)
