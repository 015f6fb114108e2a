"""Places where a person finds a run: its page, and its report."""

from pathlib import Path

import mlflow
import pytest

from hpa.tracking.mlflow_store import open_store
from hpa.tracking.run_place import comparison, places


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return open_store()


def test_a_local_run_names_its_page_the_server_that_shows_it_and_the_file_of_its_report(
    store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    run_id = store.create_run("0").info.run_id
    download = f"mlflow artifacts download --run-id {run_id} --artifact-path reports/report.html"
    assert places(run_id).endswith(f"\n  report: {download}")
    (tmp_path / "report.html").write_text("report")
    store.log_artifact(run_id, str(tmp_path / "report.html"), "reports")
    first, page, answer, server, report = places(run_id).splitlines()
    assert first == f"run {run_id}"
    address = f"http://127.0.0.1:5000/#/experiments/0/runs/{run_id}"
    assert page == f"  page: {address}?workflowType=machine_learning"
    assert answer.startswith("  all runs: http://127.0.0.1:5000/#/experiments/0/runs?")
    assert comparison(run_id).endswith(answer.removeprefix("  all runs: "))
    assert server == f"  after: mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    assert Path(report.removeprefix("  report: ")).read_text() == "report"


def test_a_run_whose_store_is_away_names_the_folder_where_its_records_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # refuses connections
    said = places("pending-train-0123")
    assert f"wait in {tmp_path}/.tracking_outbox" in said
    assert "python src/sync_runs.py" in said
    assert comparison("pending-train-0123").endswith("compare with others by `make ui`")
