"""Progress of a study: trial, step and time left, from what workers report to its storage."""

import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hpa.search import progress
from hpa.search.progress import STEPS, ProgressDisplay, describe, report_steps, seconds_left
from hpa.search.study import Study
from support.paths import ROOT
from support.search_workspaces import make_workspace, small_params
from support.terminals import run_on_terminal

NOW = datetime(2026, 1, 1, 12, 0)
COMPLETE, PRUNED, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING


def trial(number: int, state: TrialState, seconds: float, *steps: float | None) -> FrozenTrial:
    """A trial that ended after so many seconds, or has run for so many."""
    made = optuna.trial.create_trial(state=state, value=0.1 if state is COMPLETE else None)
    made.number = number
    made.datetime_start = NOW - timedelta(seconds=seconds)
    made.datetime_complete = NOW if state.is_finished() else None
    if steps:
        made.set_user_attr(STEPS, list(steps))
    return made


def test_the_time_left_is_unknown_until_a_trial_has_measured_its_speed() -> None:
    assert seconds_left([], 20, 2, NOW) is None
    assert seconds_left([trial(0, RUNNING, 90)], 20, 2, NOW) is None
    assert seconds_left([trial(0, RUNNING, 90, 1, 160, None)], 20, 2, NOW) is None


@pytest.mark.parametrize(
    ("trials", "n_workers", "expected"),
    [
        # 160 - 40 steps of 1 s, then two trials of 160 s
        ([trial(0, RUNNING, 60, 40, 160, 1.0)], 1, 120 + 2 * 160),
        # a pruned trial is shorter, and so are those to come: the mean of 200 and 100
        ([trial(0, COMPLETE, 200), trial(1, PRUNED, 100)], 1, 150),
        # two workers: 150 - 30 of the running trial, which has not reported, then none
        ([trial(0, COMPLETE, 200), trial(1, PRUNED, 100), trial(2, RUNNING, 30)], 2, 120),
        # three more machines than the workers started here
        ([trial(n, RUNNING, 9, 40, 160, 1.0) for n in range(3)], 1, 120),
        ([trial(n, COMPLETE, 9) for n in range(3)], 2, 0),
    ],
)
def test_the_time_left_follows_from_the_trials_of_this_study(
    trials: list[FrozenTrial], n_workers: int, expected: float
) -> None:
    assert seconds_left(trials, 3, n_workers, NOW) == pytest.approx(expected)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/optuna.db")
    made = optuna.create_study(storage=storage, study_name="mine", direction="maximize")
    return Study(made, storage, small_params(), 20)


def test_workers_report_their_steps_to_the_study_and_seldom(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 101.0, 106.0, 106.5])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    running = study.optuna.ask()
    on_step = report_steps(running, 160)
    seen = []
    for step in (41, 42, 45, 160):
        on_step(step)
        seen.append(study.trials()[0].user_attrs[STEPS])
    # 41 built the network; 42 came within five seconds; 4 steps in 6 s; the last one always
    assert seen[:3] == [[41, 160, None], [41, 160, None], [45, 160, 1.5]]
    assert seen[3] == [160, 160, pytest.approx(6.5 / 119)]


def test_a_report_that_the_storage_refuses_does_not_end_the_training(study: Study) -> None:
    taken_over = study.optuna.ask()
    study.optuna.tell(taken_over.number, state=TrialState.FAIL)
    report_steps(taken_over, 160)(1)


def test_the_line_names_each_running_trial_its_step_and_the_time_left(study: Study) -> None:
    assert describe(study, 2) == "0 of 20 trials · estimating time left · workers are starting"
    study.optuna.tell(study.optuna.ask(), 0.25)
    study.optuna.ask().set_user_attr(STEPS, [80, 160, 30.0])
    study.optuna.ask()
    study.optuna.ask().set_user_attr(STEPS, [160, 160, 30.0])
    running = "trial 1: step 80/160 · trial 2: starting · trial 3: evaluating"
    assert describe(study, 2) == f"1 of 20 trials · about 40 min left · {running} · best 0.2500"
    study.optuna.tell(2, state=TrialState.PRUNED)
    assert describe(study, 2).startswith("2 of 20 trials, 1 pruned · ")


def test_hours_are_told_in_words() -> None:
    assert [progress.in_words(s) for s in (5, 150, 4000)] == [
        "less than a minute left",
        "about 2 min left",
        "about 1 h 7 min left",
    ]


def test_each_ended_trial_is_told_once_also_of_other_machines(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    study.optuna.tell(study.optuna.ask(), 0.1)
    with ProgressDisplay(study, 1) as display:
        study.optuna.tell(study.optuna.ask(), 0.25)
        study.optuna.tell(study.optuna.ask(), state=TrialState.PRUNED)
        failed = study.optuna.ask()
        failed.set_user_attr("failure", "ValueError: no luck")
        study.optuna.tell(failed, state=TrialState.FAIL)
        display.update()
        display.update()
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "trial 1: 0.2500; best 0.2500 of trial 1; 3 of 20 done",
        "trial 2: pruned; 3 of 20 done",
    ]
    assert shown.err == "trial 3: failed: ValueError: no luck\n"


def test_without_a_terminal_there_is_a_plain_line_a_minute(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with ProgressDisplay(study, 1) as display:
        for clock[0] in (1, 59, 61, 62, 122):
            display.update()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["mine: 0 of 20 trials · estimating time left · workers are starting"] * 2


@pytest.mark.slow
def test_on_a_terminal_one_line_is_updated_and_no_training_draws_over_it(
    packed_world: Path, tmp_path: Path
) -> None:
    workspace = make_workspace(tmp_path / "workspace", packed_world)
    options = ["--workers", "2", "--n_trials", "2", "--n_seeds", "1", "--trial_steps", "12"]
    command = [sys.executable, str(ROOT / "src/search.py"), *options]
    shown = run_on_terminal(
        command, columns=80, folder=workspace, DVC_ROOT=str(workspace), MLFLOW_TRACKING_URI=""
    )
    drawn = [part for part in shown.split("\x1b[2K") if part.endswith("\r")]
    live = [part for part in drawn if not part.endswith("\n\r")]
    assert any(re.search(r"trial \d: step \d+/12", part) for part in live)
    assert all(re.match(r"(hpa|confirmation): \d of \d (trial|training)s", part) for part in live)
    assert all(len(part) <= 80 for part in live)
    assert "images/s" not in shown
