"""What tracking asks of MLflow, each call safe to repeat: the store may be away in between."""

import logging
import os
import sqlite3
from contextlib import chdir, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from hpa.errors import UserError
from hpa.system import processes
from hpa.system.files import repository_root
from hpa.tracking.outbox import Call, StoreAwayError

EXPERIMENT = "hpa"
SQLITE = "sqlite:///"
PENDING = "pending"
BATCH = 100  # parameters or tags a request: MLflow's limit
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}
DEFAULTS = {
    # One try and a short wait; what fails is kept and tried again. MLflow's own take four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or `mlflow.db` in the repository; a relative file lies there too.

    So experiments in DVC's temporary folders leave their runs where all others are.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    if uri.startswith(SQLITE):
        return SQLITE + str(repository_root().resolve() / uri.removeprefix(SQLITE))
    return uri


def open_store() -> mlflow.MlflowClient:
    """Return a client of the store; a local one is made, with its artifacts beside it.

    Any number of processes may do so at once.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # errors are said here, in one line
    if not uri.startswith(SQLITE):
        return mlflow.MlflowClient(uri)
    root = repository_root()
    with FileLock(root / ".mlflow.lock"), chdir(root):
        client = mlflow.MlflowClient(uri)
        if client.get_experiment("0").name == "Default":
            _keep_artifacts_beside(Path(uri.removeprefix(SQLITE)), root)
            client.rename_experiment("0", EXPERIMENT)  # where `mlflow run` puts its runs, too
    return client


def _keep_artifacts_beside(database: Path, root: Path) -> None:
    """Let artifacts go to a folder where `mlflow ui`, started first, made a store of its server's.

    No client could write there without that server.
    """
    folder = root.resolve() / "mlruns" / "0"
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, 'mlflow-artifacts:/0', ?) "
                f"WHERE {column} LIKE 'mlflow-artifacts:/0%'",
                (str(folder),),
            )


def all_experiments(client: mlflow.MlflowClient) -> list[str]:
    """Return the ids of all experiments."""
    return [each.experiment_id for each in client.search_experiments()]


def find_run(client: mlflow.MlflowClient, run_id: str | None) -> Run | None:
    """Look a run up, also by the id that a stage got while the store was away.

    None where this store never heard of it, as after a pull of its outputs, or has deleted it.
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
    """End as KILLED the RUNNING runs whose process on this machine is gone; returns their ids."""
    claimed = client.search_runs(
        all_experiments(client),
        f"attributes.status = 'RUNNING' and tags.process LIKE '{processes.host()} %'",
    )
    orphans = [run for run in claimed if processes.is_gone(run.data.tags["process"])]
    for run in orphans:
        client.set_tag(run.info.run_id, "failure", "the process ended without a word")
        client.set_terminated(run.info.run_id, "KILLED")
    return [run.info.run_id for run in orphans]


@dataclass(frozen=True)
class PastRun:
    """What the store knows of a run; metrics are the last values."""

    run_id: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]


def past_run(run_id: str) -> PastRun:
    """Read a run, also by the id that a stage got while the store was away.

    Raises:
        UserError: the store cannot be read, or has no such run.
    """
    try:
        run = find_run(open_store(), run_id)
    except Exception as error:
        raise UserError(
            "the tracking store cannot be read",
            expected=f"runs in {tracking_uri()}",
            received=_first_line(error),
            remedy="start the server, or set MLFLOW_TRACKING_URI",
        ) from error
    if run is None:
        raise UserError(
            "there is no such run",
            expected=f"the id of a run in {tracking_uri()}",
            received=repr(run_id),
            remedy="take it from reports/metrics.json, model/provenance.json or make ui",
        )
    return PastRun(
        run.info.run_id,
        run.info.status,
        dict(run.data.params),
        dict(run.data.tags),
        dict(run.data.metrics),
    )


def download(run_id: str, name: str, folder: Path) -> Path | None:
    """Copy an artifact of a run into a folder; None where the run has none of that name."""
    client = open_store()
    parent = str(Path(name).parent)
    found = client.list_artifacts(run_id, None if parent == "." else parent)
    if name not in {each.path for each in found}:
        return None
    return Path(client.download_artifacts(run_id, name, str(folder)))


class RunCalls:
    """Makes the calls of one outbox: `begin` first, or calls that name their run themselves.

    Attributes:
        run_id: MLflow's id of the run, once it is known.
    """

    def __init__(self, client: mlflow.MlflowClient | None = None) -> None:
        self._client = client
        self.run_id: str | None = None
        self._joined = False

    def __call__(self, call: Call) -> None:
        """Make a call.

        A call that the store understands and refuses is reported and dropped: it would be refused
        for ever, and stops no training.

        Raises:
            StoreAwayError: any other failure.
        """
        arguments = {key: value for key, value in call.items() if key not in ("call", "run_id")}
        run_id = call["run_id"] or self.run_id
        try:
            self._client = self._client or open_store()
            if call["call"] == "begin":
                self.run_id = self._begin(self._client, **arguments)
            elif run_id:
                getattr(self, f"_{call['call']}")(self._client, run_id, **arguments)
        except MlflowException as error:
            if error.error_code not in REFUSALS:
                raise StoreAwayError(_first_line(error)) from error
            print(f"tracking: {call['call']} was refused: {_first_line(error)}", flush=True)
        except Exception as error:  # of SQLAlchemy, requests, S3 or the file system
            raise StoreAwayError(_first_line(error)) from error

    def _begin(
        self,
        client: mlflow.MlflowClient,
        *,
        key: str,
        stage: str,
        upstream: str | None,
        name: str,
        note: str,
        parent: str | None,
        params: dict[str, Any],
        tags: dict[str, str],
        time: int,
    ) -> str:
        """Join the run that made the inputs, or start one."""
        run = find_run(client, key)  # begun by an attempt whose answer got lost
        origin = None if run else find_run(client, upstream)
        if origin and _is_open_to(origin, stage, params):
            run = origin
        self._joined = run is not None
        if run is None:
            new_tags = {"upstream_run_id": upstream} if upstream else {}
            if above := find_run(client, parent):  # it may have begun while the store was away
                new_tags[MLFLOW_PARENT_RUN_ID] = above.info.run_id
            run = client.create_run(
                _experiment_id(client),
                start_time=time,
                run_name=name,
                tags={**resolve_tags(), **tags, **new_tags, f"started.{stage}": key},
            )
            params = {**(origin.data.params if origin else {}), **params}
        elif MLFLOW_RUN_NOTE not in run.data.tags:  # made by `mlflow run`: as yet without a name
            client.update_run(run.info.run_id, name=name)
            self._joined = False
        run_id: str = run.info.run_id
        client.update_run(run_id, status="RUNNING")
        tags = {**tags, f"started.{stage}": key}
        if not self._joined:
            tags[MLFLOW_RUN_NOTE] = note.replace("RUN_ID", run_id)
        self._batch(client, run_id, params=params, tags=tags)
        return run_id

    def _batch(
        self,
        client: mlflow.MlflowClient,
        run_id: str,
        *,
        metrics: dict[str, float] | None = None,
        params: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
        step: int = 0,
        time: int = 0,
    ) -> None:
        """Log at one time; the store knows a metric again by its time, step and value."""
        own_params = [Param(key, str(value)) for key, value in (params or {}).items()]
        own_tags = [RunTag(key, value) for key, value in (tags or {}).items()]
        if metrics:
            values = [Metric(key, value, time, step) for key, value in metrics.items()]
            client.log_batch(run_id, metrics=values)
        for first in range(0, max(len(own_params), len(own_tags)), BATCH):
            part = slice(first, first + BATCH)
            client.log_batch(run_id, params=own_params[part], tags=own_tags[part])

    def _files(
        self, client: mlflow.MlflowClient, run_id: str, *, paths: list[str], folder: str | None
    ) -> None:
        for path in map(Path, paths):
            if path.is_dir():
                inner = "/".join(filter(None, [folder, path.name]))
                client.log_artifacts(run_id, str(path), inner)
            else:
                client.log_artifact(run_id, str(path), folder)

    def _image(
        self,
        client: mlflow.MlflowClient,
        run_id: str,
        *,
        paths: list[str],
        key: str,
        step: int,
        time: int,
    ) -> None:
        client.log_image(run_id, mlflow.Image(paths[0]), key=key, step=step, timestamp=time)

    def _inputs(
        self, client: mlflow.MlflowClient, run_id: str, *, datasets: list[dict[str, str]]
    ) -> None:
        """Name the data: digests and places, no copy."""
        if self._joined:
            return  # named when the run began
        inputs = [
            DatasetInput(
                Dataset(**{key: value for key, value in each.items() if key != "context"}),
                [InputTag(MLFLOW_DATASET_CONTEXT, each["context"])],
            )
            for each in datasets
        ]
        client.log_inputs(run_id, inputs)

    def _end(self, client: mlflow.MlflowClient, run_id: str, *, status: str, time: int) -> None:
        client.set_terminated(run_id, status, time)


def _experiment_id(client: mlflow.MlflowClient) -> str:
    """Find the experiment, or make it; MLFLOW_EXPERIMENT_NAME leads elsewhere."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    try:
        return client.create_experiment(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        found = client.get_experiment_by_name(name)  # another process was quicker
        if found is None:
            raise  # it was deleted
        return found.experiment_id


def _is_open_to(run: Run, stage: str, params: dict[str, Any]) -> bool:
    """Tell whether a stage may join: it has not finished there, nor begun with other values."""
    known = run.data.params
    return f"stage.{stage}" not in run.data.tags and all(
        known.get(key, str(value)) == str(value) for key, value in params.items()
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
