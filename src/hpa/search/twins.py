"""Equal trials: train once, and reuse the value, since a training is a function of its parameters.

Random samplers and small spaces of choices draw the same parameters again, and two workers may draw
them at once.
"""

import time

import optuna
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from hpa.search.storage import lock_study
from hpa.search.study import DONE, VALUE, Study
from hpa.tracking.stage_run import log_metrics, log_tags

POLL_S = 2.0


def finished_twin(trial: optuna.Trial, study: Study) -> FrozenTrial | None:
    """Return a finished trial with the same parameters; None if this one must train.

    If an earlier trial with the same parameters is running, wait for it. If that fails or its
    worker dies, this trial trains.
    """
    while True:
        twins = [
            each
            for each in study.trials()
            if each.number != trial.number and each.params == trial.params
        ]
        if finished := [each for each in twins if each.state in DONE]:
            return finished[0]
        running = [each for each in twins if each.state is TrialState.RUNNING]
        if not any(each.number < trial.number for each in running):
            return None
        with lock_study(study.storage, study.name):
            fail_stale_trials(study.optuna)
        time.sleep(POLL_S)


def reuse(trial: optuna.Trial, twin: FrozenTrial) -> float:
    """Report the rounds and return the value of a twin; study and run say whose they are.

    Raises:
        TrialPruned: the twin was pruned.
    """
    trial.set_user_attr("same_as", twin.number)
    log_tags({"optuna.same_as": str(twin.number)})
    if run_id := twin.user_attrs.get("run_id"):
        log_tags({"optuna.same_as_run": run_id})
    for number, value in sorted(twin.intermediate_values.items()):
        trial.report(value, number)
    if twin.state is TrialState.PRUNED:
        raise optuna.TrialPruned(f"as trial {twin.number}, which has the same parameters")
    value = float(twin.values[0])
    log_metrics({VALUE: value})
    return value
