"""What a comparison generates from: captions, prompts of a file, classes, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fdplug.errors import ConfigError
from fdplug.files.source import is_folder
from fdplug.predict.data.captions import Caption, annotation_path, read_captions
from fdplug.predict.data.class_labels import class_captions
from fdplug.predict.data.inputs import read_inputs, with_inputs
from fdplug.predict.data.prompts import READERS, read_prompts

CLASSES, SAMPLES = "classes", "samples"
NUM_CLASSES = 1000


def read_subjects(given: str, limit: int, inputs: Any = None) -> list[Caption]:
    """Return what to generate from; of captions and prompts all there are, of classes and samples so many.

    Args:
        given: a file in the form of COCO's `captions_val2017.json`, `shapes`, a file of prompts, `classes` (the first
            ones of a class-conditional model), `classes:1,207` (these), or `samples` (of an unconditional model).
        limit: how many are wanted.
        inputs: pictures to begin from, as `read_inputs` takes them; what is no folder is a column of the prompt file.

    Raises:
        DataError: a file cannot be read, or is not as it should be.
        ConfigError: a class or the inputs are impossible.
    """
    places = read_inputs(inputs)
    columns = {name: place for name, place in places.items() if not is_folder(Path(place))}
    if _is_prompts(given):
        found = read_prompts(given, inputs=columns)
        return with_inputs(found[:limit], {name: one for name, one in places.items() if name not in columns})
    return with_inputs(_read(given, limit), places)


def _read(given: str, limit: int) -> list[Caption]:
    if given == SAMPLES:
        return [Caption(number, "") for number in range(limit)]
    word, _, listed = given.partition(":")
    if word == CLASSES:
        classes = [_whole(one) for one in listed.split(",")] if listed else list(range(min(limit, NUM_CLASSES)))
        return class_captions(classes, {}, NUM_CLASSES, -(-limit // len(classes)))[:limit]
    return read_captions(given)


def _whole(text: str) -> int:
    if not text.strip().isdigit():
        raise ConfigError(f"classes are whole numbers with commas between, as in classes:1,207; got {text!r:.40}")
    return int(text)


def _is_prompts(given: str) -> bool:
    return Path(given).suffix.lower() in READERS


def has_texts(given: str) -> bool:
    """Whether there are texts to generate from."""
    return given.partition(":")[0] not in (CLASSES, SAMPLES)


def subjects_file(given: str) -> Path | None:
    """Return the file that is read; None where there is none."""
    if not has_texts(given):
        return None
    return Path(given) if _is_prompts(given) else annotation_path(given)
