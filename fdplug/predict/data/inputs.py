"""Pictures to begin from, for image to image, ControlNet and image to video: one for each caption and argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.errors import ConfigError, DataError
from fdplug.errors.wording import shown
from fdplug.files.images import SUFFIXES, read_image
from fdplug.files.source import is_folder
from fdplug.shapes import CONTROLNET

if TYPE_CHECKING:
    from PIL import Image

    from fdplug.predict.data.captions import Caption

IMAGE = "image"


def read_inputs(given: Any) -> dict[str, str]:
    """Return where the pictures of each argument are: a folder alone is that of `image`.

    Args:
        given: a folder, a mapping of the pipeline's arguments to folders or columns, or nothing.

    Raises:
        ConfigError: it is something else.
    """
    if given is None:
        return {}
    if isinstance(given, str):
        return {IMAGE: given}
    texts = isinstance(given, Mapping) and all(isinstance(one, str) for pair in given.items() for one in pair)
    if not texts:
        raise ConfigError(f"inputs is a folder, or a mapping such as {{image: FOLDER}}, got {shown(given)}")
    return dict(given)


def with_inputs(captions: Sequence[Caption], places: Mapping[str, str]) -> list[Caption]:
    """Return captions with a picture of each folder.

    The picture of a caption is called as its reference image is (`file_name`), or as its id, with or without zeros
    before it.

    Raises:
        DataError: a folder or a picture is missing.
    """
    found = list(captions)
    for argument, place in places.items():
        folder = Path(place)
        if not is_folder(folder):
            raise DataError(
                f"inputs: there is no folder {place} of pictures for {argument}, and no column of that name"
            )
        found = [_with_input(one, argument, _file(folder, one)) for one in found]
    return found


def _with_input(caption: Caption, argument: str, file: str) -> Caption:
    others = tuple(pair for pair in caption.inputs if pair[0] != argument)
    return caption._replace(inputs=(*others, (argument, file)))


def picture_of(caption: Caption, argument: str) -> Image.Image:
    """Return the picture that a caption begins from: that of the file, or the outlines of its scene.

    Raises:
        DataError: the file is no picture, or the outlines are of a caption that is not of the world of `shapes`.
    """
    place = dict(caption.inputs)[argument]
    if place != CONTROLNET:
        return read_image(Path(place), "picture to begin from")
    from PIL import Image

    from fdplug.shapes.control.outlines import outlines_of_caption

    try:
        return Image.fromarray(outlines_of_caption(caption.text, caption.scene))
    except ValueError as error:
        raise DataError(
            f"there are no outlines to draw for caption {caption.image_id}: {error}; give a picture of outlines"
        ) from error


def content_of(caption: Caption, argument: str) -> bytes:
    """Return what decides the picture that a caption begins from: the bytes of its file, or of its drawn outlines."""
    place = dict(caption.inputs)[argument]
    return picture_of(caption, argument).tobytes() if place == CONTROLNET else Path(place).read_bytes()


def _file(folder: Path, caption: Caption) -> str:
    stems = (f"{caption.image_id:012d}", str(caption.image_id))
    named = [] if caption.file_name is None else [folder / Path(caption.file_name).name]
    candidates = [*named, *(folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)]
    path = next((one for one in candidates if one.is_file()), None)
    if path is None:
        names = ", ".join(one.name for one in candidates[:2])
        raise DataError(f"inputs: {folder} has no picture for caption {caption.image_id}; it would be {names}, ...")
    return str(path)
