"""Launch worker processes on this machine or on the workers of a Dask cluster.

Each gets a share of the cores, by environment variables that libraries read when they load, and
its own GPUs if there are any.
"""

import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from hpa.errors import UserError
from hpa.search.progress import ProgressDisplay
from hpa.search.study import Study
from hpa.system.cluster import workers_of
from hpa.system.workers import THREADS, Environment, resource_shares, start_worker, stop_workers

FORWARDED = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "KERAS_BACKEND", "DVC_ROOT")
"""Environment variables that workers of a cluster take from this process."""
POLL_S = 1.0


def work_here(study: Study, n_workers: int) -> None:
    """Run the study in processes of this machine, which end with this one.

    Raises:
        UserError: there are too few GPUs, or all workers ended before the study was done.
    """
    shares = resource_shares(n_workers, study.params.train.n_devices)
    command = _command(study)
    workers = [start_worker(command, {**os.environ, **share}, Path.cwd()) for share in shares]
    try:
        _watch(study, lambda: any(worker.poll() is None for worker in workers), n_workers)
    finally:
        stop_workers(workers)
    _require_done(study)


def work_on_cluster(study: Study, scheduler: str) -> None:
    """Run the study on a Dask cluster, one process per Dask worker.

    Raises:
        UserError: there is no cluster, it has several machines but the storage is SQLite, or all
            workers ended before the study was done.
    """
    with workers_of(scheduler):
        from distributed import Event, default_client

        client = default_client()
        addresses = list(client.nthreads())
        _require_shared(study, addresses)
        stop = Event(f"hpa-search-{uuid.uuid4().hex}", client=client)
        environment = {name: os.environ[name] for name in FORWARDED if name in os.environ}
        arguments = _command(study), environment, Path.cwd(), stop.name
        futures = {
            address: client.submit(_work_as_task, *arguments, workers=[address], pure=False)
            for address in addresses
        }

        def is_working() -> bool:
            """Ignore tasks of lost workers: they stay pending, as a new worker has a new port."""
            alive = client.nthreads()
            return any(a in alive and not future.done() for a, future in futures.items())

        try:
            _watch(study, is_working, len(addresses))
        finally:
            stop.set()
    _require_done(study)


def _work_as_task(command: list[str], forwarded: Environment, folder: Path, stop_name: str) -> None:
    """Run a worker process inside a Dask task, with as many threads as the Dask worker has."""
    from distributed import Event, get_worker

    share = dict.fromkeys(THREADS, str(get_worker().state.nthreads))
    stop = Event(stop_name)
    worker = start_worker(command, {**os.environ, **forwarded, **share}, folder)
    try:
        while worker.poll() is None and not stop.is_set():
            time.sleep(POLL_S)
    finally:
        stop_workers([worker])


def _command(study: Study) -> list[str]:
    return [sys.executable, "-m", "hpa.search.worker", study.storage.url, study.name]


def _watch(study: Study, is_working: Callable[[], bool], n_workers: int) -> None:
    with ProgressDisplay(study, n_workers) as display:
        while is_working():
            display.update()
            time.sleep(POLL_S)
        display.update()


def _require_shared(study: Study, addresses: list[str]) -> None:
    hosts = {address.rpartition(":")[0] for address in addresses}
    if len(hosts) > 1 and study.storage.url.startswith("sqlite"):
        raise UserError(
            "a study in a SQLite file is limited to one machine",
            expected="search.storage postgresql://USER@HOST/NAME for a cluster of several machines",
            received=f"{study.storage.url} for {', '.join(sorted(hosts))}",
            remedy="see docs/search.md",
        )


def _require_done(study: Study) -> None:
    if (n_done := study.n_done()) < study.n_trials:
        raise UserError(
            "all workers ended before the study was done",
            expected=f"{study.n_trials} trials of the study {study.name!r}",
            received=f"{n_done}; see the output of the workers above",
            remedy="fix the cause, then run the same command again: it resumes the study",
        )
