"""The parser of every command: no abbreviations, errors of one line, suggestions. Imports no torch."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from fdplug.errors import ConfigError, suggestion
from fdplug.errors.wording import one_line


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are fdplug's: one line, no usage text."""

    def __init__(self, *, prog: str, description: str, epilog: str | None = None) -> None:
        """Start without options; an option's name has to be given in full."""
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing, and suggest the option that may be meant.

        Raises:
            ConfigError: always.
        """
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        hint = suggestion(unknown[1], self._option_string_actions) if unknown else ""
        raise ConfigError(f"{self.prog}: {one_line(message)}{hint}; see {self.prog} --help")
