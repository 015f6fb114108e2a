"""Run one tracked experiment without changing the workspace: entry point of `mlflow run`.

    mlflow run . -P gamma=2 -P loss.alpha=0.3
    python src/experiment.py --gamma 2

DVC updates the data stages; then train, score, threshold, explain and evaluate run with the
overrides in a temporary folder. params.yaml, model/ and reports/ of the workspace stay unchanged:
the MLflow run holds parameters, metrics, model and reports, and the last lines say where it is.
"""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import yaml

import evaluate
import explain
import score
import threshold
import train
from hpa.config import command_line
from hpa.config.inherited import require_same_data
from hpa.config.params import Params, load_params
from hpa.system.backends import prepare_backend
from hpa.system.files import read_json

DATA_STAGE = "split"  # the last one; DVC runs those before it
STAGES = {
    "train": train.main,
    "score": score.main,
    "threshold": threshold.main,
    "explain": explain.main,
    "evaluate": evaluate.main,
}
OPTIONS = {"evaluate": ["--no-paths"]}


def main() -> None:
    """Run the experiment with the overrides of the command line."""
    parser = command_line.parser(
        __doc__, "model", "loss", "augment", "train", "score", "threshold", "explain", "evaluate"
    )
    params, _ = command_line.parse(parser)
    prepare_backend(params.train.backend)
    require_workspace_data(params)

    # These imports take seconds: check the command line first.
    from hpa.tracking import mlflow_run
    from hpa.tracking.run_place import places

    with mlflow_run.adopted():
        announce(0, f"data: dvc repro {DATA_STAGE}")
        update_data()
        with TemporaryDirectory(prefix="hpa-experiment-") as name:
            folder = Path(name)
            prepare_workspace(folder, params)
            run_stages(folder)
            run_id = read_json(folder / "reports" / "metrics.json")["run_id"]
    print(
        f"the workspace is unchanged; this is where the results are:\n{places(run_id)}", flush=True
    )


def require_workspace_data(params: Params) -> None:
    """Refuse parameters of other data than DVC makes from params.yaml, before it makes any.

    Raises:
        UserError: a key of fetch, pack or split differs.
    """
    require_same_data(params, load_params(Path("params.yaml")).flat(), maker="params.yaml")


def announce(number: int, what: str) -> None:
    """Name a stage as it begins."""
    print(f"[{number + 1}/{len(STAGES) + 1}] {what}", flush=True)


def prepare_workspace(folder: Path, params: Params) -> None:
    """Write the parameters into a folder, and link the data and its digests."""
    (folder / "params.yaml").write_text(yaml.safe_dump(asdict(params), sort_keys=False))
    for name in ("data", "dvc.lock"):
        (folder / name).symlink_to(Path(name).resolve())


def run_stages(folder: Path) -> None:
    """Run the stages after those of the data in a folder."""
    for number, stage in enumerate(STAGES, start=1):
        announce(number, stage)
        run_stage(stage, folder)


def run_stage(stage: str, folder: Path) -> None:
    """Run a stage in a folder, within this process: libraries load once; free its network."""
    with chdir(folder):
        STAGES[stage](OPTIONS.get(stage, []))
    if keras := sys.modules.get("keras"):
        keras.backend.clear_session()
    gc.collect()


def update_data() -> None:
    """Let DVC update the data; load the libraries of the network meanwhile."""
    run("-m", "dvc", "repro", DATA_STAGE, meanwhile=load_libraries)


def load_libraries() -> None:
    """Load what train needs: seconds of work that can be done while another process runs."""
    import_module("hpa.training.loop")


def run(*arguments: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Run this Python interpreter; exit with its code if it fails.

    On a signal, wait for the child, which may still finish what it writes.
    """
    # The child's own commands find the same interpreter.
    search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": search_path}
    child = subprocess.Popen([sys.executable, *arguments], env=environment)
    try:
        meanwhile()
        code = child.wait()
    except (KeyboardInterrupt, SystemExit) as stop:
        wait_for(child, pass_on=isinstance(stop, SystemExit))
        raise
    if code:
        sys.exit(code if code > 0 else 128 - code)


def wait_for(child: "subprocess.Popen[bytes]", *, pass_on: bool) -> None:
    """Wait for a child that ends after its current write; ignore further signals.

    The terminal sends Ctrl-C to the child as well, and a second one ends the child at once.
    `mlflow run` follows Ctrl-C by SIGTERM to this process, so SIGTERM is passed on only if it was
    the first signal. DVC keeps it from its stages, so they get it here.
    """
    below: list[psutil.Process] = []
    while child.poll() is None:
        with suppress(KeyboardInterrupt, SystemExit):
            if pass_on:
                below += terminate(child)
            child.wait()
    psutil.wait_procs(below)


def terminate(child: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """Send SIGTERM to DVC and to the stages below it; return these."""
    below = psutil.Process(child.pid).children(recursive=True)
    child.terminate()
    for process in below:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    return below


if __name__ == "__main__":
    command_line.run(main)
