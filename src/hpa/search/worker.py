"""A worker: it takes trials of a study until as many as wanted are done. Any number may do so.

    PYTHONPATH=src python -m hpa.search.worker sqlite:////repository/optuna.db hpa

How many trials are under way is looked at, and one taken, by one worker at a time, so there are
never more than wanted. A trial whose worker is gone goes to another one.
"""

import argparse
import ctypes
import logging
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from hpa.config import command_line
from hpa.errors import UserError
from hpa.search.storage import turn
from hpa.search.study import DONE, Study, load_study
from hpa.system import processes
from hpa.system.backends import prepare_backend

POLL_S = 2.0
FAILURES = 5
"""So many failed trials one after the other: the cause is not in what they drew."""
PR_SET_PDEATHSIG = 1
LOST = (UpdateFinishedTrialError, ValueError, AssertionError)
"""What Optuna raises where another worker has taken the trial over: this machine slept, say."""

Objective = Callable[[optuna.Trial, Study], float]


def main() -> None:
    """Work for a process that ends its workers when it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("storage")
    parser.add_argument("study")
    arguments = parser.parse_args()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    prepare_backend()  # a worker of a cluster inherits nothing from the search
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # each trial's graphs are new
    study = load_study(arguments.storage, arguments.study)
    from hpa.search.trial import comparison_trial, search_trial  # loads Keras

    work(study, comparison_trial if study.candidates else search_trial)


def work(study: Study, objective: Objective) -> None:
    """Do trials until the study has as many as wanted.

    Raises:
        UserError: one trial after the other fails.
    """
    n_failed = 0
    while study.n_done() < study.n_trials:
        trial = _take(study, objective)
        if trial is None:
            time.sleep(POLL_S)  # the last ones are under way; one may yet be given back
            continue
        n_failed = 0 if trial.state in DONE else n_failed + 1
        _report(study, trial)
        if n_failed == FAILURES:
            raise UserError(
                f"{FAILURES} trials in a row failed",
                expected="a failure now and then, of parameters that do not work",
                received=trial.user_attrs.get("failure", "no reason"),
                remedy="mend that, then give the same command again",
            )


def _take(study: Study, objective: Objective) -> FrozenTrial | None:
    """Take a trial and do it; None where all that are wanted are done or under way."""
    with ExitStack() as held:
        held.enter_context(turn(study.storage, study.name))
        fail_stale_trials(study.optuna)
        under_way = sum(trial.state is TrialState.RUNNING for trial in study.trials())
        if study.n_done() + under_way >= study.n_trials:
            return None
        study.prepare_sampler()
        return _do(study, objective, begun=held.close)  # then the next worker has its turn


def _do(study: Study, objective: Objective, begun: Callable[[], None]) -> FrozenTrial:
    """Do the next trial: one that waits, or a new one; `begun` is called once it is this worker's.

    Interrupted, it gives the trial back.
    """
    taken: list[int] = []

    def run(trial: optuna.Trial) -> float:
        taken.append(trial.number)
        begun()
        trial.set_user_attr("process", processes.identity())
        return objective(trial, study)

    try:
        study.optuna.optimize(run, n_trials=1, catch=(Exception,))
    except (KeyboardInterrupt, SystemExit):
        for number in taken:
            _give_back(study, number)
        raise
    except LOST:
        if not taken or _state(study, taken[0]) is TrialState.RUNNING:
            raise
    return study.trials()[taken[0]]


def _give_back(study: Study, number: int) -> None:
    """Let any worker do the trial anew, with the same parameters and in the same run."""
    if _state(study, number) is TrialState.RUNNING:
        study.optuna.tell(number, state=TrialState.FAIL)
    RetryHeartbeatStaleTrialCallback()(study.optuna, study.trials()[number])


def _state(study: Study, number: int) -> TrialState:
    return study.trials()[number].state


def _report(study: Study, trial: FrozenTrial) -> None:
    done = f"{study.n_done()} of {study.n_trials} done"
    if trial.state is TrialState.COMPLETE:
        best = study.best()
        print(
            f"trial {trial.number}: {trial.value:.4f}; best {best.value:.4f} of trial "
            f"{best.number}; {done}",
            flush=True,
        )
    elif trial.state is TrialState.PRUNED:
        print(f"trial {trial.number}: pruned; {done}", flush=True)
    else:
        reason = trial.user_attrs.get("failure", "another worker took it over")
        print(f"trial {trial.number}: failed: {reason}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    command_line.run(main)
