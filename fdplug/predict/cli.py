"""`fdplug predict`: LightningCLI over `TextToImage` and `CocoCaptions`."""

from __future__ import annotations

import argparse
import difflib
import json
import logging
import os
import re
import sys
import warnings
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger

from fdplug import registry
from fdplug.errors import ConfigError, FdplugWarning
from fdplug.predict import ready_configs
from fdplug.predict.callbacks import (  # noqa: F401  named in YAML by their class names
    LogClipScore,
    LogCosts,
    LogFid,
    LogFidelity,
    LogNumbers,
    LogShapesScores,
)
from fdplug.predict.data import CocoCaptions
from fdplug.predict.module import TextToImage
from fdplug.predict.progress import DenoisingBar
from fdplug.predict.writer import ImageWriter, writable_folder, write_text

DESCRIPTION = "Draw the captions of a COCO-format file with a diffusers pipeline, with or without propagation."
QUIET = (
    ".*does not have many workers.*",
    ".*Experiment logs directory .* exists and is not empty.*",
    ".*LeafSpec.*",
    r"(?s).*was deprecated in v4\..* and will be removed in v5",  # how Lightning calls jsonargparse
    r"(?s).*only one JsonargparseDeprecationWarning",
)


class PredictCLI(LightningCLI):
    """LightningCLI with the one subcommand `predict`, a writer, a progress bar, and ready configurations."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Only `predict`: nothing is trained here."""
        return {"predict": {"model", "dataloaders", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `writer`, where the images go."""
        parser.add_lightning_class_args(ImageWriter, "writer")

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.set_defaults({"return_predictions": False})
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Find ready configurations; say what is wrong in one line."""
        arguments = sys.argv[1:] if args is None else args
        try:
            self.config = parser.parse_args(ready_configs.resolve(arguments))
        except argparse.ArgumentError as error:
            known = [action.dest for action in self._subcommand_parsers["predict"]._actions]
            raise ConfigError(_one_line(str(error), known)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log beside the images, and add the bar over denoising steps unless bars are off."""
        given: Any = self.config_init["predict"]
        folder = writable_folder(given["writer"].folder)
        if given["trainer"]["logger"] in (None, True):
            kwargs["logger"] = CSVLogger(str(folder), name="", version="")
        if given["trainer"]["default_root_dir"] is None:
            kwargs["default_root_dir"] = str(folder)
        return super().instantiate_trainer(**kwargs)

    def before_predict(self) -> None:
        """Warn of processes that know nothing of each other."""
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started > 1 and self.trainer.world_size == 1:
            message = f"{started} processes were started, but each does the whole job: add --trainer.devices {started}"
            warnings.warn(message, FdplugWarning, stacklevel=2)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> Trainer:
        bar = [] if config.get("enable_progress_bar") is False else [DenoisingBar()]
        return super()._instantiate_trainer(config, [*callbacks, LogCosts(), *bar])


def main(argv: list[str]) -> int:
    """Run `fdplug predict` with these arguments, those after the word `predict`."""
    own = sys.argv[1:] == ["predict", *argv]
    with warnings.catch_warnings():
        for message in QUIET:
            warnings.filterwarnings("ignore", message=message)
        _silence_adverts()
        trainer: Any = _cli(None if own else ["predict", *argv]).trainer
    if trainer.is_global_zero:
        _report(trainer.callbacks, trainer.world_size)
    return 0


def _cli(arguments: list[str] | None) -> LightningCLI:
    plugins = "; ".join(f"{kind}: {', '.join(registry.names(kind))}" for kind in ("policy", "injector", "sampler"))
    epilog = f"Ready configurations: {', '.join(ready_configs.names())}. Installed plugins: {plugins}."
    parser = {"description": DESCRIPTION, "epilog": epilog, "exit_on_error": False}
    return PredictCLI(
        TextToImage,
        CocoCaptions,
        save_config_kwargs={"overwrite": True},
        seed_everything_default=False,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        parser_kwargs={"prog": "fdplug", "description": DESCRIPTION, "exit_on_error": False, "predict": parser},
        args=arguments,
    )


def _one_line(message: str, known: list[str]) -> str:
    """What jsonargparse says, without what only its authors understand, and with a suggestion."""
    text = " ".join(message.split())
    text = re.sub(r"Parser key \"(\S+)\":", r"\1:", text)
    text = re.sub(r"Not of type \w+Spec: ", "", text)
    text = re.sub(r"Does not validate against any of the Union subtypes Subtypes: \[.*?\] Errors:", "", text)
    unknown = re.search(r"(?:accept option '|unrecognized arguments: --)([\w.]+)", text)
    close = difflib.get_close_matches(unknown[1], known, n=1) if unknown else []
    return f"{text}, did you mean '{close[0]}'?" if close else text


def _silence_adverts() -> None:
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addFilter(lambda record: "Tip" not in record.getMessage())


def _report(callbacks: list[Any], ranks: int) -> None:
    """Write `metrics.json` and say what was written."""
    values: dict[str, float] = {}
    for callback in callbacks:
        values |= callback.values if isinstance(callback, LogNumbers) else {}
    writer = next(callback for callback in callbacks if isinstance(callback, ImageWriter))
    write_text(json.dumps(values, indent=2) + "\n", writer.folder / "metrics.json")
    print(", ".join(f"{key} {value:.4g}" for key, value in values.items()))
    files = ", ".join(("metrics.json", "metrics.csv", "config.yaml"))
    share = "" if ranks == 1 else f" by the first of {ranks} processes"
    first = writer.written[0].name if writer.written else "none"
    print(f"Written to {writer.folder}: {len(writer.written)} images{share} ({first}, ...), {files}")
