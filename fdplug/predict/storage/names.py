"""How the file of a generated image is named."""

from __future__ import annotations


def image_name(image_id: int) -> str:
    """Return the file name of an image; made from its id alone, never from what a caption says."""
    return f"{image_id:012d}.png"
