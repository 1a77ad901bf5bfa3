"""Plugins that do what no plugin should: left out by name, and the command goes on."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import warnings

import pytest

from fdplug.plugins import new_plugin_manager

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
    "interrupts": "raise KeyboardInterrupt",
    "silences": "import sys, os\nsys.stdout = sys.stderr = open(os.devnull, 'w'); raise ValueError",
    "hides warnings": "import warnings\nwarnings.simplefilter('ignore'); raise ValueError",
    "raises warnings": "import warnings\nwarnings.simplefilter('error'); raise ValueError",
    "heeds no signals": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN); raise ValueError",
    "goes elsewhere": "import os\nos.chdir('/'); raise ValueError",
    "forks": "import os\nos.fork(); raise ValueError",
    "forks and exits": "import os, sys\nif os.fork(): raise ValueError\nsys.exit(3)",
    "starts a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=[300]).start()\n1 / 0",
    "seeds": "import random\nrandom.seed(0); raise ValueError",
    "hook interrupts": "import fdplug\n@fdplug.hookimpl\ndef fdplug_key_step_policies():\n    raise KeyboardInterrupt",
    "hook yields a number": "import fdplug\n@fdplug.hookimpl\ndef fdplug_key_step_policies():\n    yield 5",
}


def run(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{os.getcwd()}", "FDPLUG_PLUGINS": "evil"}
    command = [sys.executable, "-W", "default", "-m", "fdplug", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)


def install(folder, code):
    """Put a distribution of one plugin into a folder of the path."""
    info = folder / "evil-1.0.dist-info"
    info.mkdir()
    (folder / "evilmod.py").write_text(code)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fdplug]\nevil = evilmod\n")


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVIL)
def test_a_plugin_that_misbehaves_is_left_out_and_named(kind, tmp_path):
    install(tmp_path, EVIL[kind])
    done = run(tmp_path, "plugins", "--json")
    assert "Traceback" not in done.stderr, done.stderr
    failures = json.dumps(json.loads(done.stdout))
    assert "evil" in failures
    assert "paper" in failures


MEDDLES = """
import logging, os, random, signal, sys, warnings
sys.stdout = sys.stderr = open(os.devnull, "w")
warnings.simplefilter("ignore")
warnings.showwarning = lambda *args, **kwargs: None
warnings.filterwarnings("ignore", message="mine")
logging.disable(logging.CRITICAL)
signal.signal(signal.SIGINT, signal.SIG_IGN)
random.seed(0)
os.chdir("/")
"""


def meddling():
    """What a plugin may not change for everybody."""
    filters = [one for one in warnings.filters if one[1] is None or one[1].pattern != "mine"]
    streams, signals = (sys.stdout, sys.stderr), signal.getsignal(signal.SIGINT)
    return streams, filters, warnings.showwarning, logging.root.manager.disable, signals, random.getstate(), os.getcwd()


def test_a_plugin_that_meddles_as_it_is_loaded_changes_nothing(tmp_path, monkeypatch):
    install(tmp_path, MEDDLES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FDPLUG_PLUGINS", "evil")
    monkeypatch.delitem(sys.modules, "evilmod", raising=False)
    before = meddling()
    with warnings.catch_warnings():
        manager = new_plugin_manager()
        assert meddling() == before
        assert any(one[1] is not None and one[1].pattern == "mine" for one in warnings.filters)
    assert manager.has_plugin("evil")


def test_an_interrupt_is_no_failure_of_the_plugin_that_is_loaded(tmp_path, monkeypatch):
    """It names the plugin, and how to do without; one that raises it by itself is left out."""
    install(tmp_path, "import signal; signal.raise_signal(signal.SIGINT)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FDPLUG_PLUGINS", "evil")
    monkeypatch.delitem(sys.modules, "evilmod", raising=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    named = r"while plugin 'evil' of evil 1\.0 was loaded, which FDPLUG_BLOCK=evil leaves out"
    try:
        with pytest.raises(KeyboardInterrupt, match=named):
            new_plugin_manager()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
