"""The form of a json value, as data: what is needed where, and one sentence about the first thing that differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fdplug.errors.wording import shown
from fdplug.files.source import Source


@dataclass(frozen=True)
class Plain:
    """A value without parts: what it is in words, and a test of it."""

    words: str
    test: Callable[[Any], bool]

    def problems(self, value: Any, place: str) -> Iterator[str]:
        """Yield one sentence if `value` is something else."""
        if not self.test(value):
            yield f"{place or 'it'} is {shown(value)}, {self.words} is needed"


@dataclass(frozen=True)
class ListOf:
    """A list whose items all have one form.

    Args:
        item: that form.
        least: fewest items.
        most: most items; any number if None.
    """

    item: Form
    least: int = 0
    most: int | None = None

    def problems(self, value: Any, place: str) -> Iterator[str]:
        """Yield a sentence about the list, or about each item that is of another form."""
        if not isinstance(value, list):
            yield f"{place or 'it'} is {shown(value)}, a list is needed"
            return
        if len(value) < self.least or (self.most is not None and len(value) > self.most):
            allowed = f"{self.least}" if self.least == self.most else f"at least {self.least}"
            yield f"{place or 'it'} has {len(value)} items, {allowed} are needed"
        for index, item in enumerate(value):
            yield from self.item.problems(item, f"{place}[{index}]")


@dataclass(frozen=True)
class Object:
    """A mapping.

    Args:
        needed: the form of each key that must be there.
        optional: the form of each that may be; further keys are allowed unless `closed`.
        closed: refuse further keys.
        others: the form of all further values.
    """

    needed: Mapping[str, Form] = field(default_factory=dict)
    optional: Mapping[str, Form] = field(default_factory=dict)
    closed: bool = False
    others: Form | None = None

    def problems(self, value: Any, place: str) -> Iterator[str]:
        """Yield a sentence about the mapping, a missing or unknown key, or each value that is of another form."""
        if not isinstance(value, dict):
            yield f"{place or 'it'} is {shown(value)}, an object is needed"
            return
        known = {**self.needed, **self.optional}
        for key, item in value.items():
            form = known.get(key, self.others)
            inner = f"{place}.{key}".lstrip(".")
            if form is not None:
                yield from form.problems(item, inner)
            elif self.closed:
                yield f"{inner} is unknown here; known are {', '.join(known)}"
        missing = [key for key in self.needed if key not in value]
        if missing:
            yield f"{place or 'it'} has no {shown(missing[0])}"


@dataclass(frozen=True)
class OrNone:
    """A value of a form, or null."""

    form: Form

    def problems(self, value: Any, place: str) -> Iterator[str]:
        """Yield what the form says of a value that is not null."""
        return iter(()) if value is None else self.form.problems(value, place)


Form = Plain | ListOf | Object | OrNone

TEXT = Plain("a text", lambda value: isinstance(value, str))
OBJECT = Object()


def whole(least: int = 0, most: int = 2**63 - 1) -> Plain:
    """Return the form of a whole number between two limits."""
    return Plain(
        f"a whole number of at least {least}" if most == 2**63 - 1 else f"a whole number from {least} to {most}",
        lambda value: type(value) is int and least <= value <= most,
    )


def number(least: float = -math.inf, most: float = math.inf) -> Plain:
    """Return the form of a finite number between two limits."""
    limits = " of at least 0" if least == 0 and most == math.inf else ""
    limits = f" from {least:g} to {most:g}" if most < math.inf else limits
    return Plain(
        f"a number{limits}",
        lambda value: type(value) in (int, float) and math.isfinite(value) and least <= value <= most,
    )


def one_of(*allowed: Any) -> Plain:
    """Return the form of a value that is one of a few."""
    listed = " or ".join(filter(None, (", ".join(map(str, allowed[:-1])), str(allowed[-1]))))
    return Plain(listed, lambda value: any(type(value) is type(one) and value == one for one in allowed))


def kind(value: object) -> str:
    """Return what a value of json is, in words."""
    names = ((dict, "an object"), (list, "a list"), (str, "a text"), (bool, "true or false"), (int | float, "a number"))
    return next((name for one, name in names if isinstance(value, one)), "nothing")


def check(source: Source, form: Form, value: Any, place: str = "") -> Any:
    """Return a value that has the form; raise what `source` says, with the first thing that differs."""
    problem = next(iter(form.problems(value, place)), None)
    if problem is not None:
        raise source.refused(problem)
    return value
