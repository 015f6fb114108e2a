"""One tracked experiment beside the workspace: what `mlflow run . -P gamma=2` runs.

    mlflow run . -P gamma=2 -P loss.alpha=0.3
    python src/experiment.py --gamma 2

DVC brings the data stages up to date; then train, score, threshold, explain and evaluate run with
the overrides in a folder of their own. The workspace's params.yaml, model/ and reports/ stay as
they are: the run in MLflow holds parameters, metrics, model and reports.
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
DATA_STAGE = "split"  # the last of them
STAGES = ("train", "score", "threshold", "explain", "evaluate")


def main() -> None:
    """Run the experiment that the overrides describe."""
    parser = command_line.parser(
        __doc__, "model", "loss", "augment", "train", "score", "threshold", "explain", "evaluate"
    )
    params, _ = command_line.parse(parser)
    prepare_backend()
    run("-m", "dvc", "repro", DATA_STAGE, folder=Path.cwd())
    with TemporaryDirectory(prefix="hpa-experiment-") as name:
        folder = Path(name)
        furnish(folder, params)
        for stage in STAGES:
            run(str(SOURCE_DIR / f"{stage}.py"), folder=folder)
    print(
        "the workspace is untouched; parameters, metrics, model and reports are in the MLflow run"
    )


def furnish(folder: Path, params: Params) -> None:
    """Lay out what the stages read: the parameters in force, the data, and its digests."""
    (folder / "params.yaml").write_text(yaml.safe_dump(asdict(params), sort_keys=False))
    for name in ("data", "dvc.lock"):
        (folder / name).symlink_to(Path(name).resolve())


def run(*arguments: str, folder: Path) -> None:
    """Run this Python in a folder, first on PATH too; end with its exit code where it fails.

    Interrupted, it waits for the child, which may still write its checkpoint into the folder.
    """
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": search_path}
    child = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment)
    try:
        code = child.wait()
    except (KeyboardInterrupt, SystemExit) as interruption:
        let_end(child, by_sigterm=isinstance(interruption, SystemExit))
        raise
    if code:
        sys.exit(code if code > 0 else 128 - code)


def let_end(child: "subprocess.Popen[bytes]", *, by_sigterm: bool) -> None:
    """Wait for a child that ends after its step, whatever signals come meanwhile.

    Ctrl-C reaches it by itself, and a second one ends it at once. After the first, `mlflow run`
    sends SIGTERM to this process, which the child would take for a second one: SIGTERM is passed
    on only where it came first.
    """
    while child.poll() is None:
        with suppress(KeyboardInterrupt, SystemExit):
            if by_sigterm:
                child.terminate()
            child.wait()


if __name__ == "__main__":
    command_line.run(main)
