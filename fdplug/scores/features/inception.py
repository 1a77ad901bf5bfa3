"""The Inception-v3 of FID, as torchmetrics and torch-fidelity know it, and its weights from a file."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from fdplug import checks
from fdplug.errors import DataError, PipelineError
from fdplug.errors.wording import one_line
from fdplug.files.source import is_folder
from fdplug.scores.features import INCEPTION
from fdplug.scores.features.extractor import Extractor

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = 2048


class Inception(Extractor):
    """FID's Inception-v3: its last pooled features, and the classes behind the Inception score."""

    kind = INCEPTION
    width = WIDTH
    num_classes = 1008

    def embed(self, images: Tensor) -> Tensor:
        return self.network(images)

    def logits(self, images: Tensor) -> Tensor:
        """Without the bias, as the Inception score is defined."""
        network: Any = self.network
        return self.features(images) @ network.fc.weight.T


def load_inception(path: str | None = None, allow_pickle: bool = False) -> Inception:
    """FID's Inception-v3.

    Args:
        path: a file with its weights, or a folder with one such file; None lets torch-fidelity download them once.
        allow_pickle: also read `.pth` and `.pt` files; even then torch reads tensors only.

    Raises:
        ConfigError: an extra package is missing.
        DataError: the file is not there, or is pickled.
        PipelineError: the weights cannot be loaded, or belong to another network.
    """
    weights = None if path is None else read_weights(Path(path), allow_pickle)
    check_inception()
    from torchmetrics.image.fid import NoTrainInceptionV3

    try:
        with TemporaryDirectory() as folder, _tensors_only():
            file = None if weights is None else str(Path(folder) / "weights.pth")
            if file is not None:
                torch.save(weights, file)
            network = NoTrainInceptionV3("inception-v3-compat", [str(WIDTH)], file)
    except (ImportError, OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise PipelineError(f"cannot load FID's Inception-v3: {one_line(error, 200)}") from error
    return Inception(network)


def check_inception() -> None:
    """Refuse FID's Inception-v3 where the packages it needs are not installed.

    Raises:
        ConfigError: names what to install.
    """
    otherwise = (
        " (torchvision from torch's index), or name another extractor: the hub id or folder of a transformers vision"
        " model"
    )
    checks.installed("FID's Inception", "fid", "torch_fidelity", "torchvision", otherwise=otherwise)


def read_weights(path: Path, allow_pickle: bool = False) -> dict[str, Tensor]:
    """The tensors of a `.safetensors`, `.pth` or `.pt` file, or of the one such file in a folder.

    Raises:
        DataError: there is none, or it is pickled and `allow_pickle` is off, or it holds something else than tensors.
    """
    if is_folder(path):
        found = sorted(one for one in path.iterdir() if one.suffix in (".safetensors", ".pth", ".pt"))
        if len(found) != 1:
            raise DataError(f"the folder {path} holds {len(found)} files of weights; name one of them")
        path = found[0]
    if path.suffix != ".safetensors" and not allow_pickle:
        raise DataError(f"{path} may be pickled; give .safetensors, or allow pickled weights (--allow-pickle)")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"there are no weights {path}") from error
    except Exception as error:  # what the two libraries raise for a broken file is not written down
        raise DataError(f"cannot read the weights {path}: {one_line(error, 160)}") from error
    if not isinstance(weights, dict) or not all(isinstance(one, torch.Tensor) for one in weights.values()):
        raise DataError(f"{path} holds something else than named tensors")
    return weights


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Let `torch.load` read nothing but tensors, also where a library asks it to unpickle everything."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
