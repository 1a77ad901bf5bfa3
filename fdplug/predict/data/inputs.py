"""Pictures to begin from, for image to image, ControlNet and image to video: one for each caption and argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.errors import ConfigError, DataError
from fdplug.errors.wording import shown
from fdplug.files.images import SUFFIXES
from fdplug.files.source import is_folder

if TYPE_CHECKING:
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
        found = [one._replace(inputs=(*one.inputs, (argument, _file(folder, one)))) for one in found]
    return found


def _file(folder: Path, caption: Caption) -> str:
    stems = (f"{caption.image_id:012d}", str(caption.image_id))
    named = [] if caption.file_name is None else [folder / Path(caption.file_name).name]
    candidates = [*named, *(folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)]
    path = next((one for one in candidates if one.is_file()), None)
    if path is None:
        names = ", ".join(one.name for one in candidates[:2])
        raise DataError(f"inputs: {folder} has no picture for caption {caption.image_id}; it would be {names}, ...")
    return str(path)
