"""Experiments and runs that are deleted, and calls that a store refuses: nothing is lost."""

import json
from collections.abc import Callable

import mlflow
import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from hpa.config.params import load_params
from hpa.tracking.address import tracking_uri
from hpa.tracking.mlflow_store import find_run
from hpa.tracking.outbox import Delivery, kept_calls, refused_calls
from hpa.tracking.run_calls import RunCalls
from hpa.tracking.stage_run import log_artifacts, log_metrics, outbox_dir, send_kept, stage_run
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")


def track(stage: str = "train", upstream: str | None = None) -> str:
    return track_with(lambda run_id: None, stage, upstream)


def track_with(
    midway: Callable[[str], None], stage: str = "train", upstream: str | None = None
) -> str:
    """Track a stage, with a call between two of its rounds."""
    with stage_run(stage, PARAMS, sections=(stage,), upstream=upstream) as run_id:
        log_metrics({"val/loss": 2.0}, 1)
        midway(run_id)
        log_metrics({"val/loss": 1.0}, 2)
        log_artifacts([ROOT / "dvc.yaml"], "model")
    return run_id


def require_complete(store: mlflow.MlflowClient, run_id: str, steps: tuple[int, ...]) -> None:
    run = find_run(store, run_id)
    assert run is not None
    assert run.info.status == "FINISHED"
    assert run.data.params["train.seed"] == str(PARAMS.train.seed)
    history = store.get_metric_history(run.info.run_id, "val/loss")
    assert tuple(sorted(each.step for each in history)) == steps
    names = {each.path for each in store.list_artifacts(run.info.run_id)}
    assert {"model", "params.yaml"} <= names
    assert not list(outbox_dir().glob("*/calls.jsonl"))


def own_experiment(store: mlflow.MlflowClient) -> str:
    found = store.get_experiment_by_name("hpa")
    return str(found.experiment_id)


def test_a_deleted_experiment_of_this_project_is_restored_with_its_runs(
    store: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    before = track()
    store.delete_experiment(own_experiment(store))
    require_complete(store, track(), (1, 2))
    require_complete(store, before, (1, 2))
    assert "hpa was deleted; it is restored" in capsys.readouterr().err


@pytest.mark.parametrize("whole", [True, False], ids=["experiment", "run"])
def test_what_is_deleted_while_a_stage_runs_is_restored(
    whole: bool, store: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    def delete(run_id: str) -> None:
        if whole:
            store.delete_experiment(own_experiment(store))
        else:
            store.delete_run(run_id)

    require_complete(store, track_with(delete), (1, 2))
    assert "restored" in capsys.readouterr().err


def test_a_run_that_is_removed_for_good_while_a_stage_runs_is_begun_again(
    store: mlflow.MlflowClient,
) -> None:
    def remove(run_id: str) -> None:  # as `mlflow gc` does
        store.delete_run(run_id)
        SqlAlchemyStore(tracking_uri(), "mlruns")._hard_delete_run(run_id)

    removed = track_with(remove)
    assert find_run(store, removed) is None
    (newest,) = store.search_runs([own_experiment(store)], max_results=1)
    assert newest.info.run_id != removed
    require_complete(store, newest.info.run_id, (2,))  # the metric before it went with the run


def test_a_deleted_experiment_of_somebody_else_keeps_all_calls_until_it_is_back(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = store.create_experiment("lab")
    store.delete_experiment(lab)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "lab")
        run_id = track()
    score = track("score", run_id)  # elsewhere, but it belongs to that run
    assert run_id.startswith("pending-train-")
    assert f"mlflow experiments restore --experiment-id {lab}" in capsys.readouterr().err
    assert store.get_experiment(lab).lifecycle_stage == "deleted"
    other = track()  # is not held up
    assert not other.startswith("pending-")
    waiting, _ = send_kept()
    assert len(waiting.left) == 2
    assert all("restore" in why or "still waits" in why for why in waiting.left.values())
    store.restore_experiment(lab)
    assert send_kept()[0] == Delivery(2, {})
    runs = [find_run(store, each) for each in (run_id, score)]
    assert {run.info.run_id for run in runs if run} == {
        run.info.run_id for run in store.search_runs([lab])
    }
    assert all(run and "stage.score" in run.data.tags for run in runs)


def test_an_unknown_experiment_of_the_caller_is_named_and_the_calls_can_go_elsewhere(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_ID", "777")
        run_id = track()
    assert "MLFLOW_EXPERIMENT_ID=777 is not in sqlite:///mlflow.db" in capsys.readouterr().err
    assert send_kept()[0].n_sent == 0
    assert send_kept(here=True)[0] == Delivery(1, {})
    require_complete(store, run_id, (1, 2))


def test_calls_wait_for_the_store_that_they_were_made_for(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://mara:secret@127.0.0.1:9/x")
        run_id = track()
    track()
    assert find_run(store, run_id) is None
    (box,) = outbox_dir().glob("*/calls.jsonl")
    assert "secret" not in box.read_text()
    ((_, why),) = send_kept()[0].left.items()
    assert "for http://127.0.0.1:9/x, not sqlite:///mlflow.db" in why
    assert send_kept(here=True)[0] == Delivery(1, {})
    require_complete(store, run_id, (1, 2))


def test_a_parameter_that_is_refused_stays_visible_and_takes_no_other_with_it(
    store: mlflow.MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = track()
    calls = RunCalls(store)
    params = {"new.one": 1, "train.seed": -1, "new.two": 2}
    calls({"call": "batch", "run_id": run_id, "params": params, "tags": {"a": "b"}})
    data = store.get_run(run_id).data
    assert (data.params["new.one"], data.params["new.two"], data.tags["a"]) == ("1", "2", "b")
    assert data.params["train.seed"] == str(PARAMS.train.seed)
    assert data.tags["refused.train.seed"] == "-1"
    assert "train.seed=-1 was refused" in capsys.readouterr().err


def test_a_refused_call_is_put_aside_and_those_after_it_are_made(
    store: mlflow.MlflowClient,
) -> None:
    with stage_run("train", PARAMS, sections=("train",)) as run_id:
        log_metrics({"no such name?": 0.5}, 1)
        log_metrics({"val/loss": 1.0}, 1)
    run = store.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["val/loss"] == 1.0
    ((folder, n_calls),) = refused_calls(outbox_dir()).items()
    assert n_calls == 1
    (call,) = kept_calls(folder)
    assert call["metrics"] == {"no such name?": 0.5}


def test_everything_sent_twice_is_there_once(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_ID", "777")
        run_id = track()
    (box,) = (path.parent for path in outbox_dir().glob("*/calls.jsonl"))
    calls = list(kept_calls(box))
    states = []
    for _ in range(2):  # as if the process was killed before it removed the outbox
        perform = RunCalls(store, here=True)
        for call in calls:
            perform(call)
        run = find_run(store, run_id)
        assert run is not None
        history = store.get_metric_history(run.info.run_id, "val/loss")
        points = [(each.step, each.value) for each in history]
        states.append(json.dumps([run.to_dictionary(), points], sort_keys=True))  # NaN == NaN
    assert states[0] == states[1]
    assert len(points) == 2
    assert send_kept(here=True)[0] == Delivery(1, {})
