"""Class labels for class-conditional models such as DiT, by number or by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fdplug import checks
from fdplug.errors import ConfigError, DataError
from fdplug.predict.data.caption_text import problem_of
from fdplug.predict.data.captions import Caption


def class_captions(
    classes: Sequence[int | str] | None, names: Mapping[int, str], num_classes: int, per_class: int
) -> list[Caption]:
    """One caption per image to draw, round by round over the classes.

    The id of an image is `round * num_classes + class`, so that an image keeps its seed when other classes are added.

    Args:
        classes: Numbers or names; None takes all.
        names: What the classes are called, as far as known.
        num_classes: How many classes the model knows.
        per_class: Images of each class.

    Raises:
        ConfigError: A class is unknown or named twice.
    """
    checks.whole("num_classes", num_classes, 1)
    checks.whole("per_class", per_class, 1)
    labels = list(range(num_classes)) if classes is None else [_label(one, names, num_classes) for one in classes]
    if not labels or len(set(labels)) < len(labels):
        raise ConfigError(f"classes must be different ones and at least one, got {classes!r:.80}.")
    return [
        Caption(turn * num_classes + label, names.get(label, f"class {label}"), label=label)
        for turn in range(per_class)
        for label in labels
    ]


def read_class_names(path: str | Path) -> dict[int, str]:
    """What classes are called: a json object of number -> name, a text file of names, or a pipeline with `id2label`.

    Raises:
        DataError: The file cannot be read, or holds something else.
    """
    path = Path(path)
    file = path / "model_index.json" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the class names {file}: {getattr(error, 'strerror', None) or error}.") from error
    named = _object(file, text) if file.suffix == ".json" else dict(enumerate(text.splitlines()))
    for key, name in named.items():
        if not str(key).isdigit() or problem_of(name):
            problem = problem_of(name) or "needs a whole number as its key"
            raise DataError(f"{file}: class {str(key)!r:.40} {problem}.")
    return {int(key): str(name).strip() for key, name in named.items()}


def _object(file: Path, text: str) -> dict[Any, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{file} is not valid json: {error}.") from error
    if file.name == "model_index.json" and isinstance(content, dict):
        content = content.get("id2label")
    if not isinstance(content, dict) or not content:
        raise DataError(f"{file} holds no class names; an object such as {{'0': 'tench'}} is needed.")
    return content


def _label(given: int | str, names: Mapping[int, str], num_classes: int) -> int:
    if isinstance(given, int) or given.isdigit():
        label = checks.whole("class", int(given), 0)
        if label >= num_classes:
            raise ConfigError(f"class {label} of {num_classes}: classes count from 0 to {num_classes - 1}.")
        return label
    # ImageNet's names are lists of synonyms with commas between
    found = [
        label
        for label, name in names.items()
        if given.casefold() in {part.strip().casefold() for part in (name, *name.split(","))}
    ]
    if len(found) != 1:
        known = "give `names` to use names" if not names else f"there are {len(found)} classes of that name"
        raise ConfigError(f"no class '{given}': {known}.")
    return found[0]
