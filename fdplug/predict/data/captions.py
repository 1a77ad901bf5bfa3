"""Captions of a file in the form of COCO's `captions_val2017.json` (those of 2014 have the same form).

Images come in the order of their ids, captions of one image in the order of theirs, stripped. Nothing in the file is
trusted: every record is checked, and the first bad one is named with its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fdplug.checks import check_choice
from fdplug.errors import DataError
from fdplug.errors.wording import shown
from fdplug.files.json_text import read_json
from fdplug.files.schema import kind
from fdplug.files.source import MEGABYTE, Source
from fdplug.predict.data.caption_text import problem_of
from fdplug.predict.data.seeds import seed_of
from fdplug.predict.storage.names import image_name
from fdplug.shapes import CAPTIONS, MODELS, annotations_file, inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHAPES = "shapes"
EXPECTED = "expected the form of COCO's captions_val2017.json"
LARGEST_ID = 2**63 - 1
MOST = 1_000 * MEGABYTE
PICKS = ("first", "random", "all")
Texts = tuple[int, int, str, int]


class Caption(NamedTuple):
    """One image to generate: its id, its text, and what is known about the reference image.

    `image_id` names the file and makes the seed, so it is unique within a run: the id of the image, or, where several
    captions of one image are taken, the id of the annotation. `label` is the class, for class-conditional models.
    `seed` is that of the image's noise; None makes one of the run's seed and `image_id`. `inputs` are the files of
    pictures to begin from, each behind the argument of the pipeline that takes it; `shapes-controlnet` in the place of
    a file stands for the outlines of the scene.
    """

    image_id: int
    text: str
    file_name: str | None = None
    scene: Mapping[str, Any] | None = None
    label: int | None = None
    seed: int | None = None
    inputs: tuple[tuple[str, str], ...] = ()

    @property
    def output_name(self) -> str:
        """File name of a generated image; made from the id alone, never from `file_name`."""
        return image_name(self.image_id)

    def noise_seed(self, run_seed: int) -> int:
        """Seed of the image's noise in a run of this seed."""
        return seed_of(run_seed, self.image_id) if self.seed is None else self.seed


def read_captions(
    annotations: str | Path = SHAPES, limit: int | None = None, pick: str = "first", pick_seed: int = 0
) -> list[Caption]:
    """Captions of an annotation file.

    Args:
        annotations: path of a json file, or the name of an embedded model for its held-out captions; those of
            `"shapes-controlnet"` begin from the outlines of their scenes. `"shapes-flow-classes"` for classes of one
            object, written out.
        limit: take the first so many only.
        pick: which captions of an image: `first` (lowest annotation id), `random`, or `all` (ids are then those of the
            annotations).
        pick_seed: decides, with the image id, which caption `random` takes.

    Raises:
        DataError: the file cannot be read, or one of its records is not as it should be.
    """
    check_choice("pick", pick, PICKS)
    path = annotation_path(annotations)
    document = _load(Source(path, "annotation file", EXPECTED, limit=MOST))
    texts = _texts(path, _records(path, document, "annotations"))
    images = _images(path, _records(path, document, "images"))
    del document
    captions = list(_picked(path, texts, images, pick, pick_seed))
    if not captions:
        raise DataError(f"{path}: no captions: 'annotations' is empty; {EXPECTED}")
    own = inputs(str(annotations)) if str(annotations) in MODELS else ()
    return [caption._replace(inputs=own) for caption in captions[:limit]]


def annotation_path(annotations: str | Path) -> Path:
    """The file behind an `annotations` setting; a name such as `shapes` is that of one inside the package."""
    name = str(annotations)
    return annotations_file(name) if name in CAPTIONS else Path(annotations)


def default_annotations(model: str) -> str:
    """The annotations for a model where none are given: its own held-out captions, or those of `shapes`."""
    return model if model in MODELS else SHAPES


def _load(source: Source) -> dict[str, Any]:
    document = read_json(source)
    if not isinstance(document, dict):
        raise source.refused(f"it holds {kind(document)}, not an object")
    return document


def _records(path: Path, document: dict[str, Any], key: str) -> list[Any]:
    records = document.get(key)
    if not isinstance(records, list):
        found = "is missing" if key not in document else f"is {kind(records)}"
        raise DataError(f"{path}: '{key}' {found}, a list is needed; {EXPECTED}")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise DataError(f"{path}: {key}[{index}] is {kind(record)}, an object is needed; {EXPECTED}")
    return records


def _identifier(path: Path, place: str, index: int, record: dict[str, Any], key: str) -> int:
    value = record.get(key)
    if type(value) is not int or not 0 <= value <= LARGEST_ID:
        where = f"{place}[{index}]: '{key}' is {shown(value)}"
        raise DataError(f"{path}: {where}, a non-negative whole number is needed")
    return value


def _texts(path: Path, records: Sequence[dict[str, Any]]) -> list[Texts]:
    """(image id, annotation id, text, index) of every annotation, in this order."""
    texts: list[Texts] = []
    seen: set[int] = set()
    for index, record in enumerate(records):
        identifier = _identifier(path, "annotations", index, record, "id")
        image_id = _identifier(path, "annotations", index, record, "image_id")
        text = record.get("caption")
        if problem := problem_of(text):
            raise DataError(f"{path}: annotations[{index}] (id {identifier}): 'caption' {problem}")
        if identifier in seen:
            raise DataError(f"{path}: annotations[{index}]: the annotation id {identifier} appears twice")
        seen.add(identifier)
        texts.append((image_id, identifier, str(text).strip(), index))
    texts.sort()
    return texts


def _images(path: Path, records: Sequence[dict[str, Any]]) -> dict[int, Caption]:
    """Image id -> a caption without text."""
    images: dict[int, Caption] = {}
    for index, record in enumerate(records):
        image_id = _identifier(path, "images", index, record, "id")
        file_name, scene = record.get("file_name"), record.get("scene")
        if file_name is not None and not isinstance(file_name, str):
            raise DataError(f"{path}: images[{index}]: 'file_name' is {shown(file_name)}, a text is needed")
        if scene is not None and not isinstance(scene, dict):
            raise DataError(f"{path}: images[{index}]: 'scene' is {shown(scene)}, an object is needed")
        if image_id in images:
            raise DataError(f"{path}: images[{index}]: the image id {image_id} appears twice")
        images[image_id] = Caption(image_id, "", file_name, scene)
    return images


def _picked(
    path: Path, texts: Sequence[Texts], images: Mapping[int, Caption], pick: str, seed: int
) -> Iterator[Caption]:
    for image_id, group in groupby(texts, key=itemgetter(0)):
        own = list(group)
        if image_id not in images:
            place = f"annotations[{own[0][3]}]: image_id {image_id}"
            raise DataError(f"{path}: {place} is not among 'images'. Add it there")
        if pick == "all":
            yield from (images[image_id]._replace(image_id=one[1], text=one[2]) for one in own)
        else:
            chosen = own[0] if pick == "first" else own[seed_of(seed, image_id) % len(own)]
            yield images[image_id]._replace(text=chosen[2])
