"""The page of a plugin: what it is, its options, how to use it, what goes with it, and where it comes from."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from docs.building.catalogue import ROOT, Plugin, called, plugins
from docs.building.examples import command, flow, options, python, settings
from docs.building.solver import solver
from docs.building.strip import strip
from fdplug import registry
from fdplug.stacking import FACTS, Stackable
from fdplug.testing import schedule

REPOSITORY = "https://github.com/fdplug/fdplug/blob/main"
STEPS = 50
SEARCHED = "What [`fdplug optimize`]({up}optimize.md) tries in a run of {steps} steps"


def page(plugin: Plugin) -> str:
    """Return the page in Markdown."""
    sections = [_head(plugin), *_numbers(plugin), *_picture(plugin), *solver(plugin), *_options(plugin), *_use(plugin)]
    sections += [*_together(plugin), *_search(plugin), *_systems(plugin), _source(plugin)]
    return "\n\n".join(sections) + "\n"


def link(plugin: Plugin, other: Plugin) -> str:
    """Return a link from the page of one plugin to that of another."""
    file = PurePosixPath(other.page).name
    where = file if other.kind == plugin.kind else f"../{other.kind}/{file}"
    return f"[`{other.name}`]({where})"


def _head(plugin: Plugin) -> str:
    own = plugin.distribution == "fdplug"
    comes = "comes with fdplug" if own else f"comes with `pip install {plugin.distribution}`"
    said = plugin.said
    lines = [f"# {plugin.name}", f"*A {plugin.kind}; {comes}.*", f"**{said.summary}**", said.body]
    return "\n\n".join(line for line in lines if line)


def _numbers(plugin: Plugin) -> Iterator[str]:
    if plugin.kind != "score":
        return
    shown: tuple[Any, ...] = plugin.cls.numbers
    rows = [f"| {one.head} | {'more' if one.higher_is_better else 'less'} | `{one.key}` |" for one in shown]
    yield "\n".join(["## Numbers", "", "| title | better | in json files |", "|---|---|---|", *rows])
    needs = ", ".join(sorted(plugin.cls.needs)) or "nothing"
    yield f"Besides images it needs: {needs}."


def _picture(plugin: Plugin) -> Iterator[str]:
    chosen = _chosen(plugin)
    if chosen is None:
        return
    what = "key steps" if plugin.kind == "policy" else "steps with all rows"
    says = f"{len(chosen)} of {STEPS} steps are {what}"
    given = f" with `{flow(settings(plugin)[plugin.kind])}`" if options(plugin) else ""
    listed = "" if len(chosen) == STEPS else f": {', '.join(map(str, chosen))}"
    yield f"{strip(STEPS, chosen, says)}\n\n{says}{given}{listed}."


def _chosen(plugin: Plugin) -> list[int] | None:
    """Return the steps that a policy or a guidance chooses before a run; None if it decides later, or by a file."""
    if plugin.kind not in ("policy", "guidance") or plugin.cls.stepwise or "file" in options(plugin):
        return None
    built = plugin.cls(**options(plugin))
    run = schedule(STEPS)
    return sorted(built.key_steps(run) if plugin.kind == "policy" else built.full_steps(run))


def _options(plugin: Plugin) -> Iterator[str]:
    known = {} if plugin.kind == "family" else registry.options(plugin.cls)
    if known:
        said = plugin.said.arguments
        rows = [f"| `{name}` | {_type(one)} | {_default(one)} | {said.get(name, '')} |" for name, one in known.items()]
        yield "\n".join(["## Options", "", "| option | type | default | meaning |", "|---|---|---|---|", *rows])


def _type(parameter: inspect.Parameter) -> str:
    text = parameter.annotation if isinstance(parameter.annotation, str) else parameter.annotation.__name__
    return " or ".join(f"`{one.strip().replace('None', 'null')}`" for one in text.split("|"))


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return "must be given"
    return f"`{json.dumps(parameter.default)}`"


def _use(plugin: Plugin) -> Iterator[str]:
    blocks = [f"```bash\n{command(plugin)}\n```"]
    if plugin.kind == "sampler":
        blocks.append(f"```yaml\nmodel:\n  sampler: {flow(_spec(plugin))}\n```")
    elif plugin.kind not in ("family", "score"):
        given = flow(settings(plugin))
        blocks.append(f"```yaml\nmodel:\n  propagation: {given}\n```")
    if python(plugin):
        blocks.append(f"```py\n{python(plugin)}\n```")
    yield "\n\n".join(["## Use", *blocks])


def _spec(plugin: Plugin) -> Any:
    given = options(plugin)
    return {plugin.name: dict(given)} if given else plugin.name


def _together(plugin: Plugin) -> Iterator[str]:
    lines = [*_needs(plugin), *_refused_by(plugin), *_decoding(plugin)]
    if lines:
        yield "\n".join(["## With others", "", *(f"- {line}" for line in lines)])
    elif issubclass(plugin.cls, Stackable):
        yield "## With others\n\nIt excludes no other plugin, and none excludes it."


def _needs(plugin: Plugin) -> Iterator[str]:
    for fact, reason in _says(plugin, "needs").items():
        yield f"Needs {_fact(plugin, fact)}: {reason}."
    for fact, reason in _says(plugin, "excludes").items():
        yield f"Cannot be combined with {_fact(plugin, fact)}: {reason}."


def _refused_by(plugin: Plugin) -> Iterator[str]:
    facts = {plugin.fact, *getattr(plugin.cls, "provides", ())}
    for other in plugins():
        for fact, reason in _says(other, "excludes").items():
            if fact in facts:
                yield f"Cannot be combined with {other.kind} {link(plugin, other)}: {reason}."
        for fact, reason in _says(other, "needs").items():
            if fact in facts:
                yield f"{other.kind.capitalize()} {link(plugin, other)} needs it: {reason}."
            elif fact.partition(":")[0] == plugin.kind and ":" in fact and other is not plugin:
                yield f"Cannot be combined with {other.kind} {link(plugin, other)}, which needs {_fact(plugin, fact)}."


def _decoding(plugin: Plugin) -> Iterator[str]:
    if getattr(plugin.cls, "stepwise", False):
        yield "Decides as the run goes on, so that spans are decoded one step at a time (`decoding: serial`)."
    if plugin.kind == "policy" and not plugin.cls.replays:
        yield "No step is replayed with it."
    if plugin.kind == "cache" and not plugin.cls.exact:
        yield "Features do not come back bit for bit at their key step."
    if plugin.kind == "transform" and not plugin.cls.changes_cost:
        yield "A pass of the denoiser costs as many GFLOPs with it as without."


def _says(plugin: Plugin, attribute: str) -> Mapping[str, str]:
    return plugin.cls._says(attribute) if issubclass(plugin.cls, Stackable) else {}


def _fact(plugin: Plugin, fact: str) -> str:
    other = called(fact)
    if other is not None:
        return f"{other.kind} {link(plugin, other)}"
    return FACTS[fact]


def _search(plugin: Plugin) -> Iterator[str]:
    space = plugin.cls.space(STEPS) if hasattr(plugin.cls, "space") and plugin.kind != "family" else None
    if space is None:
        return
    tried = ", ".join(f"`{name}` {_values(values)}" for name, values in space.items()) or "it as it is"
    yield f"## Search\n\n{SEARCHED.format(up='../../', steps=STEPS)}: {tried}."


def _values(values: Any) -> str:
    if isinstance(values, range):
        return f"from {values[0]} to {values[-1]}, as many as the budget pays for"
    return " or ".join(f"`{json.dumps(value)}`" for value in values)


@cache
def _table() -> list[dict[str, Any]]:
    return json.loads((ROOT / "fdplug" / "commands" / "families.json").read_text())


def _systems(plugin: Plugin) -> Iterator[str]:
    if plugin.kind != "family":
        return
    rows = [row for row in _table() if row["family"] == plugin.name]
    lines = [f"| {row['system']} | `{row['pipeline']}` | {row['decoding']} |" for row in rows]
    head = "## Pipelines\n\nThe conformance tests run these:\n\n| system | pipeline | decoding |\n|---|---|---|"
    yield "\n".join([head, *lines])


def _source(plugin: Plugin) -> str:
    file, line = plugin.source
    lines = [f"[`{file}`]({REPOSITORY}/{file}#L{line})", *(_paper(number) for number in plugin.papers)]
    return "\n".join(["## Source", "", *(f"- {one}" for one in lines)])


def _paper(number: str) -> str:
    return f"[arXiv {number}](https://arxiv.org/abs/{number})"
