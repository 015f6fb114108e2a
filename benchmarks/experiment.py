"""Seconds of one `mlflow run .`, and where they go.

    python benchmarks/experiment.py              a minute and a half, after make repro
    python benchmarks/experiment.py --options "-P gamma=1 -P n_steps=160"

Runs the command in a temporary clone of this repository whose data is ready, and prints, for each
part, wall-clock seconds, and CPU seconds (user and system) of all its processes. On two idle cores
CPU seconds are at most twice the wall clock; where wall clock is more than CPU, others computed.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = "-P gamma=2 -P n_steps=8 -P validate_every=4"
BEFORE = "mlflow and the checks of the command line"
AFTER = "page and report named, mlflow ends"
BEGINS = re.compile(r"\[\d+/\d+\] (\w+)|(the workspace is unchanged)")


@dataclass
class Part:
    """A part of the run: its name, and when it began, in wall-clock and CPU seconds."""

    name: str
    began: float
    cpu: float


def main() -> None:
    """Prepare the clone, run the command, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--options", default=OPTIONS, help=f"of mlflow run (default: {OPTIONS})")
    options = parser.parse_args().options
    with TemporaryDirectory(prefix="hpa-benchmark-") as name:
        clone = Path(name) / "hpa"
        make_clone(clone)
        parts = timed_parts(clone, options)
    print(f"mlflow run . {options}\n\n| part | wall-clock s | CPU s |\n|---|---|---|")
    for part, after in pairwise(parts):
        print(f"| {part.name} | {after.began - part.began:.1f} | {after.cpu - part.cpu:.1f} |")
    print(f"| **all** | **{parts[-1].began:.1f}** | **{parts[-1].cpu:.1f}** |")


def make_clone(clone: Path) -> None:
    """Clone the commit, with copies of the data, the lock and DVC's record of the data stages."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    shutil.copytree(ROOT / "data", clone / "data")
    shutil.copy(ROOT / "dvc.lock", clone)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    commit = [sys.executable, "-m", "dvc", "commit", "--quiet", "--force", "fetch", "pack", "split"]
    subprocess.run(commit, cwd=clone, check=True)


def timed_parts(clone: Path, options: str) -> list[Part]:
    """Run the command; return its parts in their order, and the end."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    started, ended = time.perf_counter(), of_ended(os.times())
    process = subprocess.Popen(
        ["mlflow", "run", ".", *shlex.split(options)],
        cwd=clone,
        env=variables | environment(clone),
        stdout=subprocess.PIPE,
        text=True,
    )
    parts, watched = [Part(BEFORE, 0.0, 0.0)], psutil.Process(process.pid)
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", file=sys.stderr)
        if found := BEGINS.match(line):
            elapsed = time.perf_counter() - started
            parts.append(Part(found[1] or AFTER, elapsed, cpu_seconds(watched)))
    if process.wait():
        sys.exit(process.returncode)
    cpu = of_ended(os.times()) - ended
    return [*parts, Part("end", time.perf_counter() - started, cpu)]


def environment(clone: Path) -> dict[str, str]:
    """Return what activating the environment of the clone sets."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {"PATH": path, "MLFLOW_CONDA_HOME": str(clone / "environment" / "no-conda")}


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of all below it, those that have ended included."""
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return sum(each.user + each.system + of_ended(each) for each in times)


def of_ended(times: Any) -> float:
    """Return the CPU seconds of the children of a process that have ended."""
    return float(times.children_user + times.children_system)


if __name__ == "__main__":
    main()
