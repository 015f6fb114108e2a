"""Address of the tracking store, where its local files lie, and errors that name it."""

import os
import re
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from hpa.config.secrets import hide_secrets
from hpa.errors import UserError
from hpa.system.files import repository_root

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Backends that MLflow's client opens itself, without a server."""
POSTGRESQL, DRIVER = "postgresql://", "postgresql+psycopg2://"
"""SQLAlchemy's default driver is another one than this project's environment has."""


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, by default that of `mlflow.db`, with an absolute path.

    Relative files are in the repository, so that runs of experiments in DVC's temporary folders
    outlive those folders.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path = database_path(uri)
    if path is None:
        return DRIVER + uri.removeprefix(POSTGRESQL) if uri.startswith(POSTGRESQL) else uri
    return sqlite_uri(path, dict(make_url(uri).query))


def sqlite_uri(path: Path, query: "dict[str, str | tuple[str, ...]] | None" = None) -> str:
    """Return the URI of a database file, whatever characters its path holds.

    `?` begins a query in a URI, and `%` an escape, so both are escaped. MLflow creates the folder
    of a path as it is spelled after `sqlite:///`, and leaves the other spelling alone.
    """
    escaped = str(path).replace("%", "%25").replace("?", "%3F")
    driver = "sqlite" if escaped == str(path) else "sqlite+pysqlite"
    end = URL.create("sqlite", query=query or {}).render_as_string().removeprefix("sqlite://")
    return f"{driver}:///{escaped}{end}"


def database_path(uri: str) -> Path | None:
    """Return the absolute path of a sqlite file; None for a server and a database in memory.

    Raises:
        UserError: it begins like the address of a sqlite file but is not one.
    """
    if not uri.startswith(("sqlite:", "sqlite+")):
        return None
    try:
        name = make_url(uri).database
    except ArgumentError as error:
        raise UserError(
            "MLFLOW_TRACKING_URI names no database",
            expected="sqlite:///FILE.db, or sqlite:////FOLDER/FILE.db for an absolute path",
            received=repr(uri),
            remedy="correct it, or unset it for the repository's own mlflow.db",
        ) from error
    if not name or name == ":memory:" or name.startswith("file:"):
        return None
    return (repository_root().resolve() / name).resolve()


def local_folder(uri: str) -> Path | None:
    """Return the folder that holds `mlruns`: the database's, so that both can be moved together.

    Artifacts of a database server are in the repository. None for an MLflow server, which keeps
    its own.
    """
    if (path := database_path(uri)) is not None:
        return path.parent
    return repository_root().resolve() if uri.startswith(DATABASES) else None


def public(uri: str) -> str:
    """Return an address without user name, password and query, as written to files and messages.

    A database in the repository is named relative to it: the same one after a move.
    """
    if (path := database_path(uri)) is not None:
        root = repository_root().resolve()
        return f"sqlite:///{path.relative_to(root) if path.is_relative_to(root) else path}"
    scheme, _, rest = uri.partition("://")
    place = re.sub(r"\?\w+=.*", "", rest).rpartition("@")[2]  # a password may contain `?` and `@`
    return f"{scheme}://{place}" if rest else uri


def unreadable(error: Exception) -> UserError:
    """Return the error of a store that cannot be read, for a user."""
    return UserError(
        "the tracking store cannot be read",
        expected=f"runs in {public(tracking_uri())}",
        received=first_line(error),
        remedy="start the server, set MLFLOW_TRACKING_URI, or do what the message says",
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's message without passwords; its type if it is empty."""
    return hide_secrets(str(error).strip() or type(error).__name__).splitlines()[0][:160]
