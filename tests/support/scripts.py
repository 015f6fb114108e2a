"""A script of the project, run as a user would: in a folder, and with a store, of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from support.paths import ROOT


def environment_of(folder: Path) -> dict[str, str]:
    """This process', but for the store: MLflow leaves that of an earlier test in it."""
    inherited = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return {**inherited, "DVC_ROOT": str(folder), "OMP_NUM_THREADS": "1"}


def run_script(
    folder: Path, script: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "src" / f"{script}.py"), *arguments],
        cwd=folder,
        env=environment_of(folder) | environment,
        capture_output=True,
        text=True,
    )


def load_benchmark(name: str) -> ModuleType:
    """Import a script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
