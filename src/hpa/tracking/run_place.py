"""Place of a run: its page in MLflow and its report, as a person opens them."""

import shlex

from mlflow.entities import Run

from hpa.tracking.address import database_path, public, tracking_uri
from hpa.tracking.artifacts import artifact_uri, local_path
from hpa.tracking.mlflow_store import find_run, open_store
from hpa.tracking.runs_server import HOST, PORT, SERVERS
from hpa.tracking.stage_run import outbox_dir
from hpa.tracking.views import TRAINING, page

REPORT = "reports/report.html"
LOCAL_SERVER = f"http://{HOST}:{PORT}"


def places(run_id: str, report: str = REPORT) -> str:
    """Return lines that name the run, its page, that of all runs, and its report.

    If the store is away, they say where the records wait.
    """
    if (run := _found(run_id)) is None:
        return (
            f"run {run_id}: its records, report included, wait in {outbox_dir()} for the tracking "
            "store\n  send them: python src/sync_runs.py"
        )
    run_id, uri = run.info.run_id, tracking_uri()
    folder = local_path(artifact_uri(open_store(), run))
    if folder is not None and (folder / report).is_file():
        report = str(folder / report)
    else:
        report = f"mlflow artifacts download --run-id {run_id} --artifact-path {report}"
    lines = [f"run {run_id}", f"page: {_page(run)}", f"all runs: {_all_runs(run)}"]
    if not uri.startswith(SERVERS):
        store = shlex.quote(uri) if database_path(uri) else '"$MLFLOW_TRACKING_URI"'
        lines.append(f"after: mlflow ui --backend-store-uri {store}")
    return "\n  ".join([*lines, f"report: {report}"])


def comparison(run_id: str) -> str:
    """Return the line that tells where to compare a run with others; also if the store is away."""
    run = _found(run_id)
    where = f", {_all_runs(run)}" if run else ""
    return f"run {run_id}: compare with others by `make ui`{where}"


def run_page(run_id: str) -> str | None:
    """Return the address of a run's page; None if the store is away."""
    run = _found(run_id)
    return _page(run) if run else None


def _found(run_id: str) -> Run | None:
    try:
        return find_run(open_store(), run_id)
    except Exception:  # of SQLAlchemy or requests: the store is away
        return None


def _page(run: Run) -> str:
    place = f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    return f"{_server()}{place}?{TRAINING}"


def _all_runs(run: Run) -> str:
    return _server() + page(run.info.experiment_id)


def _server() -> str:
    uri = tracking_uri()
    return public(uri).rstrip("/") if uri.startswith(SERVERS) else LOCAL_SERVER
