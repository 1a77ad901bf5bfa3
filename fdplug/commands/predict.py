"""`fdplug predict`: LightningCLI over `TextToImage` and the data modules."""

from __future__ import annotations

import argparse
import inspect
import logging
import re
import sys
import warnings
from typing import Any

from jsonargparse import set_loader
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from fdplug import registry
from fdplug.commands import ready_configs
from fdplug.commands.lightning_words import check_trainer, refused
from fdplug.commands.options.predict import DESCRIPTION, parser
from fdplug.config import PropagationConfig, refuse_flat
from fdplug.errors import ConfigError, FdplugError
from fdplug.files.writing import writable_folder
from fdplug.files.yaml_text import parse_yaml
from fdplug.predict.data.captions import default_annotations
from fdplug.predict.data.datamodules import Captions, ClassLabels, CocoCaptions, PartiPrompts, PromptFile, Samples
from fdplug.predict.lightning.callbacks import single_scores  # noqa: F401  jsonargparse knows by name what is imported
from fdplug.predict.lightning.callbacks.costs import LogCosts
from fdplug.predict.lightning.callbacks.progress_bar import ImageBar
from fdplug.predict.lightning.callbacks.run_page import LogRun
from fdplug.predict.lightning.callbacks.summary import Summary
from fdplug.predict.lightning.callbacks.truncation import ReportTruncation
from fdplug.predict.lightning.distributed import check_launch
from fdplug.predict.lightning.image_writer import ImageWriter, circumstances
from fdplug.predict.lightning.module import TextToImage

MODE = "fdplug"
DATA = (CocoCaptions, PartiPrompts, PromptFile, ClassLabels, Samples)
QUIET = (
    ".*does not have many workers.*",
    ".*Experiment logs directory .* exists and is not empty.*",
    ".*LeafSpec.*",
    r"(?s).*was deprecated in v4\..* and will be removed in v5",  # how Lightning calls jsonargparse
    r"(?s).*only one JsonargparseDeprecationWarning",
)
# What nobody asked for; an interrupt is told by the command itself.
ADVERTS = ("Tip", "Detected KeyboardInterrupt", "available: False")


class KeepConfig(SaveConfigCallback):
    """Writes `config.yaml` beside the images, whatever the logger."""

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Write it; an earlier one of the same folder is replaced."""
        path = _only(trainer, ImageWriter).folder / self.config_filename
        self.parser.save(self.config, str(path), skip_none=False, overwrite=True, multifile=self.multifile)


class PredictCLI(LightningCLI):
    """LightningCLI with the one subcommand `predict`, a writer, a progress bar, and ready configurations."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Only `predict`: nothing is trained here."""
        return {"predict": {"model", "dataloaders", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `writer`, where the images go, and a short way to begin anew there."""
        parser.add_lightning_class_args(ImageWriter, "writer")
        parser.add_argument("--overwrite", action="store_true", help="begin anew in the folder of an earlier run")

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.set_defaults({"return_predictions": False, "data": CocoCaptions.__name__})
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Find ready configurations; say what is wrong in one line."""
        arguments = sys.argv[1:] if args is None else args
        try:
            self.config = parser.parse_args(ready_configs.resolve(arguments))
        except argparse.ArgumentError as error:
            refuse_flat(_refused(str(error)))
            raise refused(error, self._known()) from error
        given = self.config["predict"]["model"]["propagation"]
        if given is not None:
            PropagationConfig.of(dict(given))  # says what is wrong in the words of the setting
        _follow(self.config["predict"])
        self.overwrite = bool(self.config["predict"].pop("overwrite"))  # it is no setting to be kept with the images
        if self.config["predict"]["writer"]["overwrite"]:
            raise ConfigError("writer.overwrite would be kept in config.yaml; give --overwrite on the command line")

    def _known(self) -> list[str]:
        """Every option there is, for suggestions."""
        own = [action.dest for action in self._subcommand_parsers["predict"]._actions]
        return [*own, *_model_options(), *_data_options()]

    def instantiate_classes(self) -> None:
        """Build the module, the data and the trainer; say in one line what cannot be built.

        Raises:
            FdplugError: the class, the option of it, and what is allowed.
        """
        try:
            check_trainer(self.config["predict"]["trainer"])
            super().instantiate_classes()
        except Exception as error:
            raise refused(error, self._known()) from error

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
        """Refuse what cannot go well, before processes are launched and models loaded."""
        check_launch(self.trainer)
        writer = _only(self.trainer, ImageWriter)
        writer.check(self.model.settings(self.trainer.strategy.root_device), circumstances(self.trainer, self.model))

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Any]) -> Trainer:
        bar = [] if config.get("enable_progress_bar") is False else [ImageBar()]
        kept = [self._told_to_overwrite(one) if isinstance(one, ImageWriter) else one for one in callbacks]
        return super()._instantiate_trainer(config, [*kept, ReportTruncation(), LogCosts(), *bar, LogRun(), Summary()])

    def _told_to_overwrite(self, writer: ImageWriter) -> ImageWriter:
        """Return a writer to the same folder that begins anew there if `--overwrite` is given."""
        return ImageWriter(str(writer.folder), self.overwrite, writer.videos)


def main(argv: list[str]) -> int:
    """Run `fdplug predict` with these arguments, those after the word `predict`."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug predict` with these options."""
    argv: list[str] = options.arguments
    own = sys.argv[1:] == ["predict", *argv]
    with warnings.catch_warnings():
        for message in QUIET:
            warnings.filterwarnings("ignore", message=message)
        _silence_adverts()
        try:
            _cli(None if own else ["predict", *argv])
        except FdplugError:
            if getattr(rank_zero_only, "rank", 0):
                return 2  # the first process says it
            raise
        except SystemExit as stopped:
            if isinstance(stopped.__context__, KeyboardInterrupt):  # Lightning turns it into exit code 1
                raise KeyboardInterrupt from stopped
            raise
    return 0


def _cli(arguments: list[str] | None) -> LightningCLI:
    set_loader(MODE, _value, exceptions=(ValueError,))
    plugins = "; ".join(f"{kind}: {', '.join(registry.names(kind))}" for kind in ("policy", "injector", "sampler"))
    epilog = f"Ready configurations: {', '.join(ready_configs.names())}. Installed plugins: {plugins}."
    shared = {
        "description": DESCRIPTION,
        "epilog": epilog,
        "exit_on_error": False,
        "parser_mode": MODE,
        "allow_abbrev": False,
    }
    return PredictCLI(
        TextToImage,
        Captions,
        subclass_mode_data=True,
        save_config_callback=KeepConfig,
        save_config_kwargs={"save_to_log_dir": False},
        seed_everything_default=False,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        parser_kwargs={"prog": "fdplug", **shared, "predict": shared},
        args=arguments,
    )


def _value(text: str) -> Any:
    """What a value of the command line or of a configuration says, read through fdplug's own door."""
    value = parse_yaml(text)
    # `{a, b}` and `a:` are texts to jsonargparse, not mappings to nothing
    return text if isinstance(value, dict) and value and all(one is None for one in value.values()) else value


def _follow(config: Any) -> None:
    """Take the captions of the model that runs where none are named; `shapes` has those for every other model."""
    data = config["data"]
    if data["class_path"].endswith(CocoCaptions.__name__) and data["init_args"].get("annotations") is None:
        data["init_args"]["annotations"] = default_annotations(config["model"]["model"])


def _refused(message: str) -> list[str]:
    """The names under `model` that jsonargparse does not know."""
    return re.findall(r"(?:'|--)(?:predict\.)?model\.(\w+)\b(?!\.)", message)


def _model_options() -> set[str]:
    return {f"model.propagation.{name}" for name in PropagationConfig.fields()} | set(PropagationConfig.fields())


def _data_options() -> set[str]:
    """Every option of a data module: its own, and those of `Captions` that it passes on."""
    return {name for one in (*DATA, Captions) for name in inspect.signature(one).parameters}


def _silence_adverts() -> None:
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addFilter(lambda record: not any(advert in record.getMessage() for advert in ADVERTS))


def _only(trainer: Any, kind: type[Any]) -> Any:
    return next(callback for callback in trainer.callbacks if isinstance(callback, kind))
