"""A tracking store that is unavailable at the start, midway or for good; and orphaned runs."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from hpa.config.params import load_params
from hpa.system import processes
from hpa.tracking.address import tracking_uri
from hpa.tracking.mlflow_store import find_run
from hpa.tracking.stage_run import log_artifacts, log_metrics, outbox_dir, stage_run
from hpa.tracking.views import ANSWER, ROUNDS, SEARCH, TAG
from support.paths import ROOT
from support.servers import MlflowServer, mlflow_server

PARAMS = load_params(ROOT / "params.yaml")
PATHS = [str(ROOT / "tests"), str(ROOT / "tests" / "tracking")]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stages take for the repository, with a file to log as an artifact."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.txt").write_text("weights")
    return tmp_path


@pytest.fixture
def server(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    with mlflow_server(repository) as made:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", made.url)
        yield made


def train(before_round: dict[int, Callable[[], None]] | None = None, n_rounds: int = 6) -> str:
    """Track a training, with calls before some of its rounds; return the run's id."""
    with stage_run("train", PARAMS, sections=("train",)) as run_id:
        for step in range(1, n_rounds + 1):
            if call := (before_round or {}).get(step):
                call()
            log_metrics({"val/loss": 1 / step}, step)
        log_artifacts([Path("model.txt")], "model")
    return run_id


def follow(stage: str, upstream: str) -> str:
    with stage_run(stage, PARAMS, sections=(stage,), upstream=upstream) as run_id:
        return run_id


def run_code(*arguments: str) -> str:
    """Run Python in a process of its own; return its stdout."""
    done = subprocess.run(
        [sys.executable, *(("-c", *arguments) if "\n" in arguments[0] else arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def deliver() -> str:
    return run_code(str(ROOT / "src" / "sync_runs.py"))


def require_complete(client: mlflow.MlflowClient, run_id: str, stages: tuple[str, ...]) -> None:
    """Assert that the store holds one run, with everything that was logged, once."""
    run = find_run(client, run_id)
    assert run is not None
    experiments = [each.experiment_id for each in client.search_experiments()]
    assert [each.info.run_id for each in client.search_runs(experiments)] == [run.info.run_id]
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.name == "hpa"
    assert {TAG + key for key in (ANSWER, ROUNDS, SEARCH)} <= experiment.tags.keys()
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "val/loss")
    assert sorted((each.step, each.value) for each in history) == [
        (step, 1 / step) for step in range(1, 7)
    ]
    assert {f"stage.{stage}" for stage in stages} <= run.data.tags.keys()
    assert run.data.params["train.seed"] == str(PARAMS.train.seed)
    found = [item.path for item in client.list_artifacts(run.info.run_id, "model")]
    assert found == ["model/model.txt"]


@pytest.mark.slow
def test_a_server_killed_midway_gets_everything_when_it_is_back(server: MlflowServer) -> None:
    server.start()
    run_id = train({3: server.kill})
    assert list(outbox_dir().glob("*/calls.jsonl"))
    server.start()
    assert follow("score", run_id) == run_id
    require_complete(mlflow.MlflowClient(server.url), run_id, ("train", "score"))
    assert list(outbox_dir().iterdir()) == []


@pytest.mark.slow
def test_a_server_that_comes_back_midway_gets_everything_by_the_end(server: MlflowServer) -> None:
    server.start()
    run_id = train({2: server.kill, 5: server.start})
    require_complete(mlflow.MlflowClient(server.url), run_id, ("train",))
    assert list(outbox_dir().iterdir()) == []


@pytest.mark.slow
def test_stages_of_a_server_that_is_down_from_the_start_make_one_run_later(
    server: MlflowServer,
) -> None:
    pending = train()
    scored = follow("score", pending)
    evaluated = follow("evaluate", scored)
    server.start()
    assert "sent the calls of 3 processes" in deliver()
    for run_id in (pending, scored, evaluated):
        require_complete(mlflow.MlflowClient(server.url), run_id, ("train", "score", "evaluate"))


@pytest.mark.slow
def test_a_store_that_is_read_only_stops_nothing_and_loses_nothing(
    repository: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{small_disk}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    remount(small_disk, "size=64m")
    deliver()  # creates the store
    remount(small_disk, "ro")
    code = f"import sys; sys.path[:0] = {PATHS}; import test_outages\n"
    run_id = run_code(f"{code}print(test_outages.train())").splitlines()[-1]
    assert list(outbox_dir().glob("*/calls.jsonl"))
    remount(small_disk, "rw")
    deliver()
    shutil.copy(small_disk / "mlflow.db", repository)  # a client here would keep the disk busy
    require_complete(mlflow.MlflowClient(f"sqlite:///{repository}/mlflow.db"), run_id, ("train",))


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def test_a_store_that_stays_down_is_reported_once_and_costs_no_time(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed.getsockname()[1]}")
        started = time.monotonic()
        run_id = train(n_rounds=200)
    assert time.monotonic() - started < 60  # one attempt per round would take 200 times as long
    assert run_id.startswith("pending-train-")
    printed = capsys.readouterr().err
    assert printed.count("the store is unavailable") == 1
    assert "python src/sync_runs.py" in printed


def test_a_server_that_never_responds_costs_two_waits_and_not_one_per_round(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One wait at the start, one at the end; one per round would take 400 seconds.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        train(n_rounds=200)
        assert 4 <= time.monotonic() - started < 60


def test_a_user_s_error_passes_through_an_outage_unchanged(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with (
        pytest.raises(ValueError, match="diverged"),
        stage_run("train", PARAMS, sections=("train",)),
    ):
        raise ValueError("diverged")


def start_and_wait() -> subprocess.Popen[str]:
    """Start a process that opens a run and sleeps."""
    code = (
        "import time; from pathlib import Path; from hpa.config.params import load_params\n"
        "from hpa.tracking.stage_run import stage_run\n"
        f"params = load_params(Path({str(ROOT / 'params.yaml')!r}))\n"
        "with stage_run('train', params, sections=('train',)) as run_id:\n"
        "    print(run_id, flush=True); time.sleep(300)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_the_next_start_ends_the_runs_of_killed_processes_and_of_no_other(
    repository: Path,
) -> None:
    children = [start_and_wait() for _ in range(2)]
    killed, living = [child.stdout.readline().strip() for child in children]
    elsewhere = find_run(client := mlflow.MlflowClient(tracking_uri()), killed)
    assert elsewhere is not None
    host, pid, start = elsewhere.data.tags["process"].split()
    assert host == processes.host()
    experiment = elsewhere.info.experiment_id
    other = client.create_run(experiment, tags={"process": f"elsewhere/{host} {pid} {start}"})
    unclaimed = client.create_run(experiment)
    tags = {"process": f"{host} 999999 {start}"}  # gone, but of another program
    theirs = client.create_run(experiment, tags=tags)
    try:
        children[0].kill()
        children[0].wait()
        mine = train()
        states = {run.info.run_id: run.info.status for run in client.search_runs([experiment])}
        assert states == {
            killed: "KILLED",
            living: "RUNNING",
            other.info.run_id: "RUNNING",
            unclaimed.info.run_id: "RUNNING",
            theirs.info.run_id: "RUNNING",
            mine: "FINISHED",
        }
        assert "was killed" in client.get_run(killed).data.tags["failure"]
    finally:
        for child in children:
            with child:
                child.kill()


@pytest.mark.slow
def test_the_script_says_what_waits_and_for_what_and_sends_it_here_if_told(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run_id = train()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    script = [sys.executable, str(ROOT / "src" / "sync_runs.py")]
    refused = subprocess.run(script, env=os.environ, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "for http://127.0.0.1:9, not sqlite:///mlflow.db" in refused.stderr
    subprocess.run([*script, "--here"], env=os.environ, check=True)
    require_complete(mlflow.MlflowClient(tracking_uri()), run_id, ("train",))
