"""Place of a run: its page in MLflow and its report, as a person opens them."""

import shlex

from hpa.tracking.address import database_path, public, tracking_uri
from hpa.tracking.artifacts import artifact_uri, local_path
from hpa.tracking.mlflow_store import find_run, open_store
from hpa.tracking.stage_run import outbox_dir

REPORT = "reports/report.html"
LOCAL_SERVER = "http://127.0.0.1:5000"


def places(run_id: str, report: str = REPORT) -> str:
    """Return lines that name the run, its page and its report; also if the store is away."""
    try:
        client = open_store()
        run = find_run(client, run_id)
    except Exception:  # of SQLAlchemy or requests: the store is away
        run = None
    if run is None:
        return (
            f"run {run_id}: its records, report included, wait in {outbox_dir()} for the tracking "
            "store\n  send them: python src/sync_runs.py"
        )
    run_id, uri = run.info.run_id, tracking_uri()
    page = f"/#/experiments/{run.info.experiment_id}/runs/{run_id}"
    folder = local_path(artifact_uri(client, run))
    if folder is not None and (folder / report).is_file():
        report = str(folder / report)
    else:
        report = f"mlflow artifacts download --run-id {run_id} --artifact-path {report}"
    if uri.startswith(("http:", "https:")):
        page = public(uri).rstrip("/") + page
    else:
        store = shlex.quote(uri) if database_path(uri) else '"$MLFLOW_TRACKING_URI"'
        page = f"{LOCAL_SERVER}{page}\n  after: mlflow ui --backend-store-uri {store}"
    return f"run {run_id}\n  page: {page}\n  report: {report}"
