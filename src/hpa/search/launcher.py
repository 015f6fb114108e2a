"""Starting workers: processes of this machine, or of the workers of a Dask cluster.

Each gets its share of the cores before anything that counts threads is loaded, and GPUs of its
own where there are any.
"""

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from hpa.errors import UserError
from hpa.search.study import Study
from hpa.system.cluster import workers_of
from hpa.system.files import SOURCE_DIR
from hpa.system.progress import progress

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
CARRIED = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "KERAS_BACKEND", "DVC_ROOT")
"""What workers of a cluster must know of this process' environment."""
POLL_S = 1.0

Environment = dict[str, str]


def work_here(study: Study, n_workers: int) -> None:
    """Do the study's trials in processes of this machine; they end with this one.

    Raises:
        UserError: fewer GPUs than workers want, or they all ended before the study was done.
    """
    shares = _shares(n_workers, study.params.train.n_devices)
    command = _command(study)
    workers = [_start(command, {**os.environ, **share}, Path.cwd()) for share in shares]
    try:
        _watch(study, lambda: any(worker.poll() is None for worker in workers))
    finally:
        _end(workers)
    _require_done(study)


def work_on_cluster(study: Study, scheduler: str) -> None:
    """Do the study's trials on the workers of a Dask cluster, one each.

    Raises:
        UserError: no cluster, one of several machines with a study in a file, or all workers ended.
    """
    with workers_of(scheduler):
        from distributed import Event, default_client

        client = default_client()
        addresses = list(client.nthreads())
        _require_shared(study, addresses)
        stop = Event(f"hpa-search-{uuid.uuid4().hex}", client=client)
        environment = {name: os.environ[name] for name in CARRIED if name in os.environ}
        arguments = _command(study), environment, Path.cwd(), stop.name
        futures = {
            address: client.submit(_work_as_task, *arguments, workers=[address], pure=False)
            for address in addresses
        }

        def is_at_work() -> bool:
            """A lost worker's task waits for ever: the one that takes its place has a new port."""
            living = client.nthreads()
            return any(a in living and not future.done() for a, future in futures.items())

        try:
            _watch(study, is_at_work)
        finally:
            stop.set()
    _require_done(study)


def _work_as_task(command: list[str], carried: Environment, folder: Path, stop_name: str) -> None:
    """Run a worker's process from within a task of Dask, whose threads are the worker's."""
    from distributed import Event, get_worker

    share = dict.fromkeys(THREADS, str(get_worker().state.nthreads))
    stop = Event(stop_name)
    worker = _start(command, {**os.environ, **carried, **share}, folder)
    try:
        while worker.poll() is None and not stop.is_set():
            time.sleep(POLL_S)
    finally:
        _end([worker])


def _command(study: Study) -> list[str]:
    return [sys.executable, "-m", "hpa.search.worker", study.storage.url, study.name]


def _start(command: list[str], environment: Environment, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a worker in a session of its own: of Ctrl-C it hears from this process alone."""
    environment = {key: value for key, value in environment.items() if key != "MLFLOW_RUN_ID"}
    path = os.pathsep.join(filter(None, [str(SOURCE_DIR), environment.get("PYTHONPATH")]))
    own = {"PYTHONPATH": path, "TQDM_DISABLE": "1"}
    return subprocess.Popen(command, env={**environment, **own}, cwd=folder, start_new_session=True)


def _end(workers: "list[subprocess.Popen[bytes]]") -> None:
    """Ask those that still live to end after the step under way, and wait for it."""
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    for worker in workers:
        worker.wait()


def _watch(study: Study, is_at_work: Callable[[], bool]) -> None:
    done = study.n_done()
    with progress(what=study.name, total=study.n_trials, unit="trial", initial=done) as bar:
        while is_at_work():
            time.sleep(POLL_S)
            bar.update(study.n_done() - bar.n)
        bar.update(study.n_done() - bar.n)


def _shares(n_workers: int, n_devices: int) -> list[Environment]:
    """Give each worker its share of the cores, and the GPUs that it trains on."""
    n_cores = len(os.sched_getaffinity(0))
    threads = dict.fromkeys(THREADS, str(max(1, n_cores // n_workers)))
    gpus = _gpus()
    if gpus and len(gpus) < n_workers * n_devices:
        raise UserError(
            "there are fewer GPUs than the workers need",
            expected=f"--workers {len(gpus) // n_devices} or less: {len(gpus)} GPUs here",
            received=f"--workers {n_workers}, each with train.n_devices {n_devices}",
            remedy="start fewer workers here, others on another machine with --join",
        )
    parts = [gpus[place * n_devices : (place + 1) * n_devices] for place in range(n_workers)]
    return [threads | ({"CUDA_VISIBLE_DEVICES": ",".join(part)} if part else {}) for part in parts]


def _gpus() -> list[str]:
    """Name the NVIDIA GPUs that this process may use, without loading what computes on them."""
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [name for name in stated.split(",") if name not in ("", "-1")]
    if not (tool := shutil.which("nvidia-smi")):
        return []
    query = [tool, "--query-gpu=index", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True)
    return answer.stdout.split() if answer.returncode == 0 else []


def _require_shared(study: Study, addresses: list[str]) -> None:
    hosts = {address.rpartition(":")[0] for address in addresses}
    if len(hosts) > 1 and study.storage.url.startswith("sqlite"):
        raise UserError(
            "a study in a file is for one machine",
            expected="search.storage postgresql://USER@HOST/NAME for a cluster of several",
            received=f"{study.storage.url} for {', '.join(sorted(hosts))}",
            remedy="see docs/search.md",
        )


def _require_done(study: Study) -> None:
    n_done = study.n_done()
    if n_done < study.n_trials:
        raise UserError(
            "all workers ended before the study was done",
            expected=f"{study.n_trials} trials of the study {study.name!r}",
            received=f"{n_done}; what the workers said stands above",
            remedy="mend what ended them, then give the same command again: it goes on",
        )
