"""A script of the project, run as a user would: in a folder, and with a store, of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_script(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "src" / f"{script}.py"), *arguments],
        cwd=folder,
        env={**os.environ, "DVC_ROOT": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
