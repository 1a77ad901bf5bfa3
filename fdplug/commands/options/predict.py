"""The options of `fdplug predict` that are ours, and Trainer's useful few; LightningCLI reads them, and all others."""

from __future__ import annotations

import argparse
from typing import Any

import fdplug.predict
from fdplug.commands import ready_configs
from fdplug.commands.options import shared
from fdplug.commands.options.predict_checks import check
from fdplug.commands.parser import Help, Parser
from fdplug.config import PropagationConfig
from fdplug.errors import ConfigError
from fdplug.predict.generation.config import GenerationConfig
from fdplug.predict.generation.loading import DTYPES

DESCRIPTION = """Generate images for captions, prompts or classes, with or without propagation. Options stand in a YAML
file, on the command line, or both: the last holds."""
DATA = ("CocoCaptions", "PartiPrompts", "PromptFile", "ClassLabels", "Samples")
CALLBACKS = tuple(name for name in fdplug.predict.__all__ if name.startswith("Log") and name != "LogCosts")
START = "fdplug predict --config shapes-ddim50-faster"
TRAINER = {
    "accelerator": "cpu, gpu, mps, ... (default auto)",
    "devices": "how many of them, or which, as in [0,2]",
    "strategy": "how processes work together: auto, ddp, ...",
    "num_nodes": "how many machines",
    "precision": "32-true, 16-mixed, bf16-mixed, ...; see --model.dtype first",
    "logger": "false, CSVLogger, TensorBoardLogger, WandbLogger, ...",
    "callbacks": f"{', '.join(sorted(CALLBACKS, key=len)[:5])}, ...",
}


class NestedHelp(Help):
    """Help whose groups name their options once in full, and then by the last word alone."""

    position = 20

    def _format_action_invocation(self, action: argparse.Action) -> str:
        text = super()._format_action_invocation(action)
        nested = action.option_strings[-1].count(".")
        name = text.rpartition(" ")[0]
        return text if not nested else name if "writer" in name else name.rpartition(".")[2]


class PredictParser(Parser):
    """Answers help and what is plainly wrong at once; all else goes on to LightningCLI as it was given."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> argparse.Namespace:
        """Check the arguments, and return them as `arguments`.

        Raises:
            ConfigError: there are none, or one cannot be right.
        """
        given = list(args or ())
        if "--help-all" in given:
            return argparse.Namespace(arguments=["--help"])
        if {"-h", "--help"} & set(given):
            self.print_help()
            self.exit()
        if not given:
            ready = ", ".join(name.removesuffix(".yaml") for name in ready_configs.names())
            raise ConfigError(f"give a configuration, as in `{START}`; ready are {ready}; see fdplug predict --help")
        self.refuse_renamed(given)
        check(given, [word.removeprefix("--") for word in self._option_string_actions])
        return argparse.Namespace(arguments=given)


def parser() -> PredictParser:
    """Return the parser that prints the help."""
    parser = PredictParser(prog="fdplug predict", description=DESCRIPTION, formatter=NestedHelp)
    config = "a YAML file, or a ready one: `fdplug predict` lists them"
    parser.add_argument("--config", metavar="FILE", help=config)
    parser.add_argument("--writer.folder", metavar="FOLDER", help="where the images go, and what is known about them")
    parser.add_argument("--overwrite", action="store_true", help="begin anew in the folder of an earlier run")
    parser.add_argument("--print_config", action="store_true", help="print the whole configuration, and stop")
    parser.add_argument("--help-all", action="store_true", help="every option of LightningCLI and Trainer")
    _add_model(parser)
    _add_data(parser)
    group = parser.add_argument_group("Lightning, as in --trainer.devices 2")
    for name, text in TRAINER.items():
        group.add_argument(f"--trainer.{name}", metavar="VALUE", help=text)
    return parser


def _add_model(parser: Parser) -> None:
    group = parser.add_argument_group("model, as in --model.steps 20")
    group.add_argument("--model.model", metavar="MODEL", help=shared.MODEL)
    group.add_argument("--model.preset", metavar="FILE", help="settings that `fdplug optimize` wrote, or ready ones")
    shared.add_settings(group, GenerationConfig, prefix="model.")
    group.add_argument("--model.dtype", metavar="DTYPE", help=f"{', '.join(DTYPES)}; auto is float16 on a GPU")
    group.add_argument("--model.loading", metavar="MAPPING", help=shared.LOADING)
    group.add_argument("--model.allow_pickle", metavar="true", help="true: also load .bin weights, which can run code")
    group.add_argument("--model.safety_checker", metavar="false", help="false: leave out the model's safety checker")
    title = "propagation, as in --model.propagation.policy paper"
    group = parser.add_argument_group(title)
    group.add_argument("--model.propagation", metavar="null", help="null: run the pipeline as it is")
    shared.add_settings(group, PropagationConfig, prefix="model.propagation.")


def _add_data(parser: Parser) -> None:
    group = parser.add_argument_group("captions, as in --data.limit 100")
    group.add_argument("--data", metavar="NAME", help=", ".join(DATA))
    group.add_argument("--data.annotations", metavar="FILE", help=shared.ANNOTATIONS)
    group.add_argument("--data.real_images", metavar="FOLDER", help=shared.REAL_IMAGES)
    group.add_argument("--data.prompts", metavar="FILE", help="of PartiPrompts (.tsv) or PromptFile (.txt, .csv, ...)")
    group.add_argument("--data.inputs", metavar="FOLDER", help=shared.INPUTS)
    group.add_argument("--data.limit", metavar="N", help="how many captions; all if left out")
    group.add_argument("--data.batch_size", metavar="N", help="images per pipeline call")
