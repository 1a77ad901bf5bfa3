"""How pytest-benchmark measures, and what it keeps: figures and hardware, no single timings, no name of a machine."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.overhead import hardware


def pytest_configure(config: Any) -> None:
    """Take one thread: of operations this small, more of them only measure how threads wait for each other."""
    torch.set_num_threads(1)


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Describe the hardware as the other benchmarks do."""
    machine_info.clear()
    machine_info.update(hardware())


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Drop single timings, which make the file a thousand times larger."""
    output_json["commit_info"] = {}
    for one in output_json["benchmarks"]:
        one["stats"].pop("data", None)
