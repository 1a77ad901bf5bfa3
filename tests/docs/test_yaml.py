"""The YAML of every page is taken by the command that it is for."""

from __future__ import annotations

import pytest
import yaml

from fdplug.commands.predict import main
from fdplug.errors import ConfigError
from tests.docs.test_docs import PAGES, ROOT, fences

PARTS = {"model", "data", "trainer", "writer"}


def documents():
    """Yield every document that `fdplug predict --config` is to be given, named by its page and place."""
    for page in PAGES:
        for line, code in fences(page, "yaml"):
            for number, held in enumerate(yaml.safe_load_all(code)):
                if isinstance(held, dict) and set(held) <= PARTS:
                    yield pytest.param(held, id=f"{page.relative_to(ROOT)}:{line}:{number}")


@pytest.mark.parametrize("held", list(documents()))
def test_predict_takes_it(held, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(held))
    with pytest.raises(SystemExit) as finished:
        main(["--config", "run.yaml", "--print_config"])
    printed = capsys.readouterr()
    assert finished.value.code == 0, printed.err
    taken = yaml.safe_load(printed.out)
    for part, settings in held.items():
        if part != "data" or "class_path" not in settings:
            assert set(settings) <= set(taken[part].get("init_args", taken[part]))


def test_yaml_that_predict_does_not_take_is_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("model: {stepps: 20}\n")
    with pytest.raises(ConfigError, match="no option 'stepps'"):
        main(["--config", "run.yaml", "--print_config"])
