"""Plugins that do what no plugin should: left out by name, and the command goes on."""

import json
import os
import subprocess
import sys

import pytest

EVIL = {
    "exits": "import sys; sys.exit(0)",
    "exits silently": "raise SystemExit",
    "raises a base exception": "raise BaseException('x')",
    "ends a generator": "raise GeneratorExit",
    "error without text": "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
    "syntax": "def (",
    "prints": "print('noise'); raise ValueError('two\\nlines \\x1b[2J')",
    "deep": "def f(): f()\nf()",
    "hook exits": "import fdplug, sys\n@fdplug.hookimpl\ndef fdplug_key_step_policies():\n    sys.exit(0)",
    "hook yields a number": "import fdplug\n@fdplug.hookimpl\ndef fdplug_key_step_policies():\n    yield 5",
}


def run(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{os.getcwd()}", "FDPLUG_PLUGINS": "evil"}
    command = [sys.executable, "-W", "default", "-m", "fdplug", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVIL)
def test_a_plugin_that_misbehaves_is_left_out_and_named(kind, tmp_path):
    info = tmp_path / "evil-1.0.dist-info"
    info.mkdir()
    (tmp_path / "evilmod.py").write_text(EVIL[kind])
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fdplug]\nevil = evilmod\n")
    done = run(tmp_path, "plugins", "--json")
    assert "Traceback" not in done.stderr, done.stderr
    failures = json.dumps(json.loads(done.stdout))
    assert "evil" in failures
    assert "paper" in failures
