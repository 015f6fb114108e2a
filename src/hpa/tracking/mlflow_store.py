"""MLflow store: open it, and read the runs in it."""

import hashlib
import logging
import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import mlflow
import sqlalchemy
from filelock import FileLock
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _all_tables_exist

from hpa.errors import UserError
from hpa.system import processes
from hpa.system.files import repository_root
from hpa.tracking.address import database_path, local_folder, public, tracking_uri, unreadable
from hpa.tracking.experiments import OWN_TAG

PENDING = "pending"
DEFAULTS = {
    # One attempt and a short wait: a failed call is kept and retried. MLflow's own take 4 minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def open_store() -> mlflow.MlflowClient:
    """Return a client of the store; create a local store first.

    Any number of processes may call this at once. Experiments and runs stay as they are.

    Raises:
        UserError: it is the database of another program or of another version of MLflow, or MLflow
            cannot open any database where it is installed.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # errors are printed here, in one line
    base = local_folder(uri)
    if base is None:
        return mlflow.MlflowClient(uri)
    _require_usable_path()
    base.mkdir(parents=True, exist_ok=True)
    with FileLock(_lock_path(uri)):
        if not _is_new(uri):
            return mlflow.MlflowClient(uri)
        with chdir(base):  # MLflow takes it for the place of its default experiment
            return mlflow.MlflowClient(uri)


def _is_new(uri: str) -> bool:
    """Tell whether MLflow has yet to create its tables in a database.

    Raises:
        UserError: it holds tables of another program, which MLflow would mix with its own, or of
            an earlier MLflow, which this one would change without asking.
    """
    path = database_path(uri)
    if path and not (path.is_file() and path.stat().st_size):
        return True
    engine = sqlalchemy.create_engine(uri)
    try:
        tables = sqlalchemy.inspect(engine).get_table_names()
        complete, old = _all_tables_exist(engine), "experiments" in tables
        if old and not complete and _is_empty(engine):
            return True  # a process was killed while MLflow created it
    finally:
        engine.dispose()
    if tables and not complete:
        address = shlex.quote(uri) if path else '"$MLFLOW_TRACKING_URI"'  # it may hold a password
        raise UserError(
            f"{public(uri)} is the database of another {'version of MLflow' if old else 'program'}",
            expected="a database of this MLflow, or a new one",
            received=f"the tables {', '.join(sorted(tables)[:5])} …; nothing was written",
            remedy=f"back it up, then: mlflow db upgrade {address}"
            if old
            else "set MLFLOW_TRACKING_URI to another database",
        )
    return not tables


def _is_empty(engine: sqlalchemy.Engine) -> bool:
    experiments = sqlalchemy.select(sqlalchemy.text("1")).select_from(
        sqlalchemy.table("experiments")
    )
    with engine.connect() as connection:
        return connection.execute(experiments).first() is None


def _require_usable_path() -> None:
    """Refuse what MLflow cannot do: it reads `%` in its own path as a reference to a setting."""
    if "%" in mlflow.__file__:
        raise UserError(
            "MLflow opens no database from a folder with % in its name",
            expected="a path of the environment without %",
            received=str(Path(mlflow.__file__).parent),
            remedy="rename the folder of the project, or of its .venv; calls wait until then",
        )


def _lock_path(uri: str) -> Path:
    """Return a lock file in the repository, or elsewhere for a database that lies elsewhere."""
    root, path = repository_root().resolve(), database_path(uri)
    if path is None or path.is_relative_to(root):
        return root / ".mlflow.lock"
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"hpa-{os.getuid()}-{name}.lock"


def all_experiments(client: mlflow.MlflowClient) -> list[str]:
    """Return the ids of all experiments."""
    return [each.experiment_id for each in _pages(client)]


def _pages(client: mlflow.MlflowClient) -> "Iterator[mlflow.entities.Experiment]":
    page = client.search_experiments()
    yield from page
    while page.token:
        page = client.search_experiments(page_token=page.token)
        yield from page


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
    """End this project's RUNNING runs whose process on this machine is gone as KILLED.

    Returns:
        Their ids. A run of another program is never among them, whatever its tags.
    """
    claimed = client.search_runs(
        all_experiments(client),
        f"attributes.status = 'RUNNING' and tags.process LIKE '{processes.host()} %' "
        f"and tags.`{OWN_TAG}` LIKE '%'",
    )
    orphans = [
        run
        for run in claimed
        if processes.is_gone(run.data.tags["process"])
        and any(tag.startswith("started.") for tag in run.data.tags)
    ]
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
    except UserError:
        raise
    except Exception as error:
        raise unreadable(error) from error
    if run is None:
        raise UserError(
            "there is no such run",
            expected=f"the id of a run in {public(tracking_uri())}",
            received=repr(run_id),
            remedy="take it from reports/metrics.json, model/provenance.json or make ui",
        )
    data = run.data
    return PastRun(run.info.run_id, run.info.status, data.params, data.tags, data.metrics)
