"""Feature statistics of a set of images: collected batch by batch and over processes, and kept in files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fdplug.errors import DataError
from fdplug.errors.wording import cut, printable, shown
from fdplug.files.arrays import read_npz
from fdplug.files.limits import is_whole
from fdplug.files.source import MEGABYTE, Source
from fdplug.scores.features.frechet import Moments
from fdplug.scores.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

MEAN, COVARIANCE = ("mu", "mean"), ("sigma", "covariance")
COUNT, EXTRACTOR, SIZE = "count", "extractor", "size"
SUFFIXES = (".npz", ".safetensors")
MOST = 1_024 * MEGABYTE
ROWS = 1_000


class FeatureStatistics:
    """Mean and covariance of features, made in the order of the images: the same for any number of processes.

    Sums would do with less memory, but their last digits depend on who added up what, and where there are fewer images
    than features the distance shows it. 10,000 images with 2,048 features are 80 MB.

    Args:
        width: number of features, d.
        dtype: how features are kept; those of extractors are float32.
    """

    def __init__(self, width: int, dtype: torch.dtype = torch.float32) -> None:
        self.width = width
        self._rows = Rows(width, dtype)
        self._moments: Moments | None = None

    def __len__(self) -> int:
        """Return how many images this process has."""
        return len(self._rows)

    def update(self, features: Tensor, ids: Sequence[int] | None = None) -> None:
        """Add features (N, d) of N images."""
        self._rows.add(features, ids)
        self._moments = None

    def features(self) -> Tensor:
        """Return all features, those of other processes included, in the order of the images' ids."""
        return self._rows.gathered()

    def compute(self) -> Moments:
        """Return the moments of all features; of one image or none they mean nothing."""
        if self._moments is None:
            self._moments = _moments(self.features())
        return self._moments


def _moments(features: Tensor) -> Moments:
    """Return moments in float64, a few rows at a time."""
    count, width = features.shape
    total, outer = (torch.zeros(shape, dtype=torch.float64) for shape in ((width,), (width, width)))
    for part in features.split(ROWS):
        wide = part.double()
        total += wide.sum(0)
        outer += wide.T @ wide
    mean = total / max(count, 1)
    return Moments(mean, (outer - count * torch.outer(mean, mean)) / max(count - 1, 1), count)


def save_statistics(moments: Moments, path: str | Path, *, extractor: str, size: tuple[int, int] | None = None) -> Path:
    """Write statistics as `.npz` (arrays `mu` and `sigma`, as pytorch-fid calls them) or `.safetensors`.

    Args:
        moments: what to write.
        path: its ending decides the format.
        extractor: name of what made the features; statistics of another one are refused when read.
        size: height and width that the images were cropped and resized to; None if they were left as they are.

    Raises:
        DataError: the ending is neither of the two, the file cannot be written, or there are fewer than two images.
    """
    path = Path(path)
    if moments.count < 2:
        raise DataError(f"statistics need at least 2 images, got {moments.count}")
    height, width = size or (0, 0)
    notes = {COUNT: str(moments.count), EXTRACTOR: extractor, SIZE: f"{height}x{width}"}
    arrays = {"mu": moments.mean.cpu().numpy(), "sigma": moments.covariance.cpu().numpy()}
    try:
        _checked(path).parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            whole = _write(Path(folder) / path.name, arrays, notes)
            os.replace(whole, path)
    except OSError as error:
        raise DataError(f"cannot write the statistics {path}: {error.strerror or error}") from error
    return path


def load_statistics(path: str | Path, *, extractor: str | None = None, size: tuple[int, int] | None = None) -> Moments:
    """Read statistics that `save_statistics` or pytorch-fid wrote; pickled files are refused.

    Args:
        path: an `.npz` or `.safetensors` file.
        extractor: what the features of the images to be compared are made by.
        size: height and width of the images to be compared.

    Raises:
        DataError: the file cannot be read, is not as it should be, or belongs to another extractor or size.
    """
    source = Source(_checked(Path(path)), "statistics", "write them anew with --save-statistics", limit=MOST)
    content = _read(source)
    mean, covariance = _array(source, content, MEAN), _array(source, content, COVARIANCE)
    _check_shapes(source, mean, covariance)
    _check_origin(source, content, extractor, size)
    return Moments(torch.from_numpy(mean), torch.from_numpy(covariance), _count(source, content))


def _checked(path: Path) -> Path:
    if path.suffix not in SUFFIXES:
        raise DataError(f"statistics are kept in {' or '.join(SUFFIXES)} files, got {path}; pickled ones are not read")
    return path


def _write(path: Path, arrays: dict[str, np.ndarray], notes: dict[str, str]) -> Path:
    if path.suffix == ".npz":
        content: dict[str, Any] = {**arrays, **{key: np.array(value) for key, value in notes.items()}}
        np.savez(path, **content)
        return path
    from safetensors.numpy import save_file

    save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, path, notes)
    return path


def _read(source: Source) -> dict[str, Any]:
    if source.path.suffix == ".npz":
        return read_npz(source, MOST)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = source.read()
    try:
        tensors, notes = load(data), json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__")
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise source.unreadable(error) from error
    return {**(notes or {}), **tensors}


def _array(source: Source, content: Mapping[str, Any], names: tuple[str, str]) -> np.ndarray:
    for name in names:
        if name in content:
            array = np.asarray(content[name])
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise source.refused(f"'{name}' holds something else than finite numbers")
            return array.astype(np.float64)
    raise source.refused(f"it has no '{names[0]}', only {shown(sorted(content))}")


def _check_shapes(source: Source, mean: np.ndarray, covariance: np.ndarray) -> None:
    """Refuse what is no mean of features with their covariance."""
    if mean.ndim != 1 or not mean.size:
        raise source.refused(f"the mean has the shape {mean.shape}, one row of numbers is needed")
    width = len(mean)
    if covariance.shape != (width, width):
        raise source.refused(f"the covariance is {covariance.shape}, not ({width}, {width})")
    scale = np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > 1e-4 * scale:
        raise source.refused("the covariance is not symmetric, as a covariance is")
    if covariance.diagonal().min() < -1e-4 * scale:
        raise source.refused("the covariance has a negative variance")


def _count(source: Source, content: Mapping[str, Any]) -> int:
    """How many images; 0 where the file does not say, as those of pytorch-fid do not."""
    text = str(content.get(COUNT, 0))
    if not is_whole(text) or int(text) == 1:
        raise source.refused(f"'{COUNT}' is {shown(text, 40)}, a whole number of at least 2 is needed")
    return int(text)


def _check_origin(
    source: Source, content: Mapping[str, Any], extractor: str | None, size: tuple[int, int] | None
) -> None:
    made_by = content.get(EXTRACTOR)
    if extractor is not None and made_by is not None and str(made_by) != extractor:
        raise source.refused(f"it holds features of {shown(str(made_by))}, not of '{extractor}'")
    made_at = str(content.get(SIZE, "0x0"))
    if size is not None and made_at not in ("0x0", f"{size[0]}x{size[1]}"):
        raise source.refused(
            f"it is of images cropped to {cut(printable(made_at), 40)}, the images are {size[0]}x{size[1]}"
        )
