"""Kill a forked copy of this process: before its n-th operation on a file, in the middle of it, or at any moment."""

from __future__ import annotations

import os
import signal
import time
import traceback
from pathlib import Path


def run_until(action, operation):
    """Run `action` in a copy of this process, and kill that at its `operation`-th step; returns whether it got there.

    Steps are what touches the disk (half of a file is written first), and the beginning and end of each pipeline call.
    """
    child = os.fork()
    if child == 0:
        _in_child(action, operation)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status == -signal.SIGKILL


def run_for(action, seconds):
    """Run `action` in a copy of this process, and kill that and all it has started after so long; returns whether."""
    child = os.fork()
    if child == 0:
        _in_child(action)
    os.setpgid(child, child)  # by the parent, so that there is a group to kill however early the end comes
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return False
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _in_child(action, operation=None):
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if operation is not None:
            _Fuse(operation).lay()
        action()
        code = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


class _Fuse:
    def __init__(self, operation):
        self.left = operation

    def lay(self):
        from fdplug.predict.generation import generate

        os.replace = self._before(os.replace)
        os.write = self._before(os.write, lambda file, data: _write(file, data[: len(data) // 2]))
        Path.unlink = self._before(Path.unlink)
        Path.write_bytes = self._before(Path.write_bytes, lambda path, data: _write_bytes(path, data[: len(data) // 2]))
        generate._now = self._before(generate._now)

    def _before(self, original, half=None):
        def lit(*args, **kwargs):
            self.left -= 1
            if self.left == 0:
                if half is not None:
                    half(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return lit


_write, _write_bytes = os.write, Path.write_bytes
