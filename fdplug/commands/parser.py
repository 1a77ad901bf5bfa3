"""The parser of every command: no abbreviations, errors of one line in our words, help as wide as the terminal."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from fdplug.commands.renamed import renamed
from fdplug.errors import ConfigError, suggestion
from fdplug.errors.wording import one_line, shown

WIDEST = 100
NUMBERS = {"int": "a whole number", "float": "a number"}
"""What a reader of values is called in messages; that of any other is its own name."""


class Help(argparse.HelpFormatter):
    """Help as wide as the terminal, at most `WIDEST` columns; the usage line names what must be given."""

    position = 28

    def __init__(self, prog: str) -> None:
        super().__init__(
            prog, max_help_position=self.position, width=min(shutil.get_terminal_size().columns - 1, WIDEST)
        )

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = textwrap.wrap(
            " ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
        return "\n".join(lines)

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """Write `[OPTIONS]` for all that may be left out: the list of options is below."""
        words = ["%(prog)s", *([usage] if usage else [])]
        for action in actions:
            default = self._get_default_metavar_for_positional(action)
            if not action.option_strings:
                words.append(self._format_args(action, default))
            elif action.required:
                words.append(f"{action.option_strings[-1]} {self._format_args(action, default.upper())}")
        super().add_usage(" ".join([*words, "[OPTIONS]"]), [], [], prefix)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are fdplug's: one line, no usage text."""

    def __init__(self, *, prog: str, description: str, epilog: str | None = None, formatter: type[Help] = Help) -> None:
        """Start without options; an option's name has to be given in full."""
        super().__init__(
            prog=prog, description=description, epilog=epilog, allow_abbrev=False, formatter_class=formatter
        )

    @property
    def command(self) -> str:
        """The command's own name."""
        return self.prog.rpartition(" ")[2]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Read the arguments.

        Raises:
            ConfigError: an option has another name today, is unknown, or has a value that it cannot have.
        """
        self.refuse_renamed(args or ())
        return super().parse_args(args, namespace)

    def refuse_renamed(self, args: Sequence[str]) -> None:
        """Refuse the old word of an option.

        Raises:
            ConfigError: names the word of today.
        """
        for word in (argument.partition("=")[0] for argument in args):
            now = None if word in self._option_string_actions else renamed(self.command, word)
            if now is not None:
                raise ConfigError(f"{word} is called {now} now; write that")

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing, and suggest the option that may be meant.

        Raises:
            ConfigError: always.
        """
        text = one_line(self._in_our_words(message))
        raise ConfigError(f"{text}{'' if text.endswith('?') else ';'} see {self.prog} --help")

    def _in_our_words(self, message: str) -> str:
        if unknown := re.match(r"unrecognized arguments: (.*)", message, re.DOTALL):
            word = unknown[1].split()[0] if unknown[1].split() else ""
            what = "option" if word.startswith("-") else "place for the word"
            return f"no {what} {shown(word)}{suggestion(word.partition('=')[0], self._option_string_actions)}"
        if missing := re.match(r"the following arguments are required: (.*)", message):
            return f"{missing[1]} must be given"
        found = re.match(r"argument ([^:]+): (.*)", message, re.DOTALL)
        if not found:
            return message
        option, reason = found[1].rpartition("/")[2], found[2]
        if value := re.match(r"invalid (\w+) value: (.*)", reason, re.DOTALL):
            wanted = NUMBERS.get(value[1]) or value[1].strip("_").replace("_", " ")
            return f"{option} must be {wanted}, got {_cut(value[2])}"
        if value := re.match(r"invalid choice: (.*?) \(choose from (.*)\)$", reason, re.DOTALL):
            known = [word.strip(" '") for word in value[2].split(",")]
            hint = suggestion(value[1].strip("'"), known)
            return f"{option} must be one of {', '.join(known)}; got {_cut(value[1])}{hint}"
        if reason.startswith("expected "):
            return f"{option} needs {'at least one value' if 'least' in reason else 'a value'}"
        if other := re.match(r"not allowed with argument (\S+)", reason):
            return f"{option} and {other[1]} exclude each other; leave one out"
        if reason.startswith("ignored explicit argument"):
            return f"{option} takes no value; leave out what stands behind ="
        return f"{option}: {reason}"


def _cut(text: str) -> str:
    return shown(text.strip("'"))
