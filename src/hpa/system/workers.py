"""Worker processes of this machine: their shares of the cores and GPUs, their start and their end.

The shares are environment variables that libraries read when they load.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from hpa.errors import UserError
from hpa.system.files import SOURCE_DIR

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
PR_SET_PDEATHSIG = 1

Environment = dict[str, str]


def resource_shares(n_workers: int, n_devices: int) -> list[Environment]:
    """Return environment variables that give each worker its cores and GPUs."""
    n_cores = len(os.sched_getaffinity(0))
    threads = dict.fromkeys(THREADS, str(max(1, n_cores // n_workers)))
    gpus = _gpus()
    if gpus and len(gpus) < n_workers * n_devices:
        raise UserError(
            "there are fewer GPUs than the workers need",
            expected=f"at most --workers {len(gpus) // n_devices} for {len(gpus)} GPUs",
            received=f"--workers {n_workers}, each with train.n_devices {n_devices}",
            remedy="start fewer workers; those of a search can also run elsewhere: --join",
        )
    parts = [gpus[place * n_devices : (place + 1) * n_devices] for place in range(n_workers)]
    return [threads | ({"CUDA_VISIBLE_DEVICES": ",".join(part)} if part else {}) for part in parts]


def _gpus() -> list[str]:
    """List the NVIDIA GPUs that this process may use, without loading TensorFlow."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name not in ("", "-1")]
    if not (tool := shutil.which("nvidia-smi")):
        return []
    query = [tool, "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else []


def start_worker(
    command: list[str], environment: Environment, folder: Path, *, output: int | None = None
) -> "subprocess.Popen[bytes]":
    """Start a worker in a session of its own, so that Ctrl-C reaches only this process.

    `output` takes what it prints, errors included: by default this process' own output does.
    """
    environment = {key: value for key, value in environment.items() if key != "MLFLOW_RUN_ID"}
    path = os.pathsep.join(filter(None, [str(SOURCE_DIR), environment.get("PYTHONPATH")]))
    own = {"PYTHONPATH": path, "TQDM_DISABLE": "1"}
    return subprocess.Popen(
        command,
        env={**environment, **own},
        cwd=folder,
        start_new_session=True,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
    )


def stop_workers(workers: "list[subprocess.Popen[bytes]]") -> None:
    """Terminate running workers, which finish their current step, and wait."""
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    for worker in workers:
        worker.wait()


def end_with_parent() -> None:
    """Let this process get SIGTERM when the one that started it ends, also if it is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
