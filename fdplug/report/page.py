"""Fill the templates: one file of HTML with its styles, scripts, data and pictures inside."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

REPORT_STYLES = ("base.css", "report.css")
REPORT_SCRIPTS = ("table.js", "svg.js", "pareto.js", "pictures.js", "large.js", "drift.js", "costs.js")
FRONT_STYLES = ("base.css", "report.css", "front.css")
FRONT_SCRIPTS = ("svg.js", "pareto.js", "front.js")
VOTE_STYLES = ("base.css", "vote.css")
VOTE_SCRIPTS = ("vote.js",)


def report(context: Mapping[str, Any]) -> str:
    """The report as HTML."""
    return _filled("report.html.j2", REPORT_STYLES, REPORT_SCRIPTS, context)


def front(context: Mapping[str, Any]) -> str:
    """The page about a search for the best settings as HTML."""
    return _filled("front.html.j2", FRONT_STYLES, FRONT_SCRIPTS, context)


def vote(data: Mapping[str, Any]) -> str:
    """The voting page as HTML."""
    return _filled("vote.html.j2", VOTE_STYLES, VOTE_SCRIPTS, {"data": data})


def _filled(template: str, styles: Iterable[str], scripts: Iterable[str], context: Mapping[str, Any]) -> str:
    """Everything that comes from outside is escaped; besides, the page runs no script but those named here.

    Its content security policy lists them by hash and forbids every request.
    """
    sheets, codes = [_read(name) for name in styles], [_read(name) for name in scripts]
    environment = Environment(
        loader=PackageLoader("fdplug.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    policy = f"default-src 'none'; img-src data:; style-src {_hashes(sheets)}; script-src {_hashes(codes)}"
    return environment.get_template(template).render(
        **context, policy=policy, styles=_tags("style", sheets), scripts=_tags("script", codes)
    )


def short(value: float) -> str:
    """Three significant digits, as the page's own arithmetic writes them."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def finite(value: Any) -> Any:
    """A number as the page sorts it: empty for none, `Infinity` for an infinite one."""
    if value is None:
        return ""
    return "Infinity" if isinstance(value, float) and math.isinf(value) else value


def _read(name: str) -> str:
    return (files("fdplug.report") / "page" / name).read_text(encoding="utf-8")


def _tags(name: str, contents: Iterable[str]) -> Markup:
    return Markup("\n").join(Markup(f"<{name}>{content}</{name}>") for content in contents)


def _hashes(contents: Iterable[str]) -> str:
    digests = (hashlib.sha256(content.encode()).digest() for content in contents)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
