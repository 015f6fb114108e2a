"""Storage of studies: a SQLite file for one machine, a PostgreSQL server for several."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy.exc import SQLAlchemyError

from hpa.config.secrets import hide_secrets, holds_secret
from hpa.errors import UserError
from hpa.system.files import repository_root

HEARTBEAT_S, GRACE_S = 10, 60
"""A trial without a heartbeat for GRACE_S is retried by another worker."""
MAX_RETRIES = 3
"""Retries of a trial whose worker dies, out of memory for example."""
SQLITE_TIMEOUT_S = 60
DRIVER = "postgresql+psycopg2"
"""The installed driver; SQLAlchemy 2.1 has another default."""


def storage_url(stated: str) -> str:
    """Return the URL of `search.storage`; a relative path is relative to the repository.

    Raises:
        UserError: it is neither SQLite nor PostgreSQL, or contains a password.
    """
    try:
        url = sqlalchemy.engine.make_url(stated)
        backend, password = url.get_backend_name(), url.password
    except (SQLAlchemyError, ValueError):
        backend, password = "", None
    if password or holds_secret(stated):
        raise UserError(
            "search.storage contains a password, which Git and every run would reveal",
            expected="an address without password",
            received="one with a password, which is not repeated here",
            remedy="put it into ~/.pgpass or PGPASSWORD, which the PostgreSQL library reads; that "
            "of a client certificate's key needs a key without one",
        )
    if backend not in ("sqlite", "postgresql") or (backend == "sqlite" and not url.database):
        raise UserError(
            "search.storage is not the address of a database",
            expected="sqlite:///FILE, or postgresql://USER@HOST/NAME for several machines",
            received=repr(stated.rpartition("@")[2]),
            remedy="see docs/search.md",
        )
    if backend == "sqlite":
        return f"sqlite:///{repository_root().resolve() / str(url.database)}"
    return url.set(drivername=DRIVER).render_as_string()


def open_storage(url: str) -> RDBStorage:
    """Connect to the database at a URL from `storage_url`, and create its tables if needed.

    Raises:
        UserError: it cannot be reached, or its tables are of another Optuna version.
    """
    warnings.filterwarnings("ignore", category=ExperimentalWarning)  # heartbeats, since 2.9
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # workers report their trials themselves
    sqlite = url.startswith("sqlite")
    engine = {"connect_args": {"timeout": SQLITE_TIMEOUT_S}} if sqlite else {"pool_pre_ping": True}
    try:
        with _file_lock(url) if sqlite else nullcontext():
            return RDBStorage(
                url,
                engine_kwargs=engine,
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(MAX_RETRIES),
            )
    except (SQLAlchemyError, StorageInternalError, RuntimeError, OSError, ImportError) as error:
        raise UserError(
            "the storage of the study cannot be used",
            expected=f"a database at {url}",
            received=hide_secrets(str(error).strip().splitlines()[0]),
            remedy="start the server, or fix search.storage; MLflow needs a database of its own",
        ) from error


@contextmanager
def lock_study(storage: RDBStorage, study_name: str) -> Iterator[None]:
    """Hold the lock of a study across processes; a process that ends releases it."""
    if storage.engine.dialect.name == "sqlite":
        with _file_lock(storage.url):
            yield
        return
    number = int.from_bytes(hashlib.sha256(study_name.encode()).digest()[:7])
    with storage.engine.connect() as connection:  # the end of the transaction releases the lock
        lock = sqlalchemy.text("SELECT pg_advisory_xact_lock(:number)")
        connection.execute(lock, {"number": number})
        yield


def _file_lock(url: str) -> FileLock:
    path = Path(str(sqlalchemy.engine.make_url(url).database))
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(f"{path.name}.lock"))
