"""Imports run one way: every module imports from layers below its own, and files never in a circle.

All imports count: at the top of a file, inside functions and under `TYPE_CHECKING`. Modules that are found by their
names (the built-in plugins, the commands, the names that `fdplug` imports on first use) are no imports of the finder.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the bottom to the top; a unit is a module or package of fdplug (of fdplug.predict: a package of its own, too).
# A module imports from its own unit and from the layers below, never from a neighbour in its layer. "fdplug" and
# "predict" are the two faces: the `__init__.py` alone.
LAYERS = (
    ("errors", "hooks", "repeated", "schedule", "shapes", "space"),
    ("files",),
    ("checks", "patching", "predict.storage", "settings", "stacking", "trees"),
    ("caches", "denoisers", "guidance", "injectors", "policies", "profiling", "samplers"),
    ("parts", "propagation", "scores", "transforms"),
    ("hookspecs", "predict.data"),
    ("plugins",),
    ("registry",),
    ("config", "lookup"),
    ("presets",),
    ("builtin", "complexity", "pipeline", "suites"),
    ("fdplug", "testing"),
    ("cli", "predict.generation"),
    ("__main__", "analysis", "predict.comparison", "predict.lightning"),
    ("predict", "report", "tuning"),
    ("optimization",),
    ("commands",),
)


@dataclass(frozen=True)
class Arrow:
    """One import: module `start` imports module `end` in this line."""

    file: str
    line: int
    start: str
    end: str


def modules(root):
    """Return the file of every module under `root`/fdplug, by the module's name."""
    names = {file: ".".join(file.relative_to(root).with_suffix("").parts) for file in (root / "fdplug").rglob("*.py")}
    return {name.removesuffix(".__init__"): file for file, name in names.items()}


def imported(node, name, is_package):
    """Return the dotted names that an import statement of module `name` asks for."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parents = name.split(".")[: len(name.split(".")) - node.level + is_package]
        base = ".".join([*parents, *([base] if base else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def arrows(root):
    """Return all imports between modules of fdplug: of a name in a module, the module; of a package, its face."""
    files = modules(root)
    found = []
    for name, file in sorted(files.items()):
        for node in ast.walk(ast.parse(file.read_text())):
            for dotted in imported(node, name, file.name == "__init__.py"):
                words = dotted.split(".")
                ends = (".".join(words[:length]) for length in range(len(words), 0, -1))
                end = next((end for end in ends if end in files), None)
                if end is not None and end != name:
                    found.append(Arrow(str(file.relative_to(root)), node.lineno, name, end))
    return found


def unit(module, layers):
    """Return the unit of a module as the layers name it, or None."""
    named = {unit for layer in layers for unit in layer}
    words = module.split(".")[1:]
    if not words:
        return "fdplug"
    if words[0] == "predict":
        return ".".join(words[:2]) if ".".join(words[:2]) in named else None
    return words[0] if words[0] in named else None


def faults(root, layers=LAYERS):
    """Return a line for every import that does not run downwards, and for every unit without a layer."""
    height = {unit: level for level, layer in enumerate(layers) for unit in layer}
    homeless = sorted(module for module in modules(root) if unit(module, layers) is None)
    found = [f"{module} is in no layer: give it its place in LAYERS" for module in homeless]
    for arrow in arrows(root):
        start, end = unit(arrow.start, layers), unit(arrow.end, layers)
        if start is None or end is None or start == end or height[end] < height[start]:
            continue
        where = "above" if height[end] > height[start] else "beside"
        found.append(
            f"{arrow.file}:{arrow.line} imports {arrow.end}, which lies {where} it: {end} is in layer {height[end]}, "
            f"{start} in layer {height[start]} of LAYERS; move what both need further down"
        )
    return found


def circles(root):
    """Return every shortest way along imports from a module back to itself, each circle once."""
    ends = {}
    for arrow in arrows(root):
        ends.setdefault(arrow.start, set()).add(arrow.end)
    found = {}
    for start in sorted(ends):
        came_from, queue = {}, [start]
        while queue and start not in came_from:
            module = queue.pop(0)
            for end in sorted(ends.get(module, ())):
                if end not in came_from:
                    came_from[end] = module
                    queue.append(end)
        if start in came_from:
            way = [start]
            while way[-1] != start or len(way) == 1:
                way.append(came_from[way[-1]])
            found.setdefault(frozenset(way), " -> ".join(reversed(way)))
    return list(found.values())


def test_every_import_runs_downwards():
    assert not faults(ROOT)


def test_no_files_import_each_other_in_a_circle():
    assert not circles(ROOT)


def test_every_unit_of_the_layers_exists():
    present = {unit(module, LAYERS) for module in modules(ROOT)}
    assert not {name for layer in LAYERS for name in layer} - present


def tree(root, files):
    """Write a package named fdplug."""
    for path, text in {"__init__.py": "", **files}.items():
        file = root / "fdplug" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


SMALL = (("low", "other"), ("high", "predict.data"), ("fdplug",))


@pytest.mark.parametrize(
    "statement",
    [
        "from fdplug.high import name",
        "import fdplug.high.inner",
        "from fdplug import high",
        "from . import high",
        "from .high import inner",
        "def later():\n    from fdplug.high import inner",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fdplug.high.inner import Name",
    ],
)
def test_an_arrow_upwards_is_found_and_named(tmp_path, statement):
    tree(tmp_path, {"low.py": statement, "high/__init__.py": "", "high/inner.py": ""})
    (fault,) = faults(tmp_path, SMALL)
    assert fault.startswith(f"fdplug/low.py:{len(statement.splitlines())} imports fdplug.high")
    assert "which lies above it: high is in layer 1, low in layer 0" in fault


@pytest.mark.parametrize("statement", ["import fdplug", "from fdplug import propagate"])
def test_the_face_counts_as_a_module(tmp_path, statement):
    tree(tmp_path, {"low.py": statement})
    (fault,) = faults(tmp_path, SMALL)
    assert "low.py:1 imports fdplug, which lies above it" in fault


def test_a_neighbour_in_the_same_layer_is_found(tmp_path):
    tree(tmp_path, {"low.py": "import fdplug.other", "other.py": ""})
    (fault,) = faults(tmp_path, SMALL)
    assert "which lies beside it" in fault


def test_downwards_and_within_a_unit_is_no_fault(tmp_path):
    tree(
        tmp_path,
        {"low.py": "import torch", "high/__init__.py": "import fdplug.low", "high/inner.py": "from .. import low"},
    )
    assert not faults(tmp_path, SMALL)
    assert not circles(tmp_path)


def test_packages_of_predict_are_units_of_their_own(tmp_path):
    tree(tmp_path, {"low.py": "from fdplug.predict.data.captions import read", "predict/data/captions.py": ""})
    (fault,) = faults(tmp_path, SMALL)
    assert "predict.data is in layer 1" in fault


def test_a_unit_without_a_layer_is_found(tmp_path):
    tree(tmp_path, {"new.py": "", "predict/more/thing.py": ""})
    assert faults(tmp_path, SMALL) == [
        "fdplug.new is in no layer: give it its place in LAYERS",
        "fdplug.predict.more.thing is in no layer: give it its place in LAYERS",
    ]


def test_circles_are_found_also_through_functions_and_types(tmp_path):
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fdplug.high.a import A"
    files = {
        "high/a.py": "from fdplug.high import b",
        "high/b.py": "def f():\n    import fdplug.high.c",
        "high/c.py": typed,
    }
    tree(tmp_path, {**files, "high/d.py": "from fdplug.high import a"})
    assert circles(tmp_path) == ["fdplug.high.a -> fdplug.high.b -> fdplug.high.c -> fdplug.high.a"]
