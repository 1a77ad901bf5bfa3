"""A configuration reaches registered plugins by their names, and nothing else by ours."""

from __future__ import annotations

import sys

import pytest

from fdplug.commands.predict import main
from fdplug.errors import ConfigError
from fdplug.predict import TextToImage

HOSTILE = [
    "evil.Evil",
    "evil:Evil",
    {"evil.Evil": {}},
    {"name": "evil.Evil"},
    {"class_path": "evil.Evil"},
    {"class_path": "evil.Evil", "init_args": {"name": "uniform"}},
    {"name": "uniform", "interval": {"class_path": "evil.Evil"}},
]


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module on the path that shows when it is imported."""
    (tmp_path / "evil.py").write_text("class Evil:\n    name = 'uniform'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    assert "evil" not in sys.modules


@pytest.mark.parametrize("spec", HOSTILE, ids=str)
@pytest.mark.parametrize("kind", ["policy", "cache", "injector", "sampler"])
def test_a_plugin_is_named_by_registered_names_only(model, evil, kind, spec):
    with pytest.raises(ConfigError):
        TextToImage(model, **{kind: spec})


@pytest.mark.parametrize("spec", HOSTILE[:-1], ids=str)
def test_so_are_transforms(model, evil, spec):
    with pytest.raises(ConfigError):
        TextToImage(model, transforms=[spec])


@pytest.mark.parametrize(
    "text",
    [
        "model: {policy: {class_path: evil.Evil}}",
        "model: {sampler: {class_path: evil.Evil, init_args: {}}}",
        "model: {transforms: [{class_path: evil.Evil}]}",
        "model: !!python/object/new:evil.Evil {}",
        "model: {model: !!python/name:evil.Evil ''}",
        "writer: {folder: !!python/object/apply:os.getcwd []}",
        "model: {class_path: evil.Evil}",
    ],
)
def test_a_file_imports_nothing_through_our_settings(tmp_path, evil, text):
    config = tmp_path / "hostile.yaml"
    config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        main(["--config", str(config), f"--writer.folder={tmp_path / 'out'}"])
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
