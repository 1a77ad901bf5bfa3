"""Which plugins may work together: each states what it needs, provides and excludes, and nothing is guessed.

A *fact* is a word about the stack. Every plugin in use is one by itself, `kind:name` (`policy:uniform`,
`transform:tome`); what fdplug itself decides, and what its own plugins provide, is in `FACTS`. Further facts are what
plugins list in `provides`. Reasons are written for users: they end the sentence "... cannot be combined: ...".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fdplug.errors import StackError

FACTS: Mapping[str, str] = {
    "sample-free": "a part whose replayed steps do not read the sample, such as `encoder`",
    "residual": "a part that keeps what it adds to its input",
    "probe": "a part with a module in front of it that a policy can look at",
    "decoded-ahead": "spans that are decoded in one batch, ahead of their steps",
    "serial": "spans that are decoded one step at a time",
    "rows-left-out": "a guidance other than `full`",
    "transformer-blocks": "a part of single transformer blocks",
    "decoding:split": "`fdplug.split_decode()`",
}
"""Facts by name, with what is true where they hold. `decoded-ahead` and `serial` are contract 1.1."""


class Stackable:
    """What every plugin may say about others.

    Attributes:
        provides: facts that are true where this plugin is in use.
        needs: facts without which it makes no sense, each with the reason.
        excludes: facts with which it makes no sense, each with the reason.
    """

    provides: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[Mapping[str, str]] = {}
    excludes: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def _says(cls, attribute: str) -> dict[str, str]:
        """Return `needs` or `excludes` with those of the base classes, which hold for a subclass too."""
        return {fact: reason for one in reversed(cls.__mro__) for fact, reason in vars(one).get(attribute, {}).items()}


@dataclass(frozen=True)
class Layer:
    """One plugin of a stack, as `kind:name`, with what it says."""

    title: str
    says: Stackable


def check_stack(layers: Sequence[Layer], facts: frozenset[str] = frozenset()) -> None:
    """Refuse plugins that cannot work together.

    Raises:
        StackError: something that one needs is missing, something that one excludes is there, or one occurs twice.
    """
    titles = [layer.title for layer in layers]
    for title in titles:
        if titles.count(title) > 1:
            raise StackError(f"{_words(title)} is named twice; once is enough")
    known = facts.union(titles, *(layer.says.provides for layer in layers))
    for layer in layers:
        for fact, reason in layer.says._says("needs").items():
            if fact not in known:
                raise StackError(f"{_words(layer.title)} needs {_words(fact)}, which nothing here provides: {reason}")
        others = facts.union(*({one.title} | one.says.provides for one in layers if one is not layer))
        for fact, reason in layer.says._says("excludes").items():
            if fact in others:
                raise StackError(f"{_words(layer.title)} and {_words(fact)} cannot be combined: {reason}")


def _words(fact: str) -> str:
    kind, colon, name = fact.partition(":")
    return f"{kind} '{name}'" if colon else f"'{fact}'"
