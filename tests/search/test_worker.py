from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import optuna
import pytest
from optuna.trial import TrialState

from hpa.errors import UserError
from hpa.search import trial as trials
from hpa.search import worker
from hpa.search.study import Study, begin_comparison, begin_study, load_study
from hpa.search.worker import work
from hpa.training import loop
from support.networks import compiled_small_networks
from support.racing import gamma_as_value, race, work_slowly, work_small
from support.search_workspaces import local_client, make_workspace, runs_in, small_params

search_trial = partial(trials.search_trial, build_networks=compiled_small_networks)


@pytest.fixture
def workspace(
    packed_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    folder = make_workspace(tmp_path / "workspace", packed_world)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(worker, "POLL_S", 0.1)
    yield folder
    keras.backend.clear_session()


def outcomes(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.state, t.params, t.value, t.intermediate_values) for t in study.trials()]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trials_and_values_twice(workspace: Path) -> None:
    found = []
    for name in ("first", "second"):
        study = begin_study(small_params(**{"search.study_name": name}))
        work(study, search_trial)
        found.append(outcomes(study))
    assert found[0] == found[1]
    assert len(found[0]) == 4
    assert len({str(params) for _, _, params, _, _ in found[0]}) == 4


@pytest.mark.slow
def test_a_resumed_search_suggests_the_same_trials_as_an_uninterrupted_one(workspace: Path) -> None:
    whole = begin_study(small_params(**{"search.study_name": "whole"}))
    work(whole, gamma_as_value)
    for n_trials in (1, 3, 4):  # three starts of the search
        cut = begin_study(small_params(**{"search.study_name": "cut", "search.n_trials": n_trials}))
        work(cut, gamma_as_value)
    assert outcomes(cut) == outcomes(whole)


def test_the_first_trial_uses_the_current_parameters(workspace: Path) -> None:
    study = begin_study(small_params(**{"loss.gamma": 1.25}))
    work(study, gamma_as_value)
    first = study.trials()[0].params
    assert (first["loss.gamma"], first["train.learning_rate"]) == (1.25, 0.002)
    begin_study(small_params(**{"loss.gamma": 1.25}))
    assert len(study.trials()) == 4  # not repeated


@pytest.mark.slow
def test_every_trial_is_a_nested_run_with_its_number_and_thresholds(workspace: Path) -> None:
    study = begin_study(small_params())
    study.optuna.set_user_attr("run_id", None)
    work(study, search_trial)
    client = local_client(workspace)
    runs = {run.data.tags["optuna.trial"]: run for run in runs_in(client)}
    assert runs.keys() == {"0", "1", "2", "3"}
    for trial in study.trials():
        run = runs[str(trial.number)]
        assert run.info.run_id == trial.user_attrs["run_id"]
        complete = trial.state is TrialState.COMPLETE
        assert run.info.status == ("FINISHED" if complete else "KILLED")
        if complete:
            assert run.data.metrics["val/macro_f1_cross_fitted"] == trial.value
            assert run.data.params["loss.name"] == trial.params["loss.name"]
            names = {each.path for each in client.list_artifacts(run.info.run_id)}
            assert "thresholds.json" in names


def test_the_run_of_a_pruned_trial_ends_as_killed_with_a_reason(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda _: True)
    study = begin_study(small_params(**{"search.n_trials": 1}))
    work(study, search_trial)
    assert study.trials()[0].state is TrialState.PRUNED
    (run,) = runs_in(local_client(workspace))
    assert run.info.status == "KILLED"
    assert run.data.tags["optuna.pruned"].endswith("after step 2")
    assert "failure" not in run.data.tags


def test_a_failed_trial_does_not_count(workspace: Path) -> None:
    def fail_first(trial: optuna.Trial, study: Study) -> float:
        if trial.number == 0:
            trial.set_user_attr("failure", "ValueError: no luck")
            raise ValueError("no luck")
        return gamma_as_value(trial, study)

    study = begin_study(small_params())
    work(study, fail_first)
    assert [trial.state for trial in study.trials()] == [TrialState.FAIL] + [
        TrialState.COMPLETE
    ] * 4


def test_a_diverging_training_leaves_its_reason_in_trial_and_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_validate", lambda *_: {"val/loss": float("nan")})
    monkeypatch.setattr(worker, "MAX_FAILURES", 1)
    study = begin_study(small_params(**{"search.n_trials": 1}))
    with pytest.raises(UserError, match=r"1 trials in a row failed[\s\S]*diverged"):
        work(study, search_trial)
    (run,) = runs_in(local_client(workspace))
    assert run.info.status == "FAILED"
    for reason in (run.data.tags["failure"], study.trials()[0].user_attrs["failure"]):
        assert reason.startswith("UserError: the training diverged in step 2")
    assert not list((workspace / ".checkpoints").iterdir())


def test_joining_requires_the_same_data(workspace: Path) -> None:
    study = begin_study(small_params())
    comparison = begin_comparison(study, {"current": {}}, "comparison")
    for each in (study, comparison):
        assert load_study(each.storage.url, each.name).n_trials == each.n_trials
    with (workspace / "data/split/assignment.csv").open("a") as file:
        file.write("\n")
    for each in (study, comparison):
        with pytest.raises(UserError, match=r"created for other data[\s\S]*assignment\.csv"):
            load_study(each.storage.url, each.name)


def test_a_study_without_shared_attributes_cannot_be_joined(workspace: Path) -> None:
    """It belongs to another program, or is being created at this moment."""
    url = begin_study(small_params()).storage.url
    optuna.create_study(storage=url, study_name="foreign")
    with pytest.raises(UserError, match="a study without fixed, params, n_trials"):
        load_study(url, "foreign")


def test_missing_data_or_study_is_an_error_with_a_remedy(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="there is no study 'absent'"):
        load_study(f"sqlite:///{workspace}/optuna.db", "absent")
    (workspace / "empty").mkdir()
    monkeypatch.chdir(workspace / "empty")
    with pytest.raises(UserError, match=r"manifest\.json does not exist[\s\S]*dvc repro split"):
        begin_study(small_params())


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_trial_is_retried_in_its_run_with_its_parameters(
    workspace: Path, interruption: type[BaseException]
) -> None:
    def interrupted(trial: optuna.Trial, study: Study) -> float:
        gamma_as_value(trial, study)
        trial.set_user_attr("run_id", "of the first attempt")
        raise interruption

    study = begin_study(small_params(**{"search.n_trials": 2}))
    with pytest.raises(interruption):
        work(study, interrupted)
    work(study, gamma_as_value)
    first, again, other = study.trials()
    assert [t.state for t in study.trials()] == [TrialState.FAIL, *[TrialState.COMPLETE] * 2]
    assert again.params == first.params != other.params
    assert again.user_attrs["run_id"] == "of the first attempt"


def test_a_trial_taken_over_by_another_worker_is_left_to_it(workspace: Path) -> None:
    def taken_over(trial: optuna.Trial, study: Study) -> float:
        value = gamma_as_value(trial, study)
        if trial.number == 0:
            worker._release(study, 0)  # as another worker does
        return value

    study = begin_study(small_params())
    work(study, taken_over)
    states = [trial.state for trial in study.trials()]
    assert states == [TrialState.FAIL, *[TrialState.COMPLETE] * 4]


def require_each_trial_once(study: Study) -> None:
    done = [t for t in study.trials() if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert len(done) == study.n_trials == 12
    assert len({str(t.params) for t in done}) == len(done)
    others = [t for t in study.trials() if t not in done]
    assert [t.state for t in others] == [TrialState.FAIL]  # of the killed worker
    (again,) = [t for t in done if "failed_trial" in t.system_attrs]
    assert again.params == others[0].params


@pytest.mark.slow
def test_workers_run_each_trial_once_when_one_is_killed(workspace: Path) -> None:
    study = begin_study(small_params(**{"search.n_trials": 12}))
    race(study, work_slowly, n_workers=3)
    require_each_trial_once(study)


@pytest.mark.slow
def test_workers_share_a_study_on_a_postgresql_server(workspace: Path, postgresql: str) -> None:
    study = begin_study(small_params(**{"search.n_trials": 12, "search.storage": postgresql}))
    race(study, work_slowly, n_workers=3)
    require_each_trial_once(study)


@pytest.mark.slow
def test_twelve_trainings_leave_twelve_ended_runs_when_a_worker_is_killed(
    workspace: Path,
) -> None:
    study = begin_study(small_params(**{"search.n_trials": 12}))
    race(study, work_small, n_workers=2)
    require_each_trial_once(study)
    runs = runs_in(local_client(workspace))
    statuses = {run.info.run_id: run.info.status for run in runs}
    done = [t for t in study.trials() if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert statuses == {
        t.user_attrs["run_id"]: "FINISHED" if t.state is TrialState.COMPLETE else "KILLED"
        for t in done
    }
    assert len(statuses) == 12
