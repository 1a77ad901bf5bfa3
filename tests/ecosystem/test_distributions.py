"""The distributions under `plugins/`: installed for real, importing only what is public, stacking as they say."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import fdplug
from fdplug import hookspecs, plugins, propagate, registry
from fdplug.errors import PluginWarning, StackError
from fdplug.plugins import check_contract
from fdplug.testing import latents
from tests.ecosystem.conftest import DISTRIBUTIONS, PLUGINS

PUBLIC = {
    "policies",
    "caches",
    "injectors",
    "samplers",
    "denoisers",
    "transforms",
    "parts",
    "scores",
    "guidance",
    "schedule",
    "stacking",
    "patching",
    "trees",
    "pipeline",
    "checks",
    "errors",
    "testing",
}
PROVIDED = {
    "fdplug-adaptive": {"adaptive", "third-difference"},
    "fdplug-blockcache": {"attentions", "blockcache"},
    "fdplug-deepcache": {"deepcache", "deepcache-non-uniform"},
    "fdplug-earlystop": {"earlystop"},
    "fdplug-fastercache": {"fastercache"},
    "fdplug-forecast": {"forecast"},
    "fdplug-offload": {"offload"},
    "fdplug-paradigms": {"paradigms"},
    "fdplug-quantize": {"quantize"},
    "fdplug-residual": {"after-first-block", "all-blocks", "easycache", "fbcache", "magcache"},
    "fdplug-rewards": {"hps", "pickscore"},
    "fdplug-tome": {"tome"},
}


def settings_of(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())


def entry_points(folder):
    return settings_of(folder)["project"]["entry-points"]["fdplug"]


def imports(path):
    """Yield every module, and every name of a module, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_is_missing_here():
    assert {folder.name for folder in DISTRIBUTIONS} == set(PROVIDED)
    index = (PLUGINS / "README.md").read_text()
    assert all(f"({name}/README.md)" in index for name in PROVIDED)


def test_a_distribution_is_complete(distribution):
    project = settings_of(distribution)["project"]
    assert project["name"] == distribution.name
    assert project["entry-points"]["fdplug"]
    assert f"pip install {project['name']}" in (distribution / "README.md").read_text()
    assert list((distribution / "tests").glob("test_*.py"))
    for module in project["entry-points"]["fdplug"].values():
        source = (distribution / f"{module}.py").read_text()
        stated = re.search(r'^FDPLUG_CONTRACT = "(.+)"$', source, re.MULTILINE)
        assert stated, f"{module} does not state the contract that it was written for"
        check_contract(SimpleNamespace(FDPLUG_CONTRACT=stated[1]))


def test_a_distribution_imports_only_what_is_public(distribution):
    allowed = {f"fdplug.{name}" for name in PUBLIC}
    for path in distribution.rglob("*.py"):
        for name in imports(path):
            if name.split(".")[0] != "fdplug" or name == "fdplug":
                continue
            module = ".".join(name.split(".")[:2])
            assert module in allowed or name.removeprefix("fdplug.") in fdplug.__all__, f"{path.name} imports {name}"
            assert not name.rpartition(".")[2].startswith("_"), f"{path.name} imports {name}"


def test_the_contract_names_what_is_public():
    assert all(f"`{name}`" in hookspecs.__doc__ or f"`fdplug.{name}`" in hookspecs.__doc__ for name in PUBLIC)


def test_fdplug_never_imports_a_plugin():
    modules = {
        module
        for folder in DISTRIBUTIONS
        for module in settings_of(folder)["project"]["entry-points"]["fdplug"].values()
    }
    for path in Path(fdplug.__file__).parent.rglob("*.py"):
        assert not modules & {name.split(".")[0] for name in imports(path)}, path


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    """A folder with the metadata of every distribution, as if pip had installed it where it lies."""
    root = tmp_path_factory.mktemp("site")
    for folder in DISTRIBUTIONS:
        project = settings_of(folder)["project"]
        info = root / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        entries = "\n".join(f"{key} = {value}" for key, value in project["entry-points"]["fdplug"].items())
        (info / "entry_points.txt").write_text(f"[fdplug]\n{entries}\n")
    return root


@pytest.fixture
def installed(metadata, monkeypatch):
    """The process's manager, with every distribution."""
    for path in (*DISTRIBUTIONS, metadata):
        monkeypatch.syspath_prepend(str(path))
    monkeypatch.setenv("FDPLUG_PLUGINS", ",".join(PROVIDED))
    manager = plugins.new_plugin_manager()
    monkeypatch.setattr(registry, "get_plugin_manager", lambda: manager)
    return manager


def listed(*paths, **environment):
    """Run `fdplug plugins --json`; return what it says, and what it imported of the heavy ones."""
    code = (
        "import sys; sys.argv = ['fdplug', 'plugins', '--json']; from fdplug.cli import main; code = main(); "
        "print({'torch', 'diffusers', 'numpy'} & set(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    variables = {key: value for key, value in os.environ.items() if key != "FDPLUG_PLUGINS"}
    variables |= {"PYTHONPATH": os.pathsep.join(map(str, paths)), **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=False)
    return json.loads(done.stdout), done.stderr, done.returncode


def providers(listing):
    found = {}
    for one in listing["plugins"]:
        found.setdefault(one["provider"], set()).add(one["name"])
    return {name: names for name, names in found.items() if name in PROVIDED}


def test_all_are_listed_without_torch(metadata):
    listing, errors, code = listed(metadata, *DISTRIBUTIONS, FDPLUG_PLUGINS=",".join(PROVIDED))
    assert code == 0, errors
    assert providers(listing) == PROVIDED
    assert "set()" in errors


def pip():
    """The command for this environment's pip; where it has none, that of the Python behind it."""
    own = importlib.util.find_spec("pip")
    return [sys.executable, "-m", "pip"] if own else [sys._base_executable, "-m", "pip", "--python", sys.executable]


def test_pip_installs_every_distribution(tmp_path):
    """A real build and a real installation, without network."""
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
    ]
    folders = [str(folder) for folder in DISTRIBUTIONS]
    done = subprocess.run(
        [*command, "--no-build-isolation", "--no-compile", "--target", str(tmp_path), *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(PLUGINS.glob("*/dist")), "the source folders must stay as they are"
    listing, errors, code = listed(tmp_path, FDPLUG_PLUGINS=",".join(PROVIDED))
    assert code == 0, errors
    assert providers(listing) == PROVIDED
    assert {one["version"] for one in listing["plugins"] if one["provider"] in PROVIDED} == {"0.2.0"}


def test_one_may_be_chosen_or_left_out(metadata, monkeypatch):
    for path in (*DISTRIBUTIONS, metadata):
        monkeypatch.syspath_prepend(str(path))
    monkeypatch.setenv("FDPLUG_PLUGINS", "fdplug-tome,fdplug-forecast")
    monkeypatch.setenv("FDPLUG_BLOCK", "forecast")
    manager = plugins.new_plugin_manager()
    assert "tome" in registry.entries("transform", manager)
    assert "forecast" not in registry.entries("cache", manager)
    assert "adaptive" not in registry.entries("policy", manager)


def test_broken_clashing_and_outdated_plugins_stop_none_of_them(metadata, tmp_path, monkeypatch):
    rival = "import fdplug_forecast, fdplug\nclass Rival(fdplug_forecast.Forecast):\n    'Another.'\n"
    rival += "@fdplug.hookimpl\ndef fdplug_feature_caches():\n    return [Rival]\n"
    sources = {"broken": "1 / 0", "outdated": "FDPLUG_CONTRACT = '9.0'", "rival": rival}
    for name, source in sources.items():
        (tmp_path / f"{name}_one.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fdplug]\n{name} = {name}_one\n")
    chosen = ",".join([*PROVIDED, *sources])
    listing, errors, code = listed(tmp_path, metadata, *DISTRIBUTIONS, FDPLUG_PLUGINS=chosen)
    assert code == 1, errors
    assert providers(listing) == PROVIDED
    reasons = {one["plugin"]: one["reason"] for one in listing["failures"]}
    assert "ZeroDivisionError" in reasons["broken"]
    assert "written for contract 9.0" in reasons["outdated"]
    assert "several caches are named 'forecast'" in reasons["forecast"]
    for path in (*DISTRIBUTIONS, metadata, tmp_path):
        monkeypatch.syspath_prepend(str(path))
    monkeypatch.setenv("FDPLUG_PLUGINS", chosen)
    with pytest.warns(PluginWarning) as warned:
        manager = plugins.new_plugin_manager()
    assert len(warned) == 2
    assert "adaptive" in registry.entries("policy", manager)


STACKS = {
    "tome + propagation": {"transforms": ["tome"]},
    "forecast + propagation": {"cache": {"forecast": {"order": 2}}},
    "tome + forecast + adaptive": {
        "transforms": [{"tome": {"ratio": 0.25}}],
        "cache": "forecast",
        "policy": {"adaptive": {"threshold": 0.3}},
    },
    "deepcache + tome": {"part": "deepcache", "transforms": ["tome"], "policy": {"uniform": {"interval": 3}}},
    "deepcache + offload": {
        "part": {"deepcache": {"branch": 1}},
        "cache": {"offload": {"code": "int8"}},
        "policy": {"deepcache-non-uniform": {"count": 4}},
    },
    "deepcache + forecast": {"part": "deepcache", "cache": "forecast", "policy": {"uniform": {"interval": 3}}},
    "deepcache + adaptive": {"part": "deepcache", "policy": {"adaptive": {"threshold": 0.3}}},
    "paradigms + tome": {
        "policy": "all",
        "injector": "none",
        "transforms": ["tome", {"paradigms": {"window": 4}}],
    },
    "fastercache + propagation": {"guidance": {"fastercache": {"every": 2}}},
    "earlystop + tome + forecast": {
        "injector": "none",
        "policy": {"uniform": {"interval": 2}},
        "cache": "forecast",
        "transforms": ["tome", {"earlystop": {"steps": 3}}],
    },
    "attentions + forecast": {"part": "attentions", "cache": "forecast", "policy": {"uniform": {"interval": 3}}},
}


@pytest.mark.parametrize("settings", STACKS.values(), ids=STACKS)
def test_methods_stack_by_name(installed, pipe, settings):
    """Each stack runs, changes the images, repeats itself, and is undone exactly."""
    plain = latents(pipe)
    with propagate(pipe, **settings) as handle:
        changed = latents(pipe)
        assert len(handle.ledger.key_steps) < 10 or settings["policy"] == "all"
        assert changed.isfinite().all()
        assert torch.equal(latents(pipe), changed)
    assert torch.equal(latents(pipe), plain)
    assert not torch.equal(changed, plain)


def test_deepcache_and_blockcache_are_refused_with_a_reason(installed, pipe, tmp_path):
    changes = {
        "model": "UNet2DConditionModel",
        "num_steps": 2,
        "runs": 1,
        "changes": {"down_blocks.0.attentions.0": [0, 1]},
    }
    (tmp_path / "changes.json").write_text(json.dumps(changes))
    policy = {"blockcache": {"file": str(tmp_path / "changes.json")}}
    with pytest.raises(StackError, match=r"policy 'blockcache' needs 'transformer-blocks', .* take part='attentions'"):
        propagate(pipe, part="deepcache", policy=policy)
    with propagate(pipe, part="attentions", policy=policy):
        latents(pipe)
