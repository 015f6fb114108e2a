"""MLflow store: open it, and read the runs in it."""

import logging
import os
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from hpa.errors import UserError
from hpa.system import processes
from hpa.system.files import repository_root

EXPERIMENT = "hpa"
SQLITE = "sqlite:///"
PENDING = "pending"
BEHIND_SERVER = "mlflow-artifacts:"
"""Scheme of artifact locations that only an MLflow server can write to."""
DEFAULTS = {
    # One attempt and a short wait: a failed call is kept and retried. MLflow's own take 4 minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, by default that of `mlflow.db`, with an absolute path.

    Relative files are in the repository, so that runs of experiments in DVC's temporary folders
    outlive those folders.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    if uri.startswith(SQLITE):
        return SQLITE + str(repository_root().resolve() / uri.removeprefix(SQLITE))
    return uri


def open_store() -> mlflow.MlflowClient:
    """Return a client of the store; create a local store first, with its artifacts beside it.

    Any number of processes may call this at once.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # errors are printed here, in one line
    if not uri.startswith(SQLITE):
        return mlflow.MlflowClient(uri)
    root = repository_root()
    with FileLock(root / ".mlflow.lock"), chdir(root):
        client = mlflow.MlflowClient(uri)
        _prepare_experiment(client, root.resolve() / "mlruns" / EXPERIMENT)
    return client


def _prepare_experiment(client: mlflow.MlflowClient, artifacts: Path) -> None:
    """Create the experiment `hpa` in a local store, unless it exists.

    `mlflow run` puts its runs into the default experiment, so that one gets the name. If
    `mlflow ui` created the store, its default experiment keeps artifacts behind that server, and
    `hpa` becomes an experiment of its own.
    """
    default = client.get_experiment("0")
    if default.name != "Default" or client.get_experiment_by_name(EXPERIMENT):
        return
    if str(default.artifact_location).startswith(BEHIND_SERVER):
        client.create_experiment(EXPERIMENT, artifact_location=str(artifacts))
    else:
        client.rename_experiment("0", EXPERIMENT)


def can_write_artifacts(client: mlflow.MlflowClient, run: Run) -> bool:
    """Tell whether this client, without a server, can write the artifacts of a run."""
    local = str(client.tracking_uri).startswith(SQLITE)
    return not (local and str(run.info.artifact_uri).startswith(BEHIND_SERVER))


def all_experiments(client: mlflow.MlflowClient) -> list[str]:
    """Return the ids of all experiments."""
    return [each.experiment_id for each in client.search_experiments()]


def find_run(client: mlflow.MlflowClient, run_id: str | None) -> Run | None:
    """Find a run by its id, also by the pending id of a stage that began without the store.

    Returns None if the store does not hold the run (its outputs were pulled, say), or deleted it.
    """
    if not run_id:
        return None
    if run_id.startswith(f"{PENDING}-"):
        stage = run_id.split("-")[1]
        found = client.search_runs(
            all_experiments(client), f"tags.`started.{stage}` = '{run_id}'", max_results=1
        )
        return found[0] if found else None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def close_orphans(client: mlflow.MlflowClient) -> list[str]:
    """End RUNNING runs whose process on this machine is gone as KILLED; return their ids."""
    claimed = client.search_runs(
        all_experiments(client),
        f"attributes.status = 'RUNNING' and tags.process LIKE '{processes.host()} %'",
    )
    orphans = [run for run in claimed if processes.is_gone(run.data.tags["process"])]
    for run in orphans:
        client.set_tag(run.info.run_id, "failure", "the process was killed")
        client.set_terminated(run.info.run_id, "KILLED")
    return [run.info.run_id for run in orphans]


@dataclass(frozen=True)
class PastRun:
    """A run as the store holds it, with the last value of each metric."""

    run_id: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]


def past_run(run_id: str) -> PastRun:
    """Read a run by its id, pending or not.

    Raises:
        UserError: the store cannot be read, or has no such run.
    """
    try:
        run = find_run(open_store(), run_id)
    except Exception as error:
        raise UserError(
            "the tracking store cannot be read",
            expected=f"runs in {tracking_uri()}",
            received=first_line(error),
            remedy="start the server, or set MLFLOW_TRACKING_URI",
        ) from error
    if run is None:
        raise UserError(
            "there is no such run",
            expected=f"the id of a run in {tracking_uri()}",
            received=repr(run_id),
            remedy="take it from reports/metrics.json, model/provenance.json or make ui",
        )
    data = run.data
    return PastRun(run.info.run_id, run.info.status, data.params, data.tags, data.metrics)


def download(run_id: str, name: str, folder: Path) -> Path | None:
    """Download an artifact of a run into a folder; None if the run has none of that name."""
    client = open_store()
    parent = str(Path(name).parent)
    found = client.list_artifacts(run_id, None if parent == "." else parent)
    if name not in {each.path for each in found}:
        return None
    return Path(client.download_artifacts(run_id, name, str(folder)))


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
