"""`fdplug env` says what is installed."""

from __future__ import annotations

import importlib.metadata
import json
import platform

import torch

from fdplug.commands.env import main


def test_it_names_versions_hardware_and_plugins(capsys, monkeypatch):
    monkeypatch.setenv("FDPLUG_BLOCK", "tome")
    assert main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["python"] == platform.python_version()
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    assert found["hardware"]["threads"] == torch.get_num_threads()
    assert found["variables"]["FDPLUG_BLOCK"] == "tome"
    assert not any(name.startswith("fdplug-tome") for name in found["plugins"])


def test_the_table_holds_the_same(capsys):
    assert main(["--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["| what | value |", "|---|---|"]
    assert f"| diffusers | {importlib.metadata.version('diffusers')} |" in lines
    assert main([]) == 0
    plain = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["diffusers", importlib.metadata.version("diffusers")] in plain
