"""What pytest-benchmark keeps: figures and hardware, no single timings and no name of a machine."""

from __future__ import annotations

from typing import Any

from benchmarks.overhead import hardware


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Describe the hardware as the other benchmarks do."""
    machine_info.clear()
    machine_info.update(hardware())


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Drop single timings, which make the file a thousand times larger."""
    output_json["commit_info"] = {}
    for one in output_json["benchmarks"]:
        one["stats"].pop("data", None)
