"""What the pages name is there: files, modules, commands; and the drawing of the layers is that of the test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fdplug.cli import COMMANDS
from tests.test_layers import LAYERS

ROOT = Path(__file__).parents[2]
CONTRIBUTING, ARCHITECTURE = ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", CONTRIBUTING])
FOLDERS = ("fdplug", "tests", "docs", "plugins", "benchmarks")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`")
MODULE = re.compile(r"python -m ((?:fdplug|benchmarks|pages)[\w.]*)")


def paths(text):
    """The files and folders of the repository that a text names as code."""
    return set(PATH.findall(text))


def missing(text):
    """What a text names that is not there: files and folders, and modules to be run."""
    files = {name for name in paths(text) if not (ROOT / name).exists()}
    modules = {name: ROOT / name.replace(".", "/") for name in MODULE.findall(text)}
    return sorted(files | {name for name, at in modules.items() if not (at.is_dir() or at.with_suffix(".py").exists())})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_module_that_is_named_exists(page):
    assert not missing(page.read_text())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("`fdplug/lookup.py` and `python -m fdplug.testing.systems.table`", []),
        ("`fdplug/gone.py`", ["fdplug/gone.py"]),
        ("`tests/gone/`", ["tests/gone/"]),
        ("`python -m benchmarks.gone`", ["benchmarks.gone"]),
    ],
)
def test_a_name_of_nothing_is_found(text, found):
    assert missing(text) == found


@pytest.mark.parametrize("page", [CONTRIBUTING, ARCHITECTURE], ids=lambda page: page.name)
def test_the_pages_about_the_code_name_files(page):
    assert len(paths(page.read_text())) > 20


def test_the_house_names_every_package():
    table = CONTRIBUTING.read_text().partition("## The house")[2].partition("Imports run one way")[0]
    packages = [file.parent for file in (ROOT / "fdplug").glob("*/__init__.py")]
    packages += [file.parent for file in (ROOT / "fdplug" / "predict").glob("*/__init__.py")]
    names = {str(package.relative_to(ROOT / "fdplug")) for package in packages} - {"predict"}
    assert names <= set(re.findall(r"`([\w/]+)/`", table)), "name the package in the table under 'The house'"


def test_the_drawing_of_the_layers_is_that_of_the_test():
    drawing = "\n   |\n".join("  ".join(layer) for layer in reversed(LAYERS))
    shown = re.search(r"```text\n(.*?)\n```", CONTRIBUTING.read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == drawing, f"CONTRIBUTING.md draws other layers than LAYERS; paste:\n{drawing}"


def test_the_table_of_commands_has_them_all():
    listed = re.findall(r"^\| `fdplug ([a-z-]+)", (ROOT / "docs" / "command-line.md").read_text(), re.MULTILINE)
    assert set(listed) == set(COMMANDS)


def test_every_variable_of_the_environment_is_explained():
    page = (ROOT / "docs" / "environment.md").read_text()
    files = [*(ROOT / "fdplug").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    named = {name for file in files for name in re.findall(r"FDPLUG_(?!CONTRACT)[A-Z]+", file.read_text())}
    assert named == set(re.findall(r"`(FDPLUG_[A-Z]+)`", page))
