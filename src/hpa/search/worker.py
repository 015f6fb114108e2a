"""Worker process: run trials of a study until enough are done. Any number may run at once.

    PYTHONPATH=src python -m hpa.search.worker sqlite:////repository/optuna.db hpa

A lock lets one worker at a time count the running trials and start the next, so no trial is too
many. Another worker retries the trial of a worker that died.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from hpa.config import command_line
from hpa.errors import UserError
from hpa.search.storage import lock_study
from hpa.search.study import DONE, Study, load_study
from hpa.system import processes
from hpa.system.backends import prepare_backend
from hpa.system.workers import end_with_parent

POLL_S = 2.0
MAX_FAILURES = 5
"""Failed trials in a row that end the worker: the cause is not their parameters."""
TAKEN_OVER = (UpdateFinishedTrialError, ValueError, AssertionError)
"""Errors of Optuna if another worker has taken the trial over, after this machine slept, say."""

Objective = Callable[[optuna.Trial, Study], float]


def main() -> None:
    """Work until the study is done or the parent process ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("storage")
    parser.add_argument("study")
    arguments = parser.parse_args()
    end_with_parent()
    study = load_study(arguments.storage, arguments.study)
    prepare_backend(study.params.train.backend)  # workers of a cluster inherit no environment
    from hpa.search.trial import comparison_trial, search_trial  # loads Keras

    work(study, comparison_trial if study.candidates else search_trial)


def work(study: Study, objective: Objective) -> None:
    """Run trials until the study has enough.

    Raises:
        UserError: several trials in a row have failed.
    """
    n_failed = 0
    while study.n_done() < study.n_trials:
        trial = _run_next(study, objective)
        if trial is None:
            time.sleep(POLL_S)  # the last ones are running; one may still be released
            continue
        n_failed = 0 if trial.state in DONE else n_failed + 1
        if n_failed == MAX_FAILURES:
            raise UserError(
                f"{MAX_FAILURES} trials in a row failed",
                expected="occasional failures, due to the parameters of a trial",
                received=trial.user_attrs.get("failure", "no reason"),
                remedy="fix the cause, then run the same command again",
            )


def _run_next(study: Study, objective: Objective) -> FrozenTrial | None:
    """Run a trial; return None if enough are done or running."""
    with ExitStack() as lock:
        lock.enter_context(lock_study(study.storage, study.name))
        fail_stale_trials(study.optuna)
        n_running = sum(trial.state is TrialState.RUNNING for trial in study.trials())
        if study.n_done() + n_running >= study.n_trials:
            return None
        study.prepare_sampler()
        return _run(study, objective, on_start=lock.close)


def _run(study: Study, objective: Objective, on_start: Callable[[], None]) -> FrozenTrial:
    """Run the next trial; release it if interrupted.

    `on_start` is called as soon as the trial belongs to this worker.
    """
    started: list[int] = []

    def run(trial: optuna.Trial) -> float:
        started.append(trial.number)
        on_start()
        trial.set_user_attr("process", processes.identity())
        return objective(trial, study)

    try:
        study.optuna.optimize(run, n_trials=1, catch=(Exception,))
    except (KeyboardInterrupt, SystemExit):
        for number in started:
            _release(study, number)
        raise
    except TAKEN_OVER:
        if not started or study.trials()[started[0]].state is TrialState.RUNNING:
            raise
    return study.trials()[started[0]]


def _release(study: Study, number: int) -> None:
    """Let any worker retry the trial with the same parameters and in the same run."""
    if study.trials()[number].state is TrialState.RUNNING:
        study.optuna.tell(number, state=TrialState.FAIL)
    RetryHeartbeatStaleTrialCallback()(study.optuna, study.trials()[number])


if __name__ == "__main__":
    command_line.run(main)
