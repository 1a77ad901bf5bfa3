#!/usr/bin/env python3
"""Set up a virtual environment and run the project's tasks in it. Needs nothing but Python 3.11+ and pip.

python3 dev.py test       lint, types, tests: what must hold before a change lands
python3 dev.py demo       compare samplers with and without propagation on the embedded model
python3 dev.py --help     all tasks
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "fdplug.stamp"
SOURCES = ["fdplug", "plugins", "tests", "benchmarks", "docs/building", "examples", "dev.py"]
WORKERS = ["-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"]  # of pytest: a process per core
DEMO = [
    "ddim-50",
    "ddim-50+paper",
    "{name: euler-karras-16, sampler: {euler: {karras: true}}, steps: 16}",
    "shapes-balanced",
    "{name: euler-karras-10, sampler: {euler: {karras: true}}, steps: 10}",
    "shapes-fast",
]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))


def run(*command: str | Path) -> None:
    """Run a command in the project root; stop with its exit code if it fails."""
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment.get('PATH', '')}"
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def python(*arguments: str) -> None:
    """Run the environment's Python."""
    run(PYTHON, *arguments)


def setup() -> None:
    """Make `.venv` and install fdplug, its tools and its plugins as constraints.txt says; only when that changed."""
    listed = [ROOT / "pyproject.toml", ROOT / "constraints.txt", *(folder / "pyproject.toml" for folder in PLUGINS)]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in listed))
    if STAMP.exists() and STAMP.read_text() == wanted.hexdigest():
        return
    if not PYTHON.exists():
        make_venv()
    print("installing fdplug and its tools into .venv (a few minutes the first time)", flush=True)
    run(*pip(), "install", "--quiet", "--constraint", "constraints.txt", "--editable", ".[dev]")
    editable = [word for folder in PLUGINS for word in ("--editable", str(folder))]
    run(*pip(), "install", "--quiet", "--no-deps", "--no-build-isolation", *editable)
    STAMP.write_text(wanted.hexdigest())


def make_venv() -> None:
    """Make `.venv`, without pip where the system's Python lacks ensurepip."""
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, check=False)
    if made.returncode:
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)


def pip() -> list[str | Path]:
    """Return the command that installs into `.venv`."""
    own = subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True, check=False)
    return [PYTHON, "-m", "pip"] if own.returncode == 0 else [sys.executable, "-m", "pip", "--python", PYTHON]


def lint() -> None:
    """Check style, format and types."""
    sources = [name for name in SOURCES if (ROOT / name).exists()]
    python("-m", "ruff", "check", *sources)
    python("-m", "ruff", "format", "--check", *sources)
    run(BIN / "pyrefly", "check")


def test() -> None:
    """Lint, then run the default tests, then those of every plugin."""
    lint()
    one_thread()
    python("-m", "pytest", "-q", *WORKERS)
    python("-m", "pytest", "-q", *WORKERS, "--import-mode=importlib", "plugins")


def one_thread() -> None:
    """Let torch run on one thread: tiny models gain nothing from more, and wait for them."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def slow() -> None:
    """Run the tests marked slow."""
    one_thread()
    python("-m", "pytest", "-q", "-m", "slow")


def families() -> None:
    """Run every check of every denoiser, slow ones too, and write the support table from what ran."""
    one_thread()
    results = ROOT / "outputs" / "families.xml"
    checks = ["-q", "-m", "", *WORKERS, f"--junitxml={results}", "tests/denoisers"]
    subprocess.run([str(PYTHON), "-m", "pytest", *checks], cwd=ROOT, check=False)
    python("-m", "tests.denoisers.record", str(results))


def demo() -> None:
    """Compare the paper's method, fewer steps and the best of fdplug on 64 captions; results go to outputs/demo."""
    options = ["--limit", "64", "--guidance", "7.5", "--reference", "ddim-50", "--out", "outputs/demo", "--overwrite"]
    python("-m", "fdplug", "compare", *options, "--variants", *DEMO)


def bench() -> None:
    """Run the benchmarks of the core's own cost, beside the baseline where one was saved."""
    one_thread()
    options = ["--benchmark-only", "--benchmark-columns=median,iqr,rounds", "-p", "no:cacheprovider", "-W", "default"]
    baseline = ROOT / "benchmarks" / "results" / "overhead-baseline.json"
    if baseline.exists():
        options.append(f"--benchmark-compare={baseline}")
    python("-m", "pytest", "-q", "benchmarks/overhead.py", *options)


def docs() -> None:
    """Build the documentation site into `site/`; warnings are errors."""
    run(*pip(), "install", "--quiet", "--constraint", "constraints.txt", "--editable", ".[docs]")
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    python("-m", "mkdocs", "build", "--strict")


TASKS = {
    "setup": setup,
    "lint": lint,
    "test": test,
    "test-slow": slow,
    "families": families,
    "demo": demo,
    "docs": docs,
    "bench": bench,
}


def main() -> None:
    """Set up, then run the task that was named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "task", choices=TASKS, help="; ".join(f"{name}: {task.__doc__}" for name, task in TASKS.items())
    )
    task = parser.parse_args().task
    if sys.version_info < (3, 11):
        sys.exit(
            f"fdplug needs Python 3.11 or newer, this is {sys.version.split()[0]}; try: make PYTHON=python3.11 {task}"
        )
    setup()
    TASKS[task]()


if __name__ == "__main__":
    main()
