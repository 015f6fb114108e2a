import os
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
from hpa.tracking.address import tracking_uri
from hpa.tracking.description import description, run_name
from hpa.tracking.logged_models import download
from hpa.tracking.mlflow_store import open_store, past_run
from hpa.tracking.reproduction import prepare_clone
from hpa.tracking.stage_run import log_metrics, stage_run
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")


def work_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """Take a folder for the repository; return a client of the store in it."""
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root)
    return open_store()


def track(stage: str, upstream: str | None = None) -> str:
    with stage_run(stage, PARAMS, sections=(stage,), upstream=upstream) as run_id:
        return run_id


def test_the_stages_of_a_pipeline_share_one_finished_run(
    store: mlflow.MlflowClient, shared_root: Path
) -> None:
    train = track("train")
    assert track("threshold", upstream=train) == train
    run = store.get_run(train)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.seed"] == str(PARAMS.train.seed)
    assert run.data.params["threshold.rule"] == PARAMS.threshold.rule
    assert len(run.data.tags["code.sha256"]) == 64
    require_complete(store, train, shared_root)


def test_a_stage_within_another_logs_to_its_run_and_ends_nothing(
    store: mlflow.MlflowClient,
) -> None:
    """As src/folds.py scores and evaluates all networks in the run that theirs are nested in."""
    with stage_run("folds", PARAMS, sections=("train", "score")) as outer:
        with stage_run("score", PARAMS, sections=("score",), upstream="another") as inner:
            log_metrics({"val/loss": 0.5})
        assert inner == outer
        assert store.get_run(outer).info.status == "RUNNING"
        with stage_run("train", PARAMS, sections=("train",), parent=outer) as nested:
            assert nested != outer
    run = store.get_run(outer)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["val/loss"] == 0.5
    assert {run.data.tags[f"stage.{stage}"] for stage in ("folds", "score")} == {"finished"}
    assert "train.fold" not in run.data.params
    assert store.get_run(nested).data.tags["mlflow.parentRunId"] == outer
    with pytest.raises(UserError, match="repeated fold by fold"):
        prepare_clone(past_run(outer), Path("clone"))


@pytest.fixture(scope="module")
def served_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose store `mlflow ui` created, with artifacts behind its server."""
    folder = tmp_path_factory.mktemp("served")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", "mlflow-artifacts:/")
    return folder


@pytest.fixture
def served_store(served_root: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    store = work_in(served_root, monkeypatch)
    assert store.get_experiment("0").artifact_location == "mlflow-artifacts:/0"
    return store


def require_complete(store: mlflow.MlflowClient, run_id: str, root: Path) -> None:
    run = store.get_run(run_id)
    assert store.get_experiment(run.info.experiment_id).name == "hpa"
    assert run.info.status == "FINISHED"
    assert Path(run.info.artifact_uri).is_relative_to(root)
    assert "params.yaml" in {each.path for each in store.list_artifacts(run_id)}
    assert not (root / ".tracking_outbox").exists()


def test_a_store_created_by_mlflow_ui_serves_without_its_server(
    served_store: mlflow.MlflowClient, served_root: Path
) -> None:
    train = track("train")
    require_complete(served_store, train, served_root)
    assert track("score", upstream=train) == train
    assert track("train") != train
    assert len(served_store.search_experiments()) == 2


def test_mlflow_run_in_a_store_created_by_mlflow_ui_leaves_one_complete_run(
    served_store: mlflow.MlflowClient, served_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects = announce(served_store, "0", monkeypatch, gamma="2")
    assert track("train") == projects
    run = served_store.get_run(projects)
    assert run.info.status == "FINISHED"
    assert run.data.params["gamma"] == "2"
    # Where the server of `mlflow ui`, started in this folder, looks for mlflow-artifacts:/0/…
    served = served_root / "mlartifacts" / "0" / projects / "artifacts" / "params.yaml"
    assert served.is_file()
    assert download(projects, "params.yaml", served_root / "copy").read_bytes() == (
        served.read_bytes()
    )


def announce(
    store: mlflow.MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch, **params: str
) -> str:
    """Create a run as `mlflow run` does, and name it to the stages in its way."""
    run_id = store.create_run(experiment, tags={"mlflow.source.type": "PROJECT"}).info.run_id
    for key, value in params.items():
        store.log_param(run_id, key, value)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    return str(run_id)


def test_mlflow_run_leaves_one_run_in_its_experiment_however_a_value_is_spelled(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = store.create_experiment("lab")
    projects = announce(store, lab, monkeypatch, **{"train.seed": f"+{PARAMS.train.seed}"})
    train = track("train")
    assert train == projects
    assert track("score", upstream=train) == projects
    with stage_run("trial", PARAMS, sections=("train",), parent=train) as trial:
        pass
    assert store.get_run(trial).info.experiment_id == lab
    assert len(store.search_runs([lab])) == 2


@pytest.mark.parametrize(
    "tags",
    [
        {"a": "b"},
        {"mlflow.source.type": "PROJECT", "mlflow.source.name": "/usr"},
        {"mlflow.source.type": "PROJECT", "mlflow.source.git.commit": "0" * 40},
    ],
    ids=["program", "project in another folder", "project of another commit"],
)
def test_a_run_of_another_program_in_the_environment_is_left_alone(
    tags: dict[str, str], store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = store.create_run("0", run_name="mine", tags=tags).info.run_id
    store.log_param(theirs, "theirs", "1")
    store.log_param(theirs, "n_steps", PARAMS.train.n_steps)
    before = store.get_run(theirs).to_dictionary()
    monkeypatch.setenv("MLFLOW_RUN_ID", theirs)
    ours = track("train")
    assert ours != theirs
    assert "theirs" not in store.get_run(ours).data.params
    assert store.get_run(theirs).to_dictionary() == before


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


def test_a_run_whose_beginning_broke_off_inherits_the_parameters_all_the_same(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = track("train")
    track("threshold", upstream=train)
    update, failures = mlflow.MlflowClient.update_run, iter([OSError("no response")])

    def fail_once(self: mlflow.MlflowClient, *given: str, **named: str) -> None:
        if error := next(failures, None):
            raise error
        update(self, *given, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "update_run", fail_once)
    begun = track("threshold", upstream=train)
    assert begun.startswith("pending-")
    assert past_run(begun).run_id != train
    assert past_run(begun).params["train.seed"] == str(PARAMS.train.seed)


def test_outputs_of_an_unknown_store_start_a_run_that_names_its_upstream_run(
    store: mlflow.MlflowClient,
) -> None:
    elsewhere = "0123456789abcdef0123456789abcdef"
    run = store.get_run(track("threshold", upstream=elsewhere))
    assert run.data.tags["upstream_run_id"] == elsewhere


@pytest.mark.parametrize(
    ("raised", "status"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_a_run_that_does_not_finish_has_the_status_of_its_end(
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
        "    with stage_run('train', params, sections=('train',)) as run_id:\n"
        "        print(run_id, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(60)\n"
        "command_line.run(main)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr.decode()
    assert store.get_run(ended.stdout.decode().strip()).info.status == "KILLED"


@pytest.mark.slow
def test_processes_that_start_at_once_on_a_fresh_store_all_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    code = (
        "from pathlib import Path; from hpa.config.params import load_params\n"
        "from hpa.tracking.stage_run import stage_run\n"
        f"params = load_params(Path({str(ROOT / 'params.yaml')!r}))\n"
        "with stage_run('train', params, sections=('train',)): pass\n"
    )
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, env=environment()) for _ in range(8)]
    assert [process.wait(120) for process in processes] == [0] * 8
    store = open_store()
    experiment, default = store.search_experiments()
    assert (experiment.name, default.name) == ("hpa", "Default")
    runs = store.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 8


def test_a_relative_store_is_in_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    assert tracking_uri() == f"sqlite:///{tmp_path}/runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert tracking_uri() == "http://localhost:5000"


def environment() -> dict[str, str]:
    """Return this process' environment, with the package importable."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def test_a_run_is_named_by_what_differs_from_the_committed_parameters() -> None:
    lineage = {"git.commit": "0123456789", "git.dirty": "true"}
    differing = {"loss.gamma": 4.0, "train.seed": 3, "threshold.rule": "fixed"}
    assert run_name(differing, lineage) == "gamma=4 train.seed=3 rule=fixed"
    assert run_name({}, lineage) == "as committed in 0123456"
    assert "code.diff" in description("train", PARAMS, differing, lineage)


def test_a_failed_stage_names_its_error_and_may_be_repeated_with_other_values(
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


def test_a_trial_is_nested_under_its_study(store: mlflow.MlflowClient) -> None:
    tags = {"optuna.study": "hpa"}
    own = {**tags, "optuna.trial": "7"}
    with (
        stage_run("search", PARAMS, sections=(), tags=tags) as study,
        stage_run("trial", PARAMS, sections=("train",), parent=study, tags=own) as trial,
    ):
        log_metrics({"val/loss": 0.5}, 1)
    tags = store.get_run(trial).data.tags
    assert (tags["mlflow.parentRunId"], tags["optuna.trial"]) == (study, "7")
    assert store.get_run(trial).data.metrics == {"val/loss": 0.5}
    assert store.get_run(study).data.metrics == {}


@pytest.mark.parametrize(
    ("stage", "command"), [("search", "best.yaml"), ("trial", "dvc exp run -S")]
)
def test_a_run_of_a_search_names_another_way_to_repeat_it(
    stage: str, command: str, store: mlflow.MlflowClient, tmp_path: Path
) -> None:
    with stage_run(stage, PARAMS, sections=()) as run_id:
        pass
    note = store.get_run(run_id).data.tags["mlflow.note.content"]
    assert command in note
    assert "reproduce.py" not in note
    with pytest.raises(UserError, match=f"a run of a search[\\s\\S]*{run_id}, a {stage}"):
        prepare_clone(past_run(run_id), tmp_path / "clone")


@pytest.mark.parametrize("chosen", ["true", "false", None])
def test_system_metrics_are_logged_while_a_stage_runs_if_they_are_turned_on(
    chosen: str | None, store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", raising=False)
    if chosen:
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", chosen)
    with stage_run("train", PARAMS, sections=("train",)) as run_id:
        time.sleep(0.5)
    metrics = store.get_run(run_id).data.metrics
    assert ("system/system_memory_usage_megabytes" in metrics) == (chosen == "true")
