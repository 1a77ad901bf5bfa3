"""Write the support table from what the tests of this folder made of every system, when, and with which versions.

    python3 dev.py families     # runs them all, in parallel, and this

Reads the file that pytest's `--junitxml` wrote. Systems that were not run keep what is written down of them; a system
that failed a check is not written at all, and named.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fdplug.testing.systems import SYSTEMS
from fdplug.testing.systems.table import describe

TABLE = Path(__file__).parents[2] / "fdplug" / "commands" / "families.json"


def read(file: Path) -> dict[str, dict[str, Any]]:
    """Return by system how many checks it passed, how many do not apply, which failed, when, and with what."""
    found: dict[str, dict[str, Any]] = {}
    for suite in ElementTree.parse(file).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            said = {one.get("name"): one.get("value", "") for one in case.iter("property")}
            if "system" in said:
                new = {"checks": 0, "skipped": 0, "failed": [], "date": str(suite.get("timestamp"))[:10]}
                entry = found.setdefault(said["system"], {**new, "versions": said["versions"]})
                _count(entry, case)
    return found


def _count(entry: dict[str, Any], case: ElementTree.Element) -> None:
    if case.find("failure") is not None or case.find("error") is not None:
        entry["failed"].append(case.get("name"))
    else:
        entry["checks" if case.find("skipped") is None else "skipped"] += 1


def rows(found: Mapping[str, Mapping[str, Any]], known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the table: rows of systems that ran and failed nothing are new, the others as they are known."""
    made = []
    for name, system in SYSTEMS.items():
        result = found.get(name)
        if result is not None and not result["failed"]:
            kept = {key: result[key] for key in ("checks", "date", "versions")}
            made.append({**describe(system), **kept})
        elif name in known:
            made.append(known[name])
    return made


def main() -> None:
    """Read a file of results and write the table; the exit code is 1 where a system failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="what `pytest --junitxml FILE tests/denoisers` wrote")
    found = read(parser.parse_args().results)
    known = {row["name"]: row for row in json.loads(TABLE.read_text(encoding="utf-8"))}
    TABLE.write_text(json.dumps(rows(found, known), indent=1) + "\n", encoding="utf-8")
    failed = {name: result["failed"] for name, result in found.items() if result["failed"]}
    for name, cases in failed.items():
        print(f"{name} keeps its old row: {', '.join(cases)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
