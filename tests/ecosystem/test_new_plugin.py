"""`fdplug new-plugin`: a distribution of every kind that passes its own tests, keeps to the style, and installs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest

from fdplug import registry
from fdplug.commands.new_plugin import main, write
from fdplug.errors import ConfigError
from fdplug.hookspecs import CONTRACT


def run(*command, cwd, **environment):
    variables = {**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": "", **environment}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, env=variables, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One distribution of every kind."""
    out = tmp_path_factory.mktemp("written")
    return {kind: write(f"new-{kind}", kind, out) for kind in registry.KINDS}


@pytest.mark.slow
def test_every_kind_passes_its_own_tests(written):
    folders = [str(folder) for folder in written.values()]
    code, out = run(
        "pytest", "-q", "-p", "no:cacheprovider", *folders, cwd=folders[0], PYTHONPATH=os.pathsep.join(folders)
    )
    assert code == 0, out
    assert " passed" in out


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(registry.KINDS))
def test_its_own_settings_find_and_run_its_tests(written, kind):
    code, out = run("pytest", "-q", "-p", "no:cacheprovider", cwd=written[kind])
    assert code == 0, out
    assert "passed" in out


def test_what_is_written_keeps_to_the_style(written):
    pytest.importorskip("ruff", reason="ruff is not installed")
    root = next(iter(written.values())).parent
    ours = os.path.join(os.path.dirname(__file__), "../../pyproject.toml")
    ignored = 'lint.per-file-ignores={"test_*"=["D100","D103"]}'
    code, out = run("ruff", "check", "--no-cache", "--config", ours, "--config", ignored, ".", cwd=root)
    assert code == 0, out
    code, out = run("ruff", "format", "--no-cache", "--check", "--config", ours, ".", cwd=root)
    assert code == 0, out


@pytest.mark.parametrize("kind", list(registry.KINDS))
def test_what_is_written_states_its_contract_and_imports_no_torch(written, kind):
    folder = written[kind]
    module = folder.name.replace("-", "_")
    code, out = run(
        "fdplug",
        "plugins",
        "--kind",
        kind,
        cwd=folder,
        PYTHONPATH=str(_announced(folder, module)),
        FDPLUG_PLUGINS=folder.name,
    )
    assert code == 0, out
    assert re.search(rf"^new-{kind} ", out, re.MULTILINE)
    assert f'FDPLUG_CONTRACT = "{CONTRACT}"' in (folder / f"{module}.py").read_text()
    settings = tomllib.loads((folder / "pyproject.toml").read_text())
    assert settings["project"]["entry-points"]["fdplug"] == {f"new-{kind}": module}


def _announced(folder, module):
    """Give the folder the metadata that installing would give it."""
    info = folder / f"{module}-0.1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[fdplug]\n{folder.name.removeprefix('fdplug-')} = {module}\n")
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mine", "small letters, digits and single hyphens, got 'Mine'"),
        ("a--b", "single hyphens"),
        ("fdplug-mine", "leave out 'fdplug-', .*: mine"),
        ("paper", r"there is a policy 'paper' of fdplug 0\..* already"),
    ],
)
def test_names_that_cannot_be(name, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        write(name, "policy", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path, capsys):
    assert main(["mine", "--kind", "policy", "--out", str(tmp_path)]) == 0
    assert "fdplug-mine && pytest" in capsys.readouterr().out
    (tmp_path / "fdplug-mine" / "fdplug_mine.py").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        main(["mine", "--kind", "cache", "--out", str(tmp_path)])
    assert (tmp_path / "fdplug-mine" / "fdplug_mine.py").read_text() == "mine"
