"""Worker processes of one study, with fast trials."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from functools import partial

import optuna
from optuna.trial import TrialState

from hpa.search import storage, worker
from hpa.search.space import read_space, suggest
from hpa.search.study import Study, load_study

TRIAL_S = 0.4


def gamma_as_value(trial: optuna.Trial, study: Study) -> float:
    """Suggest as a search does, without training; return gamma."""
    return float(suggest(trial, read_space(study.params), study.params).get("loss.gamma", 0.0))


def slow_trial(trial: optuna.Trial, study: Study) -> float:
    value = gamma_as_value(trial, study)
    trial.set_user_attr("run_id", "none")
    time.sleep(TRIAL_S)
    return value


def work_slowly(url: str, name: str) -> None:
    """Work with a heartbeat of one second, to detect a dead worker soon."""
    storage.HEARTBEAT_S, storage.GRACE_S, worker.POLL_S = 1, 4, 0.1
    worker.work(load_study(url, name), slow_trial)


def work_small(url: str, name: str) -> None:
    """Train and track as a search does, with a small network."""
    from hpa.search.trial import search_trial
    from support.networks import compiled_small_networks

    storage.HEARTBEAT_S, storage.GRACE_S, worker.POLL_S = 1, 20, 0.1
    worker.work(
        load_study(url, name), partial(search_trial, build_networks=compiled_small_networks)
    )


def race(study: Study, work: Callable[[str, str], None], n_workers: int) -> None:
    """Let processes work on a study, and kill one during a trial."""
    context = multiprocessing.get_context("spawn")
    arguments = (study.storage.url, study.name)
    workers = [context.Process(target=work, args=arguments) for _ in range(n_workers)]
    for each in workers:
        each.start()
    victim = workers[0].pid
    assert victim is not None
    while study.n_done() < 2 or not is_in_trial(study, victim):
        assert workers[0].is_alive(), "the study was done before its worker could be killed"
        time.sleep(0.02)
    os.kill(victim, signal.SIGKILL)
    for each in workers:
        each.join(600)
    assert [each.exitcode for each in workers] == [-9] + [0] * (n_workers - 1)


def is_in_trial(study: Study, pid: int) -> bool:
    """Return whether a process has a running trial with parameters and a run."""
    attributes = [t.user_attrs for t in study.trials() if t.state is TrialState.RUNNING]
    return any("run_id" in each and each["process"].split()[1] == str(pid) for each in attributes)
