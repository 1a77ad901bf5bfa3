"""`fdplug complexity`: what a denoiser's layers and its encoder, bottleneck and decoder cost."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from rich.console import Console

from fdplug.checks import whole
from fdplug.commands.options.complexity import parser
from fdplug.complexity.inputs import example
from fdplug.complexity.layers import Complexity, complexity
from fdplug.complexity.models import load_denoiser
from fdplug.files.text_tables import markdown_table, table_lines, terminal_width

PARTS = ("part", "blocks", "parameters", "share", "GFLOPs", "share", "GFLOPs, paper")
LAYERS = ("no.", "block", "layer", "class", "output", "parameters", "GFLOPs", "GFLOPs, paper")
TEXTS = ("part", "blocks", "block", "layer", "class")


def main(argv: list[str]) -> int:
    """Run `fdplug complexity` with these arguments."""
    return run(parser().parse_args(argv))


def run(options: argparse.Namespace) -> int:
    """Run `fdplug complexity` with these options."""
    whole("rows", options.rows, 1)
    if options.sample_size is not None:
        whole("sample-size", options.sample_size, 1)
    network = load_denoiser(options.model)
    counted = complexity(network, example(network, options.rows, options.sample_size))
    if options.json:
        print(json.dumps({"model": options.model, **counted.as_dict()}, indent=2))
    elif options.markdown:
        print(markdown(counted, not options.no_layers))
    else:
        _show(counted, not options.no_layers, Console())
    return 0


def part_rows(counted: Complexity) -> list[tuple[str, ...]]:
    """The cells of the table of parts, one row each and their sum."""
    whole_parameters, whole_gflops = counted.parameters, counted.gflops()
    rows = [
        (
            share.part,
            _range(share.modules),
            _count(share.parameters),
            f"{share.parameters / whole_parameters:.1%}",
            f"{share.gflops['full']:.4g}",
            f"{share.gflops['full'] / whole_gflops:.1%}",
            f"{share.gflops['paper']:.4g}",
        )
        for share in counted.shares
    ]
    paper = f"{counted.gflops('paper'):.4g}"
    return [*rows, ("all", "", _count(whole_parameters), "100%", f"{whole_gflops:.4g}", "100%", paper)]


def _range(modules: Sequence[str]) -> str:
    if not modules:
        return "embeddings, first and last layers"
    return modules[0] if len(modules) == 1 else f"{modules[0]} to {modules[-1]}"


def _count(number: int) -> str:
    """A number of parameters with three digits and its unit."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def layer_rows(counted: Complexity) -> list[tuple[str, ...]]:
    """The cells of the table of layers."""
    return [
        (
            str(layer.number),
            layer.block,
            layer.name,
            layer.kind,
            " x ".join(map(str, layer.shape)),
            _count(layer.parameters),
            f"{layer.gflops['full']:.4g}",
            f"{layer.gflops['paper']:.4g}",
        )
        for layer in counted.layers
    ]


def summary(counted: Complexity) -> list[str]:
    """What the tables are about, and what a replayed step saves."""
    sample = " x ".join(map(str, counted.sample))
    saved = {name: counted.replayed[name] / counted.gflops(name) for name in counted.replayed}
    return [
        f"{counted.denoiser}, sample {sample} ({counted.rows} rows). A multiply-add counts as one FLOP.",
        f"A replayed step saves the encoder, the bottleneck and what feeds them: {counted.replayed['full']:.4g} of"
        f" {counted.gflops():.4g} GFLOPs ({saved['full']:.1%}); by the paper's count {counted.replayed['paper']:.4g} of"
        f" {counted.gflops('paper'):.4g} ({saved['paper']:.1%}).",
    ]


def markdown(counted: Complexity, layers: bool = True) -> str:
    """Both tables in Markdown, between the sentences of `summary`."""
    first, last = summary(counted)
    tables = [
        markdown_table(PARTS, part_rows(counted)),
        *([markdown_table(LAYERS, layer_rows(counted))] if layers else []),
    ]
    return "\n\n".join([first, *tables, last])


def _show(counted: Complexity, layers: bool, console: Console) -> None:
    first, last = summary(counted)
    console.print(first, highlight=False)
    for head, rows in ((LAYERS, layer_rows(counted)), (PARTS, part_rows(counted))):
        if head is PARTS or layers:
            right = [place for place, name in enumerate(head) if name not in TEXTS]
            lines = table_lines(head, rows, terminal_width(), right)
            print("\n".join(["", *(line.text for line in lines), ""]))
    console.print(last, highlight=False)
