"""Equal trials train once; none of them fails because of the other."""

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import optuna
import pytest
from optuna.trial import TrialState

from hpa.config.params import Params
from hpa.search import trial as trials
from hpa.search import twins, worker
from hpa.search.identity import DATA
from hpa.search.study import Study, begin_study
from hpa.search.trial import search_trial
from hpa.search.worker import work
from hpa.training.checkpoints import Checkpoints
from hpa.training.provenance import checkpoint_key
from support.networks import compiled_small_networks
from support.racing import work_small
from support.search_workspaces import local_client, make_workspace, runs_in, small_params

CHOICE = {"search.space": {"loss": {"gamma": [2.0, 1.0]}}, "search.sampler": "random"}


@pytest.fixture(autouse=True)
def workspace(
    packed_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    folder = make_workspace(tmp_path / "workspace", packed_world)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(worker, "POLL_S", 0.1)
    monkeypatch.setattr(twins, "POLL_S", 0.02)
    yield folder
    keras.backend.clear_session()


class Counting:
    """A search trial with the small network that counts its trainings."""

    def __init__(self) -> None:
        self.gammas: list[float] = []

    def __call__(self, trial: optuna.Trial, study: Study) -> float:
        return search_trial(trial, study, build_networks=self._networks)

    def _networks(self, params: Params, *arguments: Any) -> Any:
        self.gammas.append(params.loss.gamma)
        return compiled_small_networks(params, *arguments)


def test_an_equal_trial_reuses_the_value_and_says_so_in_study_and_run(workspace: Path) -> None:
    """Three trials of two choices: two trainings at most."""
    counting = Counting()
    study = begin_study(small_params(**CHOICE, **{"search.n_trials": 3, "search.pruner": "none"}))
    work(study, counting)
    assert len(counting.gammas) == len(set(counting.gammas)) <= 2
    _, *others = study.trials()
    assert [trial.state for trial in study.trials()] == [TrialState.COMPLETE] * 3
    runs = {run.data.tags["optuna.trial"]: run for run in runs_in(local_client(workspace))}
    reused = [trial for trial in others if "same_as" in trial.user_attrs]
    assert len(reused) == 3 - len(counting.gammas)
    for trial in reused:
        twin = study.trials()[trial.user_attrs["same_as"]]
        assert (trial.params, trial.value) == (twin.params, twin.value)
        assert trial.intermediate_values == twin.intermediate_values
        run = runs[str(trial.number)]
        assert run.info.status == "FINISHED"
        assert run.data.tags["optuna.same_as"] == str(twin.number)
        assert run.data.tags["optuna.same_as_run"] == twin.user_attrs["run_id"]
        assert run.data.metrics["val/macro_f1_cross_fitted"] == twin.value


def two_equal_trials(**more: Any) -> tuple[Study, optuna.Trial, optuna.Trial]:
    study = begin_study(small_params(**CHOICE, **more))
    study.optuna.enqueue_trial({"loss.gamma": 2.0})
    first, second = study.optuna.ask(), study.optuna.ask()
    for trial in (first, second):
        trial.suggest_categorical("loss.gamma", [2.0, 1.0])
    assert first.params == second.params
    return study, first, second


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_an_equal_running_trial_is_waited_for() -> None:
    study, first, second = two_equal_trials()
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(twins.finished_twin(second, study)))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    assert twins.finished_twin(first, study) is None  # the earlier one waits for none
    study.optuna.tell(first, 0.25)
    waiting.join(10)
    assert found[0].number == first.number
    assert found[0].value == 0.25


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_if_the_equal_running_trial_fails_the_other_one_trains() -> None:
    study, first, second = two_equal_trials()
    study.optuna.tell(first, state=TrialState.FAIL)
    assert twins.finished_twin(second, study) is None


@pytest.mark.slow
def test_an_equal_trial_of_a_pruned_one_is_pruned_too(workspace: Path) -> None:
    counting = Counting()
    study = begin_study(small_params(**CHOICE, **{"search.n_trials": 2}))
    study.optuna.enqueue_trial({"loss.gamma": 2.0})
    pruning = pytest.MonkeyPatch()
    pruning.setattr(optuna.Trial, "should_prune", lambda _: True)
    work(study, counting)
    pruning.undo()
    assert counting.gammas == [2.0]
    first, second = study.trials()
    assert [first.state, second.state] == [TrialState.PRUNED] * 2
    assert second.user_attrs["same_as"] == 0
    assert second.intermediate_values == first.intermediate_values
    tags = {
        run.data.tags["optuna.trial"]: run.data.tags for run in runs_in(local_client(workspace))
    }
    assert tags["1"]["optuna.pruned"] == "as trial 0, which has the same parameters"


def test_a_trial_whose_checkpoints_another_process_holds_trains_in_a_folder_of_its_own(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that was taken for dead, as its machine slept, still trains."""
    made: list[Checkpoints] = []

    def recorded(root: Path, training: dict[str, Any], **options: Any) -> Checkpoints:
        made.append(Checkpoints(root, training, **options))
        return made[-1]

    study = begin_study(small_params(**CHOICE, **{"search.n_trials": 1}))
    params = trials.trial_params(study.params, {"loss.gamma": 2.0})
    key = {**checkpoint_key(params, DATA), "study": "hpa"}
    with Checkpoints(workspace / ".checkpoints", key).held():
        monkeypatch.setattr(trials, "Checkpoints", recorded)
        work(study, Counting())
        shared, own = made
        assert shared.folder.exists()
        assert not own.folder.exists()  # removed at its end
    assert study.trials()[0].state is TrialState.COMPLETE


@pytest.mark.slow
def test_an_interrupted_trial_resumes_its_checkpoint(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, counting = Checkpoints.write, Counting()

    def write_and_end(self: Checkpoints, checkpoint: Any) -> bool:
        write(self, checkpoint)
        raise SystemExit(143)

    monkeypatch.setattr(Checkpoints, "write", write_and_end)
    changed = {"search.n_trials": 1, "train.checkpoint_every": 1}
    study = begin_study(small_params(**CHOICE, **changed))
    with pytest.raises(SystemExit):
        work(study, counting)
    assert len(list((workspace / ".checkpoints").glob("*/step-00000001"))) == 1
    monkeypatch.setattr(Checkpoints, "write", write)
    capsys.readouterr()
    work(study, counting)
    assert "resuming from step 1" in capsys.readouterr().err
    assert [trial.state for trial in study.trials()] == [TrialState.FAIL, TrialState.COMPLETE]
    assert not list((workspace / ".checkpoints").iterdir())


@pytest.mark.slow
def test_workers_that_draw_the_same_trial_at_once_train_it_once(workspace: Path) -> None:
    changed = {"search.n_trials": 6, "search.pruner": "none", "train.n_steps": 100}
    study = begin_study(small_params(**CHOICE, **changed, **{"search.trial_steps": 100}))
    context = multiprocessing.get_context("spawn")
    arguments = (study.storage.url, study.name)
    workers = [context.Process(target=work_small, args=arguments) for _ in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(300)
    assert [each.exitcode for each in workers] == [0, 0, 0]
    assert [trial.state for trial in study.trials()] == [TrialState.COMPLETE] * 6
    trained = [trial for trial in study.trials() if "same_as" not in trial.user_attrs]
    assert sorted(trial.params["loss.gamma"] for trial in trained) == [1.0, 2.0]
    assert not list((workspace / ".checkpoints").iterdir())


@pytest.mark.slow
def test_a_trial_leaves_no_files_and_its_last_prediction_is_no_larger_than_a_step(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed one would leave its models in the temporary folder of the system for good."""
    asked: list[int] = []
    real = trials.predict_views

    def recorded(network: Any, images: Any, rows: Any, score: Any) -> Any:
        asked.append(score.batch_size)
        (folder,) = (workspace / ".checkpoints").iterdir()
        assert (folder / "model" / "best.keras").is_file()  # counted and capped with the others
        return real(network, images, rows, score)

    monkeypatch.setattr(trials, "predict_views", recorded)
    work(begin_study(small_params(**CHOICE, **{"search.n_trials": 1})), Counting())
    assert asked == [4]
    assert not list((workspace / ".checkpoints").iterdir())
