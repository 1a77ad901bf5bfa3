"""The release as strangers get it: archives built, checked, and installed in an environment outside of the repository.

Nothing is downloaded: what fdplug needs is linked from the environment of the tests, and nothing else is there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: [Requirement(one) for one in listed] for name, listed in PROJECT["optional-dependencies"].items()}
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
PINS = {canonicalize_name(name): version for name, version in PINNED.items()}
FOR_USERS = ("figures", "optimize", "parquet", "fid", "loggers", "demo", "notebooks")


def ran(*command, cwd, **environment):
    """What a command prints; it has to succeed, and sees nothing of the repository."""
    hidden = ("PYTHONPATH", "FDPLUG_PLUGINS", "FDPLUG_BLOCK")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def closure(requirements):
    """The installed distributions that requirements lead to, by name; fdplug itself is left out."""
    found, left = {}, list(requirements)
    while left:
        one = left.pop()
        name = canonicalize_name(one.name)
        if name.startswith("fdplug") or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        known = name in found
        found[name] = metadata.distribution(name)
        wanted = [Requirement(text) for text in found[name].requires or ()]
        if not known:
            left += [need for need in wanted if not need.marker or need.marker.evaluate({"extra": ""})]
        for extra in one.extras:
            left += [
                need
                for need in wanted
                if need.marker and need.marker.evaluate({"extra": extra}) and not need.marker.evaluate({"extra": ""})
            ]
    return found


def linked(distributions, folder):
    """Link the files of distributions, and no others, into a folder."""
    folder.mkdir()
    for one in distributions:
        for top in {Path(str(file)).parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            place = Path(one.locate_file(top)).resolve()
            if place.exists() and not (folder / top).exists():
                (folder / top).symlink_to(place)
    return folder


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_constraints_meet_what_is_required(extra):
    for one in EXTRAS[extra] if extra else map(Requirement, PROJECT["dependencies"]):
        name = canonicalize_name(one.name)
        if name in PINS:
            assert one.specifier.contains(PINS[name]), f"{one} and {name}=={PINS[name]}"


def test_constraints_can_all_be_met():
    """By what is installed here: no package is pinned that another one, as pinned, cannot be installed beside."""
    assert len(PINS) == len(PINNED), "a package is listed twice"
    for one in metadata.distributions():
        if PINS.get(canonicalize_name(one.name)) != one.version:
            continue
        for need in map(Requirement, one.requires or ()):
            version = PINS.get(canonicalize_name(need.name))
            if version and (not need.marker or need.marker.evaluate({"extra": ""})):
                assert need.specifier.contains(version), f"{one.name} {one.version} needs {need}, not {version}"


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A source archive of every distribution, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("archives")
    for folder in FOLDERS:
        ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, folder, cwd=out)
    return out


@pytest.fixture(scope="module")
def environment(archives, tmp_path_factory):
    """An environment with all wheels, and of other packages only what fdplug alone requires; returns its Python."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home / "venv", with_pip=False, symlinks=True)
    python = home / "venv" / "bin" / "python"
    (site,) = (home / "venv").glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
    ran(*install, *archives.glob("*.whl"), cwd=home)
    base = linked(closure(map(Requirement, PROJECT["dependencies"])).values(), home / "base")
    (site / "base.pth").write_text(f"{base}\n")
    return python


@pytest.mark.slow
def test_every_distribution_is_built_and_described(archives):
    pytest.importorskip("twine", reason="twine is not installed: pip install twine")
    assert len(list(archives.glob("*.whl"))) == len(list(archives.glob("*.tar.gz"))) == len(FOLDERS)
    printed = ran(sys.executable, "-m", "twine", "check", "--strict", *archives.iterdir(), cwd=archives)
    assert printed.count("PASSED") == 2 * len(FOLDERS)


@pytest.mark.slow
def test_fdplug_alone_makes_a_picture_outside_of_the_repository(environment, tmp_path):
    where = ran(environment, "-c", "import fdplug; print(fdplug.__file__, fdplug.__version__)", cwd=tmp_path)
    assert str(ROOT) not in where
    assert where.split()[1] == PROJECT["version"]
    prompt = "a small plain red circle on a gray background"
    ran(environment, "-m", "fdplug", "generate", prompt, "--steps", "4", "--out", "circle.png", cwd=tmp_path)
    assert (tmp_path / "circle.png").stat().st_size > 1000


@pytest.mark.slow
def test_the_plugins_are_those_that_were_installed(environment, tmp_path):
    told = json.loads(ran(environment, "-m", "fdplug", "plugins", "--json", cwd=tmp_path))
    names = {tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"] for folder in FOLDERS[1:]}
    missing = {"fdplug-tome"}  # it requires tomesd, which fdplug alone does not bring
    assert names - missing <= {one["provider"] for one in told["plugins"]}


@pytest.mark.slow
@pytest.mark.parametrize("extra", FOR_USERS)
def test_an_extra_brings_what_it_is_for(environment, extra, tmp_path):
    try:
        found = closure(EXTRAS[extra])
    except metadata.PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed: pip install 'fdplug[{extra}]'")
    more = linked(found.values(), tmp_path / "more")
    wanted = {canonicalize_name(one.name) for one in EXTRAS[extra]}
    modules = {
        module
        for module, owners in metadata.packages_distributions().items()
        if wanted & set(map(canonicalize_name, owners)) and module.isidentifier() and not module.startswith("_")
    }
    code = f"import sys; sys.path.append({str(more)!r}); import {', '.join(sorted(modules))}"
    ran(environment, "-W", "ignore", "-c", code, cwd=tmp_path)
