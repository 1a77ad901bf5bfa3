"""What an extra brings and is not installed is named in one line, before anything is loaded."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from fdplug import checks, cli
from fdplug.errors import ConfigError
from fdplug.predict.data.prompts import read_prompts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `fdplug` with some packages missing; return the exit code and what it printed to stderr."""

    def run(missing, *argv):
        for name in missing:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setattr(sys, "argv", ["fdplug", *map(str, argv)])
        return cli.main(), capsys.readouterr().err

    return run


def test_analyze_without_matplotlib(command, tmp_path):
    code, printed = command(["matplotlib"], "analyze", "--out", tmp_path / "out")
    assert (code, printed) == (2, "fdplug analyze: fdplug analyze needs matplotlib: pip install 'fdplug[figures]'\n")
    assert not (tmp_path / "out").exists()


def test_fid_without_its_packages(command, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (8, 8)).save(pictures / "1.png")
    given = ["evaluate", pictures, "--real-images", pictures, "--scores", "fid"]
    code, printed = command(["torch_fidelity", "torchvision"], *given)
    assert code == 2
    assert printed.count("\n") == 1
    assert "needs torch_fidelity and torchvision: pip install 'fdplug[fid]'" in printed


def test_parquet_without_pyarrow(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"p.parquet: parquet needs pyarrow: pip install 'fdplug\[parquet\]'"):
        read_prompts(tmp_path / "p.parquet")


def test_help_needs_no_extra(command):
    with pytest.raises(SystemExit, match="0"):
        command(["matplotlib"], "analyze", "--help")


def test_what_is_installed_passes():
    checks.installed("a test", "none", "pytest", "torch")
    with pytest.raises(ConfigError, match=r"a test needs no_such_package: pip install 'fdplug\[none\]', or not"):
        checks.installed("a test", "none", "pytest", "no_such_package", otherwise=", or not")


def extras_named_in_the_code():
    """Yield every extra that a call of `checks.installed` names, and every `fdplug[EXTRA]` in a text."""
    for file in [*ROOT.glob("fdplug/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "installed":
                yield ast.literal_eval(node.args[1])
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from re.findall(r"fdplug\[(\w+)\]", node.value)


def test_every_extra_that_is_named_exists():
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set(extras_named_in_the_code())
    assert {"figures", "parquet", "fid", "benchmarks"} <= named <= set(offered)
