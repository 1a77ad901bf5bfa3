"""How the file of a generated image, video or sound is named."""

from __future__ import annotations

IMAGE, VIDEO, SOUND = "image", "video", "sound"
"""What pipelines make."""


def image_name(image_id: int, suffix: str = ".png") -> str:
    """Return the file name of an image; made from its id alone, never from what a caption says."""
    return f"{image_id:012d}{suffix}"
