"""The form of a configuration as a JSON schema, for editors that complete and check YAML."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

from docs.building.catalogue import Plugin, plugins
from fdplug import registry
from fdplug.config import PropagationConfig
from fdplug.predict.generation.config import GenerationConfig
from fdplug.settings import Settings

FILE = "configuration.schema.json"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "None": "null",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "Mapping": "object",
    "Sequence": "array",
}
MODEL = {
    "model": {"type": "string", "description": "a hub id, a pipeline's folder, shapes or shapes-flow"},
    "preset": {"type": ["string", "null"], "description": "a file of fdplug optimize, or the name of a preset"},
    "dtype": {"enum": ["auto", "float32", "float16", "bfloat16"], "description": "type of the weights"},
    "allow_pickle": {"type": "boolean", "description": "also load .bin weights, which can run code"},
    "safety_checker": {"type": "boolean", "description": "keep the model's safety checker"},
    "loading": {"type": ["object", "null"], "description": "more arguments of diffusers' loaders"},
}
"""Arguments of `TextToImage` that are no settings of a class; a test holds them against its signature."""


def schema() -> dict[str, Any]:
    """Return the schema of what `fdplug predict --config` reads."""
    propagation = {"description": "null runs every step", "oneOf": [{"type": "null"}, _settings(PropagationConfig)]}
    model = {**MODEL, **_settings(GenerationConfig)["properties"], "propagation": propagation}
    return {
        "$schema": DRAFT,
        "title": "A configuration of fdplug predict",
        "type": "object",
        "properties": {
            "model": {"type": "object", "properties": model, "additionalProperties": False},
            "data": {
                "description": "a data module's options, or {class_path, init_args}",
                "type": ["object", "string"],
            },
            "writer": {
                "type": "object",
                "properties": {"folder": {"type": "string", "description": "where the images go"}},
                "additionalProperties": False,
            },
            "trainer": {
                "description": "Lightning's Trainer: devices, accelerator, callbacks, logger",
                "type": "object",
            },
            "seed_everything": {"type": ["boolean", "integer"]},
        },
        "additionalProperties": False,
    }


def text() -> str:
    """Return the file."""
    return json.dumps(schema(), indent=1) + "\n"


def _settings(cls: type[Settings]) -> dict[str, Any]:
    properties = {name: _field(name, field) for name, field in cls.fields().items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _field(name: str, field: dataclasses.Field[Any]) -> dict[str, Any]:
    kind = field.metadata.get("kind")
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    told = {"description": field.metadata["help"], "default": default}
    if name == "transforms":
        return {**told, "type": "array", "items": _plugin("transform")}
    if name == "part":
        return {**told, "anyOf": [{"type": "string"}, _plugin("part")]}
    if kind:
        return {**told, **_plugin(kind)}
    if field.metadata.get("choices"):
        return {**told, "enum": list(field.metadata["choices"])}
    return {**told, **_types(str(field.type))}


def _plugin(kind: str) -> dict[str, Any]:
    known = [one for one in plugins() if one.kind == kind]
    with_options = {
        "type": "object",
        "properties": {one.name: _options(one) for one in known},
        "maxProperties": 1,
        "minProperties": 1,
    }
    names = {"type": "string", "examples": [one.name for one in known]}  # not an enum: others may be installed
    return {"anyOf": [names, with_options]}


def _options(plugin: Plugin) -> dict[str, Any]:
    said = plugin.said.arguments
    known: Mapping[str, inspect.Parameter] = registry.options(plugin.cls)
    return {
        "type": ["object", "null"],
        "description": plugin.said.summary,
        "properties": {
            name: {"description": said.get(name, ""), **_types(str(one.annotation))} for name, one in known.items()
        },
        "additionalProperties": False,
    }


def _types(annotation: str) -> dict[str, Any]:
    """Return the types of JSON that an annotation allows; any where it names something else."""
    words = [word.strip().partition("[")[0] for word in _alternatives(annotation)]
    found = [TYPES[word] for word in words if word in TYPES]
    return {"type": found if len(found) > 1 else found[0]} if len(found) == len(words) else {}


def _alternatives(annotation: str) -> Iterable[str]:
    """Yield what stands between the bars of an annotation, those inside of brackets left alone."""
    depth, word = 0, ""
    for sign in annotation.replace("<class '", "").replace("'>", ""):
        depth += (sign == "[") - (sign == "]")
        if sign == "|" and depth == 0:
            yield word
            word = ""
        else:
            word += sign
    yield word
