"""The last words of a prediction: what was generated, how fast, and every file that was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from fdplug.files.writing import write_text
from fdplug.predict.lightning.callbacks.base import ERROR, LogNumbers
from fdplug.predict.lightning.image_writer import ImageWriter
from fdplug.predict.storage.manifest import MANIFEST, OK, ManifestEntry
from fdplug.predict.storage.run_folder import METRICS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMED = 5


class Summary(Callback):
    """Writes `metrics.json` beside the images, and says what is in the folder; the last of all callbacks."""

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Write and print, in the first process."""
        if not trainer.is_global_zero:
            return
        (writer,) = (callback for callback in trainer.callbacks if isinstance(callback, ImageWriter))
        numbers = [callback.values for callback in trainer.callbacks if isinstance(callback, LogNumbers)]
        values = {key: value for one in numbers for key, value in one.items()}
        whole = [entry for entry in writer.entries if entry.status == OK]
        broken = [entry for entry in writer.entries if entry.status != OK]
        counts = {"images": len(whole), "images_not_a_number": len(broken)}
        write_text(json.dumps({**values, **counts}, indent=2) + "\n", writer.folder / METRICS)
        lines = (_numbers(values), _images(writer, whole), _broken(broken), _files(writer.folder, trainer))
        print("\n".join(line for line in lines if line))


def _numbers(values: Mapping[str, float]) -> str:
    """One number a line, with its standard error where there is one."""
    own = [key for key in values if not (key.endswith(ERROR) and key.removesuffix(ERROR) in values)]
    width = max(map(len, own), default=0)
    errors = {key: f" ±{values[key + ERROR]:.2g}" if key + ERROR in values else "" for key in own}
    return "\n".join(f"{key.ljust(width)}  {values[key]:.4g}{errors[key]}" for key in own)


def _images(writer: ImageWriter, whole: list[ManifestEntry]) -> str:
    earlier = len(writer.entries) - writer.generated
    span = f" ({whole[0].file} ... {whole[-1].file})" if whole else ""
    from_before = f", {earlier} of them by an earlier run" if earlier else ""
    return f"Written to {writer.folder}: {len(whole)} images{span}{from_before}"


def _broken(broken: list[ManifestEntry]) -> str:
    if not broken:
        return ""
    ids = ", ".join([*(str(entry.id) for entry in broken[:NAMED]), *(["..."] if len(broken) > NAMED else [])])
    return f"  {len(broken)} images hold not-a-number and have no file: {ids}; try --model.dtype float32"


def _files(folder: Path, trainer: Any) -> str:
    """The other files, and where loggers have written."""
    own = [name for name in (MANIFEST, SETTINGS, METRICS, "metrics.csv", "config.yaml") if (folder / name).is_file()]
    places = {Path(logger.log_dir) for logger in trainer.loggers if getattr(logger, "log_dir", None)} - {folder}
    return "\n".join([f"  {', '.join(own)}", *(f"  logs in {place}" for place in sorted(places))])
