"""Ctrl-C at any moment of any command: exit code 130, one line that says how to go on, and nothing half-written."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fdplug.cli import COMMANDS

SMALL = ["--steps", "4", "--limit", "2"]
WORK = {
    "predict": [
        *("--config", "shapes-ddim50", "--model.steps=4", "--data.limit=2", "--data.batch_size=1"),
        *("--trainer.logger=false", "--trainer.enable_progress_bar=false", "--writer.folder=out"),
    ],
    "compare": ["--variants", "ddim-2", "ddim-3", "--limit", "2", "--scores", "none", "--out", "out"],
    "report": ["compared"],
    "evaluate": ["compared/images/ddim-2", "--scores", "shapes"],
    "generate": ["a red circle", "--steps", "4", "--out", "one.png"],
    "families": ["--markdown"],
    "optimize": ["shapes", "--budget", "3calls", "--trials", "2", "--out", "best.yaml"],
    "inspect": ["shapes"],
    "tune": ["--key-steps", "2", "--out", "tuned.json", *SMALL],
    "analyze": ["--out", "analysis", *SMALL],
    "complexity": ["shapes"],
    "plugins": ["--json"],
    "env": [],
    "new-plugin": ["mine", "--kind", "policy"],
}
MOMENTS = 4


def begin(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "fdplug", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A folder with a finished comparison."""
    folder = tmp_path_factory.mktemp("before")
    made = begin(folder, "compare", *WORK["compare"][:-1], "compared")
    _, said = made.communicate(timeout=600)
    assert made.returncode == 0, said
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_at_any_moment(name, compared, tmp_path):
    def prepared(word):
        return Path(shutil.copytree(compared, tmp_path / word))

    started = time.monotonic()
    whole = begin(prepared("whole"), name, *WORK[name])
    expected = whole.communicate(timeout=600)
    duration, code = time.monotonic() - started, whole.returncode
    moments = random.Random(name)
    for number in range(MOMENTS):
        folder = prepared(f"cut-{number}")
        process = begin(folder, name, *WORK[name])
        after = moments.uniform(0.3, max(0.4, 0.9 * duration))
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert "Traceback" not in err, (after, err)
        if process.returncode == code and code != 130:
            continue  # it had come to its end
        assert process.returncode == 130, (after, err)
        said = [line for line in err.splitlines() if "interrupted" in line]
        assert len(said) == 1, (after, err)
        assert "the same command" in said[0]
        assert not list(folder.rglob("*.part*"))
        again = begin(folder, name, *WORK[name])
        assert again.communicate(timeout=600)[0].count("\n") >= 0
        assert again.returncode == code, expected
