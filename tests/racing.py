"""Workers of one study in processes of their own, whose trials train nothing and take a moment."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable

import optuna
from optuna.trial import TrialState

from hpa.search import storage, worker
from hpa.search.space import read_space, suggest
from hpa.search.study import Study, load_study

TRIAL_S = 0.4


def by_gamma(trial: optuna.Trial, study: Study) -> float:
    """Draw as a search does, train nothing."""
    return float(suggest(trial, read_space(study.params), study.params).get("loss.gamma", 0.0))


def slow_trial(trial: optuna.Trial, study: Study) -> float:
    value = by_gamma(trial, study)
    time.sleep(TRIAL_S)
    return value


def work_slowly(url: str, name: str) -> None:
    """Work with a heartbeat of a second, so that a dead worker is noticed soon."""
    storage.HEARTBEAT_S, storage.GRACE_S, worker.POLL_S = 1, 4, 0.1
    worker.work(load_study(url, name), slow_trial)


def work_small(url: str, name: str) -> None:
    """Train and track as a search does, with the small network."""
    from networks import compiled_small_networks

    from hpa import fitting
    from hpa.search.trial import search_trial

    fitting.compiled_networks = compiled_small_networks
    storage.HEARTBEAT_S, storage.GRACE_S, worker.POLL_S = 1, 20, 0.1
    worker.work(load_study(url, name), search_trial)


def race(study: Study, work: Callable[[str, str], None], n_workers: int, n_killed: int) -> None:
    """Let processes work on a study, and kill some once all are amid a trial."""
    context = multiprocessing.get_context("spawn")
    arguments = (study.storage.url, study.name)
    workers = [context.Process(target=work, args=arguments) for _ in range(n_workers)]
    for each in workers:
        each.start()
    while study.n_done() < n_workers or n_running(study) < n_workers:
        time.sleep(0.02)
    for each in workers[:n_killed]:
        assert each.pid is not None
        os.kill(each.pid, signal.SIGKILL)
    for each in workers:
        each.join(600)
    assert [each.exitcode for each in workers] == [-9] * n_killed + [0] * (n_workers - n_killed)


def n_running(study: Study) -> int:
    return sum(trial.state is TrialState.RUNNING for trial in study.trials())
