"""Loading installed plugins: real entry points in hand-written dist-info folders, and the command that lists them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from fdplug import plugins, registry
from fdplug.errors import PluginWarning

POLICY = """
import fdplug
from fdplug.policies import KeyStepPolicy

class Mine(KeyStepPolicy):
    "Only the first step."
    name = "{name}"
    def key_steps(self, schedule):
        return frozenset({{0}})

@fdplug.hookimpl
def fdplug_key_step_policies():
    yield Mine
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that makes a distribution with one entry point, as if pip had installed it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("FDPLUG_PLUGINS", raising=False)

    def add(dist, module, code, version="1.0"):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[fdplug]\n{module} = {module}\n")

    return add


def test_an_installed_plugin_is_found(install):
    install("fdplug-mine", "mine_plugin", POLICY.format(name="mine"))
    found = registry.entries("policy", plugins.new_plugin_manager())
    assert found["mine"].provider == "fdplug-mine 1.0"
    assert next(iter(found)) == "all", "built-ins come first"


@pytest.mark.parametrize(
    "metadata", [None, "", "Metadata-Version: 2.1\nName: fdplug-half\n"], ids=["no", "empty", "short"]
)
def test_a_distribution_that_is_half_removed_stops_nobody(install, tmp_path, metadata):
    install("fdplug-half", "half_plugin", POLICY.format(name="half"))
    file = tmp_path / "fdplug_half-1.0.dist-info" / "METADATA"
    file.unlink()
    if metadata is not None:
        file.write_text(metadata)
    found = registry.entries("policy", plugins.new_plugin_manager())
    assert "half" in found["half"].provider
    assert "None" not in found["half"].provider


def test_entry_points_that_are_no_text_are_left_out_and_named(install, tmp_path):
    install("fdplug-torn", "torn_plugin", POLICY.format(name="torn"))
    (tmp_path / "fdplug_torn-1.0.dist-info" / "entry_points.txt").write_bytes(b"[fdplug]\n\xff\xfe = x\n")
    with pytest.warns(PluginWarning, match=r"of fdplug-torn 1\.0 is left out: UnicodeDecodeError"):
        manager = plugins.new_plugin_manager()
    assert "paper" in registry.entries("policy", manager)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemError('dead')", "SystemError: dead"),
        ("x = = 1", "SyntaxError"),
        (
            "import fdplug\n@fdplug.hookimpl\ndef fdplug_policies():\n    return []",
            "unknown hook 'fdplug_policies', did you mean",
        ),
    ],
    ids=["import", "raise", "syntax", "misspelt"],
)
def test_a_broken_plugin_is_a_warning_and_stops_nobody(install, code, reason):
    install("fdplug-broken", "broken_plugin", code)
    install("fdplug-good", "good_plugin", POLICY.format(name="good"))
    with pytest.warns(PluginWarning, match="'broken_plugin' of fdplug-broken 1.0 is left out"):
        manager = plugins.new_plugin_manager()
    assert reason in manager.failures[0].reason
    assert "good" in registry.entries("policy", manager)


def test_the_environment_chooses_distributions(install, monkeypatch):
    install("fdplug-one", "one_plugin", POLICY.format(name="one"))
    install("fdplug-two", "two_plugin", POLICY.format(name="two"))

    def loaded():
        return {"one", "two"} & set(registry.entries("policy", plugins.new_plugin_manager()))

    assert loaded() == {"one", "two"}
    monkeypatch.setenv("FDPLUG_PLUGINS", "fdplug-two")
    assert loaded() == {"two"}
    monkeypatch.setenv("FDPLUG_PLUGINS", "")
    assert loaded() == set()
    monkeypatch.delenv("FDPLUG_PLUGINS")
    monkeypatch.setenv("FDPLUG_BLOCK", "two_plugin")
    assert loaded() == {"one"}


def test_hook_calls_can_be_traced(install, monkeypatch, capsys):
    install("fdplug-one", "one_plugin", POLICY.format(name="one"))
    monkeypatch.setenv("FDPLUG_TRACE", "1")
    monkeypatch.setenv("FDPLUG_PLUGINS", "fdplug-one")
    plugins.new_plugin_manager().hook.fdplug_key_step_policies()
    assert (
        "fdplug: fdplug_key_step_policies() -> fdplug.policies, fdplug.builtin.tuned, one_plugin"
        in capsys.readouterr().err
    )


def run(*arguments, path, **environment):
    variables = {**os.environ, "PYTHONPATH": str(path), **environment}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=variables, check=False)


def test_the_command_lists_everything_without_torch(install, tmp_path):
    """Names, kinds, providers, versions, options, failures and clashes; and not one heavy import."""
    install("fdplug-mine", "mine_plugin", POLICY.format(name="mine"))
    install("fdplug-rival", "rival_plugin", POLICY.format(name="paper"))
    install("fdplug-broken", "broken_plugin", "import no_such_module")
    code = (
        "import sys; sys.argv = ['fdplug', 'plugins', '--json']; from fdplug.cli import main; code = main(); "
        "heavy = {'torch', 'diffusers', 'lightning', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy; sys.exit(code)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "FDPLUG_PLUGINS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1, done.stderr
    listing = json.loads(done.stdout)
    mine = next(one for one in listing["plugins"] if one["name"] == "mine")
    assert mine == {
        "kind": "policy",
        "name": "mine",
        "provider": "fdplug-mine",
        "version": "1.0",
        "class": "mine_plugin.Mine",
        "options": {},
        "summary": "Only the first step.",
    }
    prior = next(one for one in listing["plugins"] if one["name"] == "prior")
    assert prior["options"] == {"alpha": 0.003, "tau": 0.5}
    reasons = {one["plugin"]: one["reason"] for one in listing["failures"]}
    assert "No module named 'no_such_module'" in reasons["broken_plugin"]
    assert "several policies are named 'paper'" in reasons["fdplug.policies"]


def test_the_table_names_every_plugin(capsys):
    from fdplug.commands.plugins import main

    assert main([]) == 0
    out = capsys.readouterr().out
    for kind in registry.KINDS:
        for name in registry.names(kind):
            assert any(line.startswith(f"{name} ") for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "usage: fdplug COMMAND"),
        (["--help"], 0, "list what is installed"),
        (["--version"], 0, "fdplug 0."),
        (["preditc"], 2, "no command 'preditc', did you mean 'predict'? commands are predict, compare"),
    ],
)
def test_the_command_line(arguments, code, text, tmp_path):
    done = run("-m", "fdplug", *arguments, path=tmp_path)
    assert done.returncode == code
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_public_list_is_exact_and_sorted():
    import fdplug

    assert fdplug.__all__ == sorted(fdplug.__all__)
    assert all(getattr(fdplug, name) for name in fdplug.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fdplug.nothing  # noqa: B018
