"""What `fdplug inspect` says of public models, from the configurations inside the package: no weights are read.

    python -m benchmarks.inspected

Writes `benchmarks/results/inspected.json` and `inspected.md`: parameters, GFLOPs of a pass, and what share of them each
part holds, which is what a replayed step saves. About three minutes and a few hundred MB on a CPU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fdplug.complexity.inspection import inspect_model
from fdplug.complexity.public_configs import inside, public_configs
from fdplug.files.text_tables import markdown_table
from fdplug.profiling.provenance import provenance

RESULTS = Path(__file__).parent / "results"
HEAD = ("model", "denoiser", "parameters", "sample", "GFLOPs", "encoder", "decoder", "trunk", "guidance", "source")


def measure() -> list[dict[str, Any]]:
    """Return what is known of every configuration."""
    return [{"name": name, **inspect_model(name).as_dict(), "source": _source(name)} for name in public_configs()]


def _source(name: str) -> str:
    return str(json.loads((inside() / f"{name}.json").read_text(encoding="utf-8"))["_source"])


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table in Markdown, the smallest pass first."""
    ordered = sorted(rows, key=lambda row: row["gflops"])
    return markdown_table(HEAD, [_cells(row) for row in ordered]) + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    shares = {part["name"]: f"{part['gflops']:.1%}" for part in row["parts"]}
    order, _, how = row["guidance"].partition(": ")
    return [
        f"`{row['name']}`",
        row["denoiser"],
        f"{row['parameters'] / 1e9:.2f} B",
        " x ".join(map(str, row["sample"])),
        f"{row['gflops']:,.0f}",
        *(shares.get(part, "-") for part in ("encoder", "decoder", "trunk")),
        how if order else "-",
        row["source"],
    ]


def main() -> None:
    """Inspect every model and write both files."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    rows = measure()
    results = {**provenance("cpu"), "rows": rows}
    (RESULTS / "inspected.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "inspected.md").write_text(page(rows), encoding="utf-8")
    print(page(rows))


if __name__ == "__main__":
    main()
