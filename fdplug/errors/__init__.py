"""What can go wrong, as one tree.

```
FdplugError                    every error that fdplug raises on purpose
├── ConfigError (ValueError)   a setting or option that cannot be right
│   ├── UnknownPluginError     a name that no installed plugin carries
│   └── StackError             plugins that cannot be combined
├── PluginError                a plugin that breaks the contract
│   └── PluginClashError       two plugins that carry one name
├── DataError (ValueError)     a data file that cannot be used
├── OutputError                a file that cannot be written
├── PipelineError              a pipeline that cannot be loaded or used
│   └── UnsupportedDenoiserError   no denoiser family knows this class
├── PropagationError           a run that cannot be accelerated as asked
└── PatchOrderError            an undo out of order

FdplugWarning (UserWarning)
├── NoEffectWarning            something was asked for that changes nothing
└── PluginWarning              a plugin was left out
```

A message says what was given, what is allowed, and what to do.
"""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Collection, Iterable
from types import FrameType

from fdplug.errors.wording import printable

# Where a warning is of no use to anybody: it is given at the line that called into these.
_BETWEEN = {"fdplug", "diffusers", "torch", "transformers", "accelerate", "lightning", "pluggy"}


class _Printable(Exception):
    """Shows control characters as escapes: what a file or a plugin says moves nobody's terminal."""

    def __str__(self) -> str:
        return "\n".join(map(printable, super().__str__().split("\n")))


class FdplugError(_Printable):
    """Base of every error that fdplug raises on purpose."""


class ConfigError(FdplugError, ValueError):
    """A setting or option that cannot be right."""


class UnknownPluginError(ConfigError):
    """A name that no installed plugin carries."""


class StackError(ConfigError):
    """Plugins that cannot be combined."""


class PluginError(FdplugError):
    """A plugin that breaks the contract."""


class PluginClashError(PluginError):
    """Two plugins that carry one name."""


class DataError(FdplugError, ValueError):
    """A data file that cannot be used."""


class OutputError(FdplugError):
    """A file that cannot be written."""


class PipelineError(FdplugError):
    """A pipeline that cannot be loaded or used."""


class UnsupportedDenoiserError(PipelineError):
    """No installed denoiser family knows this class."""


class PropagationError(FdplugError):
    """A run that cannot be accelerated as asked."""


class PatchOrderError(FdplugError):
    """A patch is to be undone while another lies on top of it."""


class FdplugWarning(_Printable, UserWarning):
    """Base of every warning that fdplug gives."""


class NoEffectWarning(FdplugWarning):
    """Something was asked for that changes nothing."""


class PluginWarning(FdplugWarning):
    """A plugin was left out, with the reason."""


def warn(message: str, category: type[FdplugWarning] = FdplugWarning) -> None:
    """Warn at the user's line: that of the innermost caller outside of fdplug and the libraries that it works with.

    A plugin gives its warnings by this function: where fdplug called the plugin, its own lines are passed over, too.
    """
    frame = _innermost({"fdplug"}, sys._getframe(1)) or sys._getframe(1)
    while frame.f_back is not None and _package(frame) in _BETWEEN:
        frame = frame.f_back
    where, module = frame.f_globals, frame.f_globals.get("__name__", "__main__")
    registry = where.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, module, registry)


def _innermost(packages: Collection[str], frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame of code of these packages, from `frame` outwards."""
    while frame is not None and _package(frame) not in packages:
        frame = frame.f_back
    return frame


def _package(frame: FrameType) -> str:
    return frame.f_globals.get("__name__", "").partition(".")[0]


def suggestion(given: object, known: Iterable[str], otherwise: str = "") -> str:
    """Return `, did you mean 'NAME'?` with the known name nearest to the given one.

    Args:
        given: what was given and is not known.
        known: the names there are.
        otherwise: what is returned if none is near.
    """
    close = difflib.get_close_matches(given, list(known), n=1) if isinstance(given, str) else []
    return f", did you mean '{close[0]}'?" if close else otherwise


def missing_extra(what: str, missing: Iterable[str], extra: str, otherwise: str = "") -> ConfigError:
    """Return the error for a package that is not installed, with the line that installs it.

    Args:
        what: what needs the package.
        missing: names of the packages.
        extra: the extra of fdplug that brings them.
        otherwise: what can be done without them.
    """
    return ConfigError(f"{what} needs {' and '.join(missing)}: pip install 'fdplug[{extra}]'{otherwise}")
