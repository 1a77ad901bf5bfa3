"""Captions of a file in the form of COCO's `captions_val2017.json`.

One caption per image by a fixed rule: the one with the lowest annotation id, stripped; images in the order of ids.
Nothing in the file is trusted: every record is checked, and the first bad one is named with its place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fdplug.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

SHAPES = "shapes"
EXPECTED = "expected the form of COCO's captions_val2017.json"
LARGEST_ID = 2**63 - 1


class Caption(NamedTuple):
    """One image to draw: its id, its text, and what is known about the reference image."""

    image_id: int
    text: str
    file_name: str | None = None
    scene: Mapping[str, Any] | None = None

    @property
    def output_name(self) -> str:
        """File name of a generated image; made from the id alone, never from `file_name`."""
        return f"{self.image_id:012d}.png"


def read_captions(annotations: str | Path = SHAPES, limit: int | None = None) -> list[Caption]:
    """One caption per image of an annotation file.

    Args:
        annotations: Path of a json file, or `"shapes"` for the held-out captions of the embedded model.
        limit: Take the first so many images only.

    Raises:
        DataError: The file cannot be read, or one of its records is not as it should be.
    """
    path = annotation_path(annotations)
    document = _load(path)
    texts = _first_texts(path, _records(path, document, "annotations"))
    images = _images(path, _records(path, document, "images"))
    for image_id, (place, _, _) in texts.items():
        if image_id not in images:
            raise DataError(f"{path}: {place}: image_id {image_id} is not among 'images'. Add it there.")
    captions = [_caption(images[image_id], texts[image_id][2]) for image_id in sorted(texts)]
    if not captions:
        raise DataError(f"{path}: no captions: 'annotations' is empty; {EXPECTED}.")
    return captions[:limit]


def annotation_path(annotations: str | Path) -> Path:
    """The file behind an `annotations` setting; `"shapes"` is the one inside the package."""
    if str(annotations) != SHAPES:
        return Path(annotations)
    from fdplug import shapes

    return Path(shapes.annotations_file())


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read the annotation file {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid json: {error}; {EXPECTED}.") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} holds a {type(document).__name__}, not an object; {EXPECTED}.")
    return document


def _records(path: Path, document: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    records = document.get(key)
    if not isinstance(records, list):
        found = "is missing" if key not in document else f"is a {type(records).__name__}"
        raise DataError(f"{path}: '{key}' {found}, a list is needed; {EXPECTED}.")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise DataError(f"{path}: {key}[{index}] is a {type(record).__name__}, an object is needed; {EXPECTED}.")
    return [(f"{key}[{index}]", record) for index, record in enumerate(records)]


def _identifier(path: Path, place: str, record: dict[str, Any], key: str) -> int:
    value = record.get(key)
    if type(value) is not int or not 0 <= value <= LARGEST_ID:
        raise DataError(f"{path}: {place}: '{key}' is {value!r:.60}, a non-negative whole number is needed.")
    return value


def _first_texts(path: Path, records: list[tuple[str, dict[str, Any]]]) -> dict[int, tuple[str, int, str]]:
    """Image id -> (place, annotation id, text) of the annotation with the lowest id."""
    first: dict[int, tuple[str, int, str]] = {}
    for place, record in records:
        identifier = _identifier(path, place, record, "id")
        image_id = _identifier(path, place, record, "image_id")
        text = record.get("caption")
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{path}: {place} (id {identifier}): 'caption' is {text!r:.60}, a text is needed.")
        if image_id not in first or identifier < first[image_id][1]:
            first[image_id] = (place, identifier, text.strip())
    return first


def _images(path: Path, records: list[tuple[str, dict[str, Any]]]) -> dict[int, Caption]:
    """Image id -> a caption without text."""
    images: dict[int, Caption] = {}
    for place, record in records:
        image_id = _identifier(path, place, record, "id")
        file_name, scene = record.get("file_name"), record.get("scene")
        if file_name is not None and not isinstance(file_name, str):
            raise DataError(f"{path}: {place}: 'file_name' is {file_name!r:.60}, a text is needed.")
        if scene is not None and not isinstance(scene, dict):
            raise DataError(f"{path}: {place}: 'scene' is {scene!r:.60}, an object is needed.")
        if image_id in images:
            raise DataError(f"{path}: {place}: the image id {image_id} appears twice.")
        images[image_id] = Caption(image_id, "", file_name, scene)
    return images


def _caption(image: Caption, text: str) -> Caption:
    return image._replace(text=text)
