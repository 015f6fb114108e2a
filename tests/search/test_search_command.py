"""src/search.py on one machine, on a cluster, with servers, and by `mlflow run`."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mlflow
import optuna
import pytest
import yaml

from hpa.search.storage import storage_url
from support.databases import free_port
from support.scripts import ROOT, run_script
from support.search_workspaces import (
    local_client,
    make_workspace,
    require_one_parent,
    runs_in,
    write_params,
)


@pytest.fixture
def workspace(packed_world: Path, tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace", packed_world)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "--workers takes 1 or more"),
        (["--n_trials", "0"], "search.n_trials: expected a whole number at least 1"),
        (["--search.space", "{loss: {gama: [1]}}"], "did you mean loss.gamma"),
        (["--storage", "optuna.db"], "search.storage is not the address of a database"),
        (["--join"], "there is no study 'hpa'"),
        (["--pack.image_size", "64"], "--pack.image_size does not apply to this script"),
    ],
)
def test_a_wrong_argument_is_refused_before_any_trial(
    workspace: Path, arguments: list[str], said: str
) -> None:
    done = run_script(workspace, "search", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_search_leaves_a_best_trial_a_report_and_a_command(workspace: Path) -> None:
    done = run_script(workspace, "search", "--workers", "2", "--n_trials", "2", "--n_seeds", "1")
    assert done.returncode == 0, done.stderr
    best = yaml.safe_load((workspace / "search/best.yaml").read_text())
    assert (best["command"] if best["params"] else "found nothing better") in done.stdout
    assert best["better"] == ("seeds: better" in done.stdout)
    assert (workspace / "search/report.html").stat().st_size > 1e6
    assert "a trial: 4 steps of 4 images, 1.0 epochs of 16 images" in done.stdout
    assert "warning: train.n_steps 4 is only 1 epochs of these 16 images" in done.stderr
    require_one_parent(local_client(workspace), 2)


@pytest.mark.slow
def test_all_runs_of_an_mlflow_run_are_nested_in_its_run_and_experiment(workspace: Path) -> None:
    """As `mlflow run . -e search --experiment-name lab` starts it, with workers of its own."""
    client = local_client(workspace)
    lab = client.create_experiment("lab", artifact_location=f"file://{workspace}/mlruns/lab")
    run = client.create_run(lab, tags={"mlflow.source.type": "PROJECT"}).info.run_id
    environment = {
        "MLFLOW_RUN_ID": run,
        "MLFLOW_EXPERIMENT_ID": lab,
        "MLFLOW_TRACKING_URI": f"sqlite:///{workspace}/mlflow.db",
    }
    options = ("--workers", "2", "--n_trials", "3", "--n_seeds", "1")
    done = run_script(workspace, "search", *options, **environment)
    assert done.returncode == 0, done.stderr
    assert require_one_parent(client, 3, "lab").info.run_id == run
    assert runs_in(client, "hpa") == []


@pytest.mark.slow
def test_a_cluster_of_two_workers_runs_the_trials(workspace: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, env={"PYTHONPATH": f"{ROOT}/src"}
    ) as cluster:
        arguments = ("--scheduler", cluster.scheduler_address, "--n_trials", "2")
        done = run_script(workspace, "search", *arguments, "--n_seeds", "1")
    assert done.returncode == 0, done.stderr
    require_one_parent(local_client(workspace), 2)


@contextmanager
def running(command: list[str], address: str, **environment: str) -> Iterator[str]:
    """Run a server until the block ends; yield its address once it responds."""
    server = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


@pytest.mark.slow
def test_study_runs_and_artifacts_can_all_be_on_servers(
    workspace: Path, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna and MLflow in PostgreSQL, artifacts in an S3 store, nothing in the workspace."""
    import boto3
    import psycopg2

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }.items():
        monkeypatch.setenv(name, value)
    scripts, port, s3_port = Path(sys.executable).parent, str(free_port()), str(free_port())
    moto = [str(scripts / "moto_server"), "-H", "127.0.0.1", "-p", s3_port]
    with closing(psycopg2.connect(postgresql)) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE mlflow")  # both have a table alembic_version
    storage = storage_url(postgresql)
    backend = storage.replace("/postgres", "/mlflow")
    server = [str(scripts / "mlflow"), "server", "--port", port, "--workers", "1"]
    server += ["--backend-store-uri", backend, "--artifacts-destination", "s3://artifacts"]
    with (
        running(moto, f"http://127.0.0.1:{s3_port}") as s3,
        running(server, f"http://127.0.0.1:{port}/health", MLFLOW_S3_ENDPOINT_URL=s3) as health,
    ):
        boto3.client("s3", endpoint_url=s3).create_bucket(Bucket="artifacts")
        uri = health.removesuffix("/health")
        write_params(workspace, **{"search.storage": postgresql, "search.n_trials": 2})
        done = run_script(workspace, "search", "--n_seeds", "1", MLFLOW_TRACKING_URI=uri)
        assert done.returncode == 0, done.stderr
        client = mlflow.MlflowClient(uri)
        require_one_parent(client, 2)
        listed = boto3.client("s3", endpoint_url=s3).list_objects_v2(Bucket="artifacts")
        names = [each["Key"] for each in listed["Contents"]]
        assert [name for name in names if name.endswith("artifacts/search/report.html")]
        assert [name for name in names if name.endswith("artifacts/thresholds.json")]
    assert not (workspace / "optuna.db").exists()
    assert not (workspace / "mlflow.db").exists()
    assert "hpa" in optuna.get_all_study_names(storage)
