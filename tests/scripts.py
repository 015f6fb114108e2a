"""A script of the project, run as a user would: in a folder, and with a store, of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_script(
    folder: Path, script: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    own = {"DVC_ROOT": str(folder), "OMP_NUM_THREADS": "1"}
    # MLflow leaves the store of an earlier test of this process in the environment
    inherited = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [sys.executable, str(ROOT / "src" / f"{script}.py"), *arguments],
        cwd=folder,
        env={**inherited, **own, **environment},
        capture_output=True,
        text=True,
    )
