"""Where things live: few files a folder, one job each, and a folder of tests for every package."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = 14  # modules a folder, its `__init__.py` not counted: about a dozen
ENTRIES = 44  # files and folders in the root of the package

# Folders with more, as every file there is one of a kind.
ONE_OF_A_KIND = {
    "fdplug": "what users and plugin authors import",
    "fdplug/caches": "a cache",
    "fdplug/commands": "a command",
    "fdplug/commands/options": "the options of a command",
    "fdplug/denoisers": "a denoiser family",
    "fdplug/policies": "a policy",
    "fdplug/scores": "a score",
    "fdplug/testing/systems": "systems of a kind",
}


def folders(root):
    """Return every folder of the package with modules in it, by its name."""
    return {str(file.parent.relative_to(root)): file.parent for file in (root / "fdplug").rglob("*.py")}


def crowded(root, allowed):
    """Return a line for every folder that holds too many modules."""
    counts = {name: len(set(folder.glob("*.py")) - {folder / "__init__.py"}) for name, folder in folders(root).items()}
    return [
        f"{name} holds {count} modules, at most {FILES} are easy to find one's way in: split it by what they do"
        for name, count in sorted(counts.items())
        if count > FILES and name not in allowed
    ]


def homeless(root):
    """Return a line for every package whose tests have no folder of their own."""
    packages = sorted(file.parent for file in (root / "fdplug").glob("*/__init__.py"))
    packages += sorted(file.parent for file in (root / "fdplug" / "predict").glob("*/__init__.py"))
    homes = {package: root / "tests" / package.relative_to(root / "fdplug") for package in packages}
    return [
        f"{package.relative_to(root)} has no tests of its own: write {home.relative_to(root)}/test_*.py"
        for package, home in homes.items()
        if not list(home.rglob("test_*.py"))
    ]


def test_folders_are_small():
    assert not crowded(ROOT, ONE_OF_A_KIND)


def test_the_root_holds_what_users_and_plugin_authors_import():
    entries = [path.name for path in (ROOT / "fdplug").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= ENTRIES, f"{len(entries)} entries: {', '.join(sorted(entries))}"


def test_every_package_has_a_folder_of_tests():
    assert not homeless(ROOT)


@pytest.fixture
def tree(tmp_path):
    """A package with one folder of too many files, and tests for one of its two packages."""
    for package in ("big", "small"):
        (tmp_path / "fdplug" / package).mkdir(parents=True)
        (tmp_path / "fdplug" / package / "__init__.py").touch()
    for number in range(FILES + 1):
        (tmp_path / "fdplug" / "big" / f"module_{number}.py").touch()
    (tmp_path / "tests" / "small").mkdir(parents=True)
    (tmp_path / "tests" / "small" / "test_one.py").touch()
    return tmp_path


def test_a_crowded_folder_is_found(tree):
    (line,) = crowded(tree, {})
    assert line.startswith(f"fdplug/big holds {FILES + 1} modules")
    assert not crowded(tree, {"fdplug/big": "a number"})


def test_a_package_without_tests_is_found(tree):
    assert homeless(tree) == ["fdplug/big has no tests of its own: write tests/big/test_*.py"]
