"""Train an embedded model: ``python -m fdplug.shapes.train --out runs/shapes``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fdplug.shapes.training.config import STAGES, STEPS, TrainConfig


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(prog="python -m fdplug.shapes.train", description="Train an embedded model.")
    described.add_argument("--model", choices=tuple(STAGES), default="shapes", help="which model (default shapes)")
    described.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and exported model")
    described.add_argument("--seed", type=int, default=0)
    length = described.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help=f"denoiser steps ({STEPS}); the other stages scale with them")
    length.add_argument("--minutes", type=float, help="fit the steps to about this much time (then not deterministic)")
    described.add_argument("--processes", type=int, default=2, help="worker processes of one thread each")
    described.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    described.add_argument("--resume", action="store_true", help="continue from the checkpoints in --out")
    described.add_argument("--stages", nargs="+", metavar="STAGE", help=f"run only these of {STAGES}")
    return described


def main(arguments: Sequence[str] | None = None) -> None:
    """Train every stage in turn."""
    from fdplug.shapes.training.stages import train

    options: dict[str, Any] = vars(parser().parse_args(arguments))
    options["stages"] = None if options["stages"] is None else tuple(options["stages"])
    train(TrainConfig(**options))


if __name__ == "__main__":
    main()
