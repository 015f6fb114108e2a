"""Dask cluster for joblib's tasks."""

from collections.abc import Iterator
from contextlib import contextmanager

import joblib

from hpa.errors import UserError

TIMEOUT_S = 20  # a scheduler in the same network responds in milliseconds


@contextmanager
def workers_of(scheduler: str | None) -> Iterator[None]:
    """Run joblib's tasks within the block on the workers of a Dask scheduler; here if None.

    The workers read and write the same files as this process: they need the repository under the
    same path (a shared file system), and `src` on their PYTHONPATH.

    Raises:
        UserError: `scheduler` does not respond, or has no worker.
    """
    if scheduler is None:
        yield
        return
    from distributed import Client  # takes half a second

    try:
        client = Client(scheduler, timeout=TIMEOUT_S, set_as_default=True)
    except (OSError, ValueError, TimeoutError) as error:
        raise _unreachable(scheduler, str(error)) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise _unreachable(scheduler, "a scheduler without workers")
        with joblib.parallel_config(backend="dask"):
            yield


def _unreachable(scheduler: str, received: str) -> UserError:
    return UserError(
        f"the Dask cluster at {scheduler} cannot be used",
        expected="a scheduler with at least one worker, such as tcp://host:8786",
        received=received,
        remedy="start one: dask scheduler; then in the repository, on each machine: "
        "PYTHONPATH=src dask worker tcp://host:8786",
    )
