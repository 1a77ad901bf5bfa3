"""With what a run begins: what a prior is asked for, and the images of functions and folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdplug.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor, nn

LISTS = {"manifest.jsonl": ("file", "caption"), "metadata.jsonl": ("file_name", "text")}
"""Which file of a folder says what its images show, and its words for file and caption: ours, and Hugging Face's."""


@dataclass(frozen=True)
class Asked:
    """What a prior is asked for.

    Attributes:
        prompts: one for each of B images; None where it is called without.
        noise: the noise with which the plain run would begin, standard normal, (B, ...), as the pipeline's latents.
        height: of the images in pixels; None where the pipeline does not say.
        width: likewise.
        call: what the pipeline is called with, by name.
    """

    prompts: list[str] | None
    noise: Tensor
    height: int | None = None
    width: int | None = None
    call: Mapping[str, Any] = field(default_factory=dict)


Prior = Callable[[Asked], Any]
"""Returns clean latents of the noise's shape, or B images: PIL, or a tensor (B, 3, H, W) from 0 to 1."""


@dataclass(frozen=True)
class Ran:
    """One pass of a denoiser that a prior took: whose, what it was given, without values, and its rows."""

    network: nn.Module
    arguments: dict[str, Any]
    rows: int


class Counted:
    """A prior, and which passes of a denoiser it took.

    Attributes:
        said: what it is, in words.
        passes: of the last call; None where they cannot be counted.
    """

    said = "a function's images"
    passes: list[Ran] | None = None

    def __init__(self, function: Prior) -> None:
        self._function = function

    def __call__(self, asked: Asked) -> Any:
        """Return latents or images."""
        return self._function(asked)


class OfFolder(Counted):
    """Images of a folder, found by their captions.

    Args:
        folder: holds ``manifest.jsonl``, as `fdplug predict` writes it, or Hugging Face's ``metadata.jsonl``.
    """

    def __init__(self, folder: Path) -> None:
        self.said = f"the images of {folder.name}"
        self._files = _captioned(folder)
        self._folder = folder

    def __call__(self, asked: Asked) -> list[Any]:
        """Return the images of the prompts; of several to one prompt, the first."""
        from PIL import Image

        if asked.prompts is None:
            raise ConfigError("a folder as prior needs prompts: give prompt instead of prompt_embeds")
        missing = [prompt for prompt in asked.prompts if prompt not in self._files]
        if missing:
            raise DataError(
                f"{self._folder} holds no image of {missing[0]!r:.80}; it has {len(self._files)} captions, listed in "
                f"{' or '.join(LISTS)}"
            )
        return [Image.open(self._files[prompt]).convert("RGB") for prompt in asked.prompts]


def _captioned(folder: Path) -> dict[str, Path]:
    for name, (file, text) in LISTS.items():
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
            found: dict[str, Path] = {}
            for entry in (json.loads(line) for line in lines if line.strip()):
                if entry.get(file) and entry.get(text):
                    found.setdefault(entry[text], folder / entry[file])
            return found
    raise ConfigError(
        f"prior {folder} is neither a pipeline's folder (model_index.json) nor one of images with captions "
        f"({' or '.join(LISTS)})"
    )


def prompts_of(call: Mapping[str, Any], rows: int) -> list[str] | None:
    """Return a prompt for each image; None where embeddings were given."""
    given = call.get("prompt")
    if given is None:
        return None
    prompts = [given] if isinstance(given, str) else list(given)
    return [prompt for prompt in prompts for _ in range(rows // len(prompts))]
