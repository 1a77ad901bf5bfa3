"""Every setting, from the fields of the classes that hold them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from fdplug.config import PropagationConfig
from fdplug.predict.generation.config import GenerationConfig
from fdplug.registry import KINDS
from fdplug.settings import Settings

PAGE = "configuration.md"
HOW = """# Configuration

Settings stand in YAML, on the command line, and in Python; a setting has one name everywhere. What `predict` reads:

```yaml
model:
  model: shapes                # a hub id, a pipeline's folder, or shapes
  sampler: ddim                # these are the settings of generation
  steps: 50
  guidance: 7.5
  propagation:                 # these are the settings of propagation; leave it out to run every step
    policy: {uniform: {interval: 4}}
    part: encoder
data:
  annotations: shapes          # or COCO's captions_val2017.json, a list of prompts, ...
  limit: 100
  batch_size: 16
writer:
  folder: outputs/fast
trainer:
  devices: 1
```

`fdplug predict --config mine.yaml --model.steps 20` changes one of them; `--print_config` prints them all. A plugin is
named by `uniform`, or with options by `{uniform: {interval: 4}}`: [all plugins](plugins/index.md). Environment
variables: [Environment](environment.md).

**In an editor.** The first line below, in a YAML file, lets editors with a YAML language server complete names and mark
what is wrong. [The schema](https://fdplug.github.io/fdplug/latest/configuration.schema.json) is made from the same
classes as this page. Plugins of others are allowed in it, but not known.

```yaml
# yaml-language-server: $schema=https://fdplug.github.io/fdplug/latest/configuration.schema.json
model:
  propagation: {part: trunk, policy: {early: {count: 16}}, injector: none}
```"""


def settings_page() -> str:
    """Return the page in Markdown."""
    propagation = "## Propagation\n\n`fdplug.propagate(pipe, ...)`, and `model: {propagation: {...}}`."
    generation = "## Generation\n\n`model: {...}` of `predict`, and the options of the same names elsewhere."
    return "\n\n".join([HOW, propagation, _table(PropagationConfig), generation, _table(GenerationConfig)]) + "\n"


def _table(cls: type[Settings]) -> str:
    rows = [_row(name, field) for name, field in cls.fields().items()]
    return "\n".join(["| setting | type | default | meaning |", "|---|---|---|---|", *rows])


def _row(name: str, field: dataclasses.Field[Any]) -> str:
    kind = "part" if name == "part" else field.metadata.get("kind")
    words = field.metadata.get("choices") or ()
    named = f"[{name}](plugins/index.md#{KINDS[kind].plural})" if kind else ""
    what = named or ", ".join(f"`{word}`" for word in words) or _type(field)
    return f"| `{name}` | {what} | `{_default(field.default)}` | {field.metadata['help']} |"


def _type(field: dataclasses.Field[Any]) -> str:
    text = field.type if isinstance(field.type, str) else field.type.__name__
    return " or ".join(f"`{one.strip().replace('None', 'null')}`" for one in text.split("|"))


def _default(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)
