"""Run one tracked experiment without changing the workspace: entry point of `mlflow run`.

    mlflow run . -P gamma=2 -P loss.alpha=0.3
    python src/experiment.py --gamma 2

DVC updates the data stages; then train, score, threshold, explain and evaluate run with the
overrides in a temporary folder. params.yaml, model/ and reports/ of the workspace stay unchanged:
the MLflow run holds parameters, metrics, model and reports.
"""

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from hpa.config import command_line
from hpa.config.params import Params
from hpa.system.backends import prepare_backend

SOURCE_DIR = Path(__file__).parent
DATA_STAGE = "split"  # the last one; DVC runs those before it
STAGES = ("train", "score", "threshold", "explain", "evaluate")


def main() -> None:
    """Run the experiment with the overrides of the command line."""
    parser = command_line.parser(
        __doc__, "model", "loss", "augment", "train", "score", "threshold", "explain", "evaluate"
    )
    params, _ = command_line.parse(parser)
    prepare_backend()
    run("-m", "dvc", "repro", DATA_STAGE, folder=Path.cwd())
    with TemporaryDirectory(prefix="hpa-experiment-") as name:
        folder = Path(name)
        prepare_workspace(folder, params)
        for stage in STAGES:
            run(str(SOURCE_DIR / f"{stage}.py"), folder=folder)
    print(
        "the workspace is unchanged; parameters, metrics, model and reports are in the MLflow run"
    )


def prepare_workspace(folder: Path, params: Params) -> None:
    """Write the parameters into a folder, and link the data and its digests."""
    (folder / "params.yaml").write_text(yaml.safe_dump(asdict(params), sort_keys=False))
    for name in ("data", "dvc.lock"):
        (folder / name).symlink_to(Path(name).resolve())


def run(*arguments: str, folder: Path) -> None:
    """Run this Python interpreter in a folder; exit with its code if it fails.

    On SIGTERM or Ctrl-C, wait for the child, which may still write a checkpoint into the folder.
    """
    # The child's own commands find the same interpreter.
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": search_path}
    child = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment)
    try:
        code = child.wait()
    except (KeyboardInterrupt, SystemExit) as stop:
        wait_for(child, by_sigterm=isinstance(stop, SystemExit))
        raise
    if code:
        sys.exit(code if code > 0 else 128 - code)


def wait_for(child: "subprocess.Popen[bytes]", *, by_sigterm: bool) -> None:
    """Wait for a child that ends after its current step; ignore further signals.

    The terminal sends Ctrl-C to the child as well, and a second signal ends the child at once.
    `mlflow run` follows Ctrl-C by SIGTERM to this process, so SIGTERM is passed on only if it was
    the first signal.
    """
    while child.poll() is None:
        with suppress(KeyboardInterrupt, SystemExit):
            if by_sigterm:
                child.terminate()
            child.wait()


if __name__ == "__main__":
    command_line.run(main)
