"""One prediction on a tiny pipeline, without the command line."""

from __future__ import annotations

import hashlib
import json
import warnings

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger

from fdplug.config import PropagationConfig
from fdplug.predict import CocoCaptions, ImageWriter, LogCosts, TextToImage
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.lightning.callbacks.summary import Summary

UNIFORM = {"uniform": {"interval": 2}}


def text_to_image(model, **options):
    """The module; settings of propagation may stand beside the others, and `propagation=None` switches it off."""
    names = set(PropagationConfig.fields()) - set(GenerationConfig.fields())
    given = {name: options.pop(name) for name in names if name in options}
    return TextToImage(model, **{"propagation": PropagationConfig(**given), **options})


def predict(model, annotations, folder, callbacks=(), *, data=None, overwrite=False, trainer=None, **options):
    """Generate images in batches of two; returns the module, the writer and the predictions."""
    module = text_to_image(model, **{"steps": 4, "policy": UNIFORM, **options})
    writer = ImageWriter(str(folder), overwrite)
    engine = Trainer(
        callbacks=[writer, *callbacks, LogCosts(), Summary()],
        **{
            "logger": CSVLogger(str(folder / "logs"), name="", version=""),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "accelerator": "cpu",
            "devices": 1,
            **(trainer or {}),
        },
    )
    with warnings.catch_warnings():
        for message in (".*does not have many workers.*", ".*Experiment logs directory .* exists and is not empty.*"):
            warnings.filterwarnings("ignore", message=message)
        predictions = engine.predict(module, data or CocoCaptions(annotations, batch_size=2))
    return module, writer, predictions


def content(folder):
    """File name -> bytes of every image."""
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def records(folder):
    """The manifest without its seconds, and the checksums of lines that hold them."""
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "seconds" not in key and key != "crc32"} for line in lines]


def numbers(folder):
    """The metrics without seconds."""
    values = json.loads((folder / "metrics.json").read_text())
    return {key: value for key, value in values.items() if "seconds" not in key}


def check_whole(folder, captions):
    """Every caption has one image that is the one in the manifest, and nothing is left lying about."""
    assert [record["id"] for record in records(folder)] == sorted(caption.image_id for caption in captions)
    files = {record["file"]: record["sha256"] for record in records(folder)}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in content(folder).items()} == files
    assert not [path.name for path in folder.iterdir() if ".part" in path.name or "rank" in path.name]
