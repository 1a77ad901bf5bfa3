"""Class labels for class-conditional models such as DiT, by number or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fdplug import checks
from fdplug.errors import ConfigError
from fdplug.errors.wording import shown
from fdplug.files.json_text import read_json
from fdplug.files.limits import is_whole
from fdplug.files.source import Source, is_folder
from fdplug.predict.data.caption_text import problem_of
from fdplug.predict.data.captions import LARGEST_ID, Caption


def class_captions(
    classes: Sequence[int | str] | None, names: Mapping[int, str], num_classes: int, per_class: int
) -> list[Caption]:
    """One caption per image to generate, round by round over the classes.

    The id of an image is `round * num_classes + class`, so that an image keeps its seed when other classes are added.

    Args:
        classes: numbers or names; None takes all.
        names: what the classes are called, as far as known.
        num_classes: how many classes the model knows.
        per_class: images of each class.

    Raises:
        ConfigError: a class is unknown or named twice.
    """
    checks.whole("num_classes", num_classes, 1, 1_000_000)
    checks.whole("per_class", per_class, 1, LARGEST_ID // num_classes)
    labels = list(range(num_classes)) if classes is None else [_label(one, names, num_classes) for one in classes]
    if not labels or len(set(labels)) < len(labels):
        raise ConfigError(f"classes must be different ones and at least one, got {shown(classes)}")
    return [
        Caption(turn * num_classes + label, names.get(label, f"class {label}"), label=label)
        for turn in range(per_class)
        for label in labels
    ]


def read_class_names(path: str | Path) -> dict[int, str]:
    """What classes are called: a json object of number -> name, a text file of names, or a pipeline with `id2label`.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    path = Path(path)
    file = path / "model_index.json" if is_folder(path) else path
    source = Source(file, "class names", "give a json object such as {'0': 'tench'}, or a text file with a name a line")
    named = _object(source) if file.suffix == ".json" else dict(enumerate(source.lines()))
    for key, name in named.items():
        if not is_whole(key) or problem_of(name):
            problem = problem_of(name) or "needs a whole number as its key"
            raise source.refused(f"class {shown(str(key), 40)} {problem}")
    return {int(key): str(name).strip() for key, name in named.items()}


def _object(source: Source) -> dict[Any, Any]:
    content = read_json(source)
    if source.path.name == "model_index.json" and isinstance(content, dict):
        content = content.get("id2label")
    if not isinstance(content, dict) or not content:
        raise source.refused("it holds no class names")
    return content


def _label(given: int | str, names: Mapping[int, str], num_classes: int) -> int:
    if not isinstance(given, int | str) or isinstance(given, bool):
        raise ConfigError(f"a class is a number or a name, got {shown(given)}")
    if isinstance(given, int) or given.isdigit():
        label = checks.whole("class", int(given) if is_whole(given) else given, 0)
        if label >= num_classes:
            raise ConfigError(f"class {label} of {num_classes}: classes count from 0 to {num_classes - 1}")
        return label
    # ImageNet's names are lists of synonyms with commas between
    found = [
        label
        for label, name in names.items()
        if given.casefold() in {part.strip().casefold() for part in (name, *name.split(","))}
    ]
    if len(found) != 1:
        known = "give `names` to use names" if not names else f"there are {len(found)} classes of that name"
        raise ConfigError(f"no class {shown(given)}: {known}")
    return found[0]
