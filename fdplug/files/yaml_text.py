"""YAML: plain values only, within limits of depth, of aliases and of digits; dates are texts, doubled keys refused.

So are numbers that two versions of YAML read differently: 010 is eight or ten, 1:30 ninety or a text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from fdplug.errors.wording import one_line, shown
from fdplug.files.limits import DEPTH, ITEMS, TooMuch, whole_number
from fdplug.files.source import Source

_FLOAT = re.compile(
    r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_AMBIGUOUS = re.compile(r"^[-+]?0[0-7_]*[0-7]$|:")
_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")
_TIMESTAMP, _FLOATS, _WHOLE = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float", "tag:yaml.org,2002:int"


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader, written in Python: the one in C ends the process where values are nested too deep."""

    yaml_implicit_resolvers = {  # noqa: RUF012  PyYAML declares it without ClassVar
        first: [(tag, pattern) for tag, pattern in known if tag not in (_TIMESTAMP, _FLOATS)]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    yaml_constructors = {  # noqa: RUF012  likewise; sets, dates and bytes are no plain values
        tag: one
        for tag, one in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in _PLAIN
    }

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Build a node, unless it is nested too deep."""
        self._depth += 1
        if self._depth > DEPTH:
            raise TooMuch(f"it is nested more than {DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_document(self, node: Any) -> Any:
        """Build the value, unless aliases make it too large."""
        _limit_items(node)
        return super().construct_document(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Build a mapping; a key that is written twice is refused."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if len(set(keys)) < len(keys) and not getattr(node, "flattened", False):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise TooMuch(f"the key {shown(twice, 40)} appears twice in one mapping")
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: Any) -> None:
        """Merge what `<<` names; keys of it may appear again."""
        super().flatten_mapping(node)
        node.flattened = True

    def construct_yaml_int(self, node: Any) -> int:
        """Build a whole number, unless it has too many digits."""
        return whole_number(node.value) if node.value.isdigit() and node.value[0] != "0" else self._short_int(node)

    def _short_int(self, node: Any) -> int:
        whole_number("0" * len(node.value))
        if _AMBIGUOUS.search(node.value):
            raise TooMuch(f"{shown(node.value, 40)} is another number to other readers; write it plainly, or in quotes")
        return super().construct_yaml_int(node)


PlainLoader.add_implicit_resolver(_FLOATS, _FLOAT, list("-+0123456789."))
PlainLoader.add_constructor(_WHOLE, PlainLoader.construct_yaml_int)


def read_yaml(source: Source) -> Any:
    """Return what a YAML (or json) file holds.

    Raises:
        FdplugError: it cannot be read, or is no YAML.
    """
    return source.parsed(parse_yaml, "it is neither YAML nor JSON")


def parse_yaml(text: str) -> Any:
    """Return the value of a text in YAML.

    Raises:
        TooMuch: it is too deep, too large, or a number is too long.
        ValueError: it is no YAML, or holds other than plain values.
    """
    try:
        return yaml.load(text, Loader=PlainLoader)
    except (TooMuch, MemoryError):
        raise
    except RecursionError:
        raise TooMuch("it is nested too deep") from None
    except Exception as error:  # PyYAML raises ValueError, AttributeError, KeyError ... beside its own
        raise ValueError(_reason(error)) from error


def _reason(error: Exception) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem is None:
        return one_line(f"a value that is not what its tag says ({error})" if str(error) else error, 160)
    return one_line(problem, 160) + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")


def _limit_items(node: Any) -> None:
    """Refuse a document that is more than `ITEMS` values once every alias is written out, or that holds itself."""
    sizes: dict[int, int] = {}

    def size(one: Any) -> int:
        if id(one) not in sizes:
            sizes[id(one)] = ITEMS + 1  # what is met again inside of itself has no end
            inside = one.value if isinstance(one, yaml.CollectionNode) else ()
            parts = (part for item in inside for part in (item if isinstance(item, tuple) else (item,)))
            sizes[id(one)] = 1 + sum(map(size, parts))
        return sizes[id(one)]

    if node is not None and size(node) > ITEMS:
        raise TooMuch(f"its aliases make more than {ITEMS:,} values of it")
