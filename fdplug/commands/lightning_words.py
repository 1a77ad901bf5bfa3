"""What jsonargparse and Lightning say about options that cannot be, in our words: one line, with a remedy."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lightning.pytorch import callbacks, loggers
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry

from fdplug import checks
from fdplug.commands.options.predict import CALLBACKS, DATA
from fdplug.commands.renamed import renamed
from fdplug.errors import ConfigError, FdplugError, missing_extra, suggestion
from fdplug.errors.wording import one_line, shown

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "dict": "a mapping",
    "NoneType": "null",
}
"""What types of Python are called."""
LOGGERS = ("wandb", "mlflow", "tensorboard")
"""Packages of the extra `loggers`."""
SEE = "see fdplug predict --help-all"


class Choice(NamedTuple):
    """An option whose value is a class: what one is called, those that are listed, and all that can be meant."""

    what: str
    listed: Sequence[str]
    names: Sequence[str]


CLASSES = {
    "trainer.callbacks": Choice("callback", [*CALLBACKS, "those of Lightning"], [*CALLBACKS, *callbacks.__all__]),
    "trainer.logger": Choice("logger", loggers.__all__, loggers.__all__),
    "data": Choice("data module", DATA, DATA),
}


def check_trainer(given: Mapping[str, Any]) -> None:
    """Refuse what Trainer cannot mean by its settings that `fdplug predict --help` shows.

    Raises:
        ConfigError: names the setting, what is allowed and what was given.
    """
    checks.whole("trainer.num_nodes", given["num_nodes"], 1)
    _check_limit(given["limit_predict_batches"])
    _check_name("accelerator", given, ["gpu", *AcceleratorRegistry.available_accelerators()])
    _check_name("strategy", given, StrategyRegistry.available_strategies())
    devices = given["devices"]
    is_list = isinstance(devices, str) and re.fullmatch(r"auto|-1|[1-9]\d*|\d+(,\d+)*,?", devices) and devices != "0"
    if (isinstance(devices, str) and not is_list) or (isinstance(devices, int) and (devices == 0 or devices < -1)):
        allowed = "a whole number of at least 1, -1 or auto for all there are, or a list as in [0,2]"
        raise ConfigError(f"trainer.devices must be {allowed}; got {shown(devices)}")


def _check_limit(limit: Any) -> None:
    """Refuse a number that is neither one of batches nor a share of them."""
    if isinstance(limit, (int, float)) and not (0 <= limit <= 1 or (limit > 1 and limit % 1 == 0)):
        allowed = "a whole number of batches, or a share of them from 0.0 to 1.0"
        raise ConfigError(f"trainer.limit_predict_batches must be {allowed}; got {limit:g}")


def _check_name(name: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    allowed = ["auto", *sorted(known)]
    if isinstance(given[name], str) and given[name] not in allowed:
        listed = ", ".join(one for one in allowed if "_" not in one)
        hint = suggestion(given[name], allowed, ";")
        raise ConfigError(f"trainer.{name}: no {name} {shown(given[name])}{hint} there are {listed}, ...")


def refused(error: BaseException, known: Iterable[str]) -> FdplugError:
    """Return the error to raise for what was raised while options were read or classes were built.

    Args:
        error: what was raised; what it was raised from counts as well.
        known: every option there is, for suggestions.
    """
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, FdplugError):
            return one
    for one in chain:
        if isinstance(one, ImportError):
            return _not_installed(one)
    return ConfigError(in_our_words(str(error), list(known)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield what an error was raised from, the first one first, and the error itself."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return reversed(seen)


def _not_installed(error: ImportError) -> ConfigError:
    text = one_line(error)
    for name in LOGGERS:
        if name in text.lower():
            return missing_extra("this logger", [name], "loggers", ", or give another trainer.logger")
    told = re.search(r"pip install (?:-\S+ )*['\"]?([\w.\[\]-]+)", text)
    name = error.name or (told[1].rstrip(".") if told else "")
    return ConfigError(f"a package is not installed: {f'pip install {name}' if name else f'{text}; {SEE}'}")


def in_our_words(text: str, known: Sequence[str], key: str = "", cls: str = "") -> str:
    """Return in one line what is wrong with which option, what is allowed, and what may be meant.

    Args:
        text: what jsonargparse or Lightning says; the indents of its lines tell what belongs to what.
        known: every option there is.
        key: the option that the text is about.
        cls: the class that the option belongs to.
    """
    text = re.sub(r"Not of type \w+Spec: ", "", text)
    if found := re.match(r"(?:Parser key \"(\S+)\"|([a-z]\w*(?:\.\w+)*)):[ \n]", text):
        key = ".".join(filter(None, (key, found[1] or found[2])))
        text = text[found.end() :]
    if inner := _of_class(text):
        name, text = inner
        return in_our_words(text, known, key, name)
    return one_line(_about(key, cls, text, known), 1000)


def _of_class(text: str) -> tuple[str, str] | None:
    """Return the first class that something is wrong with, and what."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if found := re.match(r"(\s*)- Problem with given class_path '[\w.]*?(\w+)':(.*)", line):
            inner = []
            for following in lines[number + 1 :]:
                if following.strip() and len(following) - len(following.lstrip()) <= len(found[1]):
                    break
                inner.append(following)
            return found[2], found[3].strip() or textwrap.dedent("\n".join(inner))
    return None


def _about(key: str, cls: str, text: str, known: Sequence[str]) -> str:
    """Return what is wrong with one option."""
    text = " ".join(text.split())
    name = key if not cls or cls == "PropagationConfig" else f"{key} of {cls}"
    if unknown := _unknown(text, known):
        return f"{name}: {unknown}" if key else unknown
    if missing := re.match(r"the following arguments are required: (.*)", text):
        return f"{name}: {missing[1]} must be given; {SEE}"
    given = re.findall(r"(?:Given|Got) value: (.*)", text)
    if key in CLASSES and not cls:
        return _no_class(key, text, given)
    if key == "model.propagation" and "Expected a" in text:
        return f"{key} must be null, or a mapping as in {{policy: paper}}, got {_value(given)}"
    if wanted := _wanted(text):
        return f"{name} must be {wanted}, got {_value(given)}; {SEE}"
    text = re.sub(r"\.?$", "", re.split(r" Given value type:", text)[0]).replace("`", "")
    return f"{name}: {text}; {SEE}" if key else f"{text}; {SEE}"


def _value(given: Sequence[str]) -> str:
    nested = re.match(r"NestedArg\(key='.*?', val='?(.*?)'?\)$", given[-1]) if given else None
    return shown(nested[1] if nested else given[-1] if given else "nothing")


def _wanted(text: str) -> str:
    """Return what kinds of values are allowed, where all that is wrong is that a value is none of them."""
    found = re.findall(r"Expected an? (?:<class '([\w.]+)'>|typing\.Literal\[(.*?)\])", text)
    kinds = [KINDS.get(name.rpartition(".")[2], name.rpartition(".")[2]) for name, _ in found if name]
    words = [word.strip(" '\"") for _, listed in found for word in listed.split(",") if listed]
    choices = [f"one of {', '.join(words)}"] if words else []
    return ", or ".join(dict.fromkeys([*choices, *kinds]))


def _no_class(key: str, text: str, given: Sequence[str]) -> str:
    """Return that there is no class of this name, or that something else was given."""
    choice = CLASSES[key]
    names = re.findall(r"Expected a dot import path string: (\S+)", text)
    name = names[0] if names else _value(given).strip("'\"")
    hint = suggestion(name, choice.names, ";")
    return f"{key}: no {choice.what} {shown(name)}{hint} there are {', '.join(choice.listed)}"


def _unknown(text: str, known: Sequence[str]) -> str:
    """Return what to say about an option that is none; empty where this is not what is wrong."""
    found = re.search(r"(?:accept option '|unrecognized arguments: --|Option ')([\w.-]+)", text)
    if not found:
        return ""
    word = found[1]
    now = renamed("predict", f"--{word}") or renamed("predict", f"--data.{word}")
    if now:
        return f"{word} is called {now.removeprefix('--')} now; write that"
    return f"no option '{word}'{suggestion(word, known, ';')} {SEE}"
