import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from hpa.config.params import load_params
from hpa.errors import UserError
from hpa.tracking.mlflow_store import past_run, tracking_uri
from hpa.tracking.reproduction import lay_out
from hpa.tracking.stage_run import _note, _run_name, log_metrics, stage_run
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


def track(stage: str, upstream: str | None = None) -> str:
    with stage_run(stage, PARAMS, sections=(stage,), upstream=upstream) as run_id:
        return run_id


def test_the_stages_of_a_pipeline_share_one_finished_run(
    store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    train = track("train")
    assert track("threshold", upstream=train) == train
    run = store.get_run(train)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.seed"] == str(PARAMS.train.seed)
    assert run.data.params["threshold.rule"] == PARAMS.threshold.rule
    assert len(run.data.tags["code.sha256"]) == 64
    assert store.get_experiment(run.info.experiment_id).name == "hpa"
    assert Path(run.info.artifact_uri).is_relative_to(tmp_path)


def test_a_store_that_mlflow_ui_made_first_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    SqlAlchemyStore(f"sqlite:///{tmp_path}/mlflow.db", "mlflow-artifacts:/")  # as its server does
    run_id = track("train")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert "params.yaml" in {each.path for each in client.list_artifacts(run_id)}
    assert client.get_run(run_id).info.status == "FINISHED"
    assert not (tmp_path / ".tracking_spool").exists()


def test_a_stage_run_again_on_the_same_inputs_gets_a_run_of_its_own(
    store: mlflow.MlflowClient,
) -> None:
    train = track("train")
    first, second = (track("threshold", upstream=train) for _ in range(2))
    assert first == train
    assert second != train
    run = store.get_run(second)
    assert run.data.tags["upstream_run_id"] == train
    assert run.data.params["train.seed"] == str(PARAMS.train.seed)  # inherited


def test_outputs_of_an_unknown_store_start_a_run_that_names_their_origin(
    store: mlflow.MlflowClient,
) -> None:
    elsewhere = "0123456789abcdef0123456789abcdef"
    run = store.get_run(track("threshold", upstream=elsewhere))
    assert run.data.tags["upstream_run_id"] == elsewhere


@pytest.mark.parametrize(
    ("raised", "status"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_a_run_that_ends_badly_says_so(
    store: mlflow.MlflowClient, raised: type[BaseException], status: str
) -> None:
    with (
        pytest.raises(raised),
        stage_run("train", PARAMS, sections=("train",)) as run_id,
    ):
        raise raised
    run = store.get_run(run_id)
    assert run.info.status == status
    assert "stage.train" not in run.data.tags


def test_sigterm_ends_a_run_as_killed_with_exit_code_143(store: mlflow.MlflowClient) -> None:
    code = (
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "from hpa.config import command_line\n"
        "from hpa.config.params import load_params\n"
        "from hpa.tracking.stage_run import stage_run\n"
        "def main():\n"
        f"    params = load_params(Path({str(ROOT / 'params.yaml')!r}))\n"
        "    with stage_run('train', params, sections=('train',)):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(60)\n"
        "command_line.run(main)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr.decode()
    assert [run.info.status for run in store.search_runs(["0"])] == ["KILLED"]


@pytest.mark.slow
def test_processes_that_start_at_once_on_a_fresh_store_all_log(store: mlflow.MlflowClient) -> None:
    code = (
        "from pathlib import Path; from hpa.config.params import load_params\n"
        "from hpa.tracking.stage_run import stage_run\n"
        f"params = load_params(Path({str(ROOT / 'params.yaml')!r}))\n"
        "with stage_run('train', params, sections=('train',)): pass\n"
    )
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, env=environment()) for _ in range(8)]
    assert [process.wait(120) for process in processes] == [0] * 8
    (experiment,) = store.search_experiments()
    assert experiment.name == "hpa"
    runs = store.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 8


def test_a_relative_store_lies_in_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    assert tracking_uri() == f"sqlite:///{tmp_path}/runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert tracking_uri() == "http://localhost:5000"


def environment() -> dict[str, str]:
    """This process' environment, with the package importable."""
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def test_a_run_is_named_by_what_differs_from_the_committed_parameters() -> None:
    lineage = {"git.commit": "0123456789", "git.dirty": "true"}
    differing = {"loss.gamma": 4.0, "train.seed": 3, "threshold.rule": "fixed"}
    assert _run_name(differing, lineage) == "gamma=4 train.seed=3 rule=fixed"
    assert _run_name({}, lineage) == "as committed in 0123456"
    assert "code.diff" in _note("train", differing, lineage)


def test_a_stage_that_failed_says_why_and_may_begin_again_with_other_values(
    store: mlflow.MlflowClient,
) -> None:
    train = track("train")
    with (
        pytest.raises(ValueError, match="no positives"),
        stage_run("threshold", PARAMS, sections=("threshold",), upstream=train),
    ):
        raise ValueError("no positives")
    assert store.get_run(train).data.tags["failure"] == "ValueError: no positives"
    same, other = PARAMS, replace(PARAMS, threshold=replace(PARAMS.threshold, rule="fixed"))
    ids = []
    for params in (other, same):  # parameters of a run cannot change, so the first is a new run
        with stage_run("threshold", params, sections=("threshold",), upstream=train) as run_id:
            ids.append(run_id)
    assert ids[0] != train
    assert ids[1] == train


def test_a_trial_is_nested_below_its_study(store: mlflow.MlflowClient) -> None:
    with (
        stage_run("search", PARAMS, sections=()) as study,
        stage_run(
            "train", PARAMS, sections=("train",), parent=study, tags={"optuna.trial": "7"}
        ) as trial,
    ):
        log_metrics({"val/loss": 0.5}, 1)
    tags = store.get_run(trial).data.tags
    assert (tags["mlflow.parentRunId"], tags["optuna.trial"]) == (study, "7")
    assert store.get_run(trial).data.metrics == {"val/loss": 0.5}
    assert store.get_run(study).data.metrics == {}


@pytest.mark.parametrize(("stage", "way"), [("search", "best.yaml"), ("trial", "dvc exp run -S")])
def test_a_run_of_a_search_says_how_else_it_is_repeated(
    stage: str, way: str, store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    with stage_run(stage, PARAMS, sections=()) as run_id:
        pass
    note = store.get_run(run_id).data.tags["mlflow.note.content"]
    assert way in note
    assert "reproduce.py" not in note
    with pytest.raises(UserError, match=f"a run of a search[\\s\\S]*{run_id}, a {stage}"):
        lay_out(past_run(run_id), tmp_path / "clone")


def test_the_system_is_measured_while_a_stage_runs(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    with stage_run("train", PARAMS, sections=("train",)) as run_id:
        time.sleep(0.5)
    metrics = store.get_run(run_id).data.metrics
    assert metrics["system/system_memory_usage_megabytes"] > 0
