"""Ids of runs as a person types them: whole, or their first characters where they are unique.

The store is asked without MLflow, whose import takes seconds, so that a wrong id is refused at
once. Its tables are only read.
"""

import os
import re
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import Select, column, select, table

from hpa.errors import UserError
from hpa.system.files import repository_root
from hpa.tracking.address import DATABASES, database_path, public, tracking_uri, unreadable

if TYPE_CHECKING:
    import requests

PREFIX = re.compile(r"[0-9a-f]{4,32}")
PENDING = re.compile(r"pending-(\w+)-[0-9a-f]{32}")
TIMEOUT_S = 20
N_SHOWN = 5
RUNS = table("runs", column("run_uuid"), column("lifecycle_stage"))
TAGS = table("tags", *map(column, ("run_uuid", "key", "value")))
LIST = "make ui lists them; reports/metrics.json has that of the workspace"

Found = list[tuple[str, bool]]
"""Ids of runs, and whether each was deleted."""


def full_run_id(given: str, *, or_else: str = "") -> str:
    """Return the id of the only run in the store that begins with these characters.

    Args:
        given: four hexadecimal digits or more, or a pending id; see `hpa.tracking.stage_run`.
        or_else: what the caller accepts beside runs, for the message.

    Raises:
        UserError: no run or several begin so, it was deleted, or the store cannot be read.
    """
    text = given.strip().lower()
    if not (PREFIX.fullmatch(text) or PENDING.fullmatch(text)):
        raise UserError(
            f"{given!r} is not the id of a run",
            expected=f"its 32 hexadecimal digits, or the first ones, at least 4{or_else}",
            received=f"{len(text)} characters" if text else "nothing",
            remedy=LIST,
        )
    found = _find(text)
    active = [run_id for run_id, deleted in found if not deleted]
    if len(active) > 1:
        shown = ", ".join(active[:N_SHOWN]) + (" …" if len(active) > N_SHOWN else "")
        raise UserError(
            f"{given!r} is ambiguous: several runs begin so",
            expected="the first characters of one run",
            received=shown,
            remedy="give more of them",
        )
    if not active:
        raise _unknown(given, text, found)
    return active[0]


def _unknown(given: str, text: str, found: Found) -> UserError:
    remedy = LIST
    if found:
        remedy = f"restore it: mlflow runs restore --run-id {found[0][0]}; or name another"
    elif any(repository_root().glob(f".tracking_outbox/*-{text}")):
        remedy = "its records wait for the store; send them: python src/sync_runs.py"
    return UserError(
        "there is no such run",
        expected=f"the id of a run in {public(tracking_uri())}, or its first characters",
        received=f"{given!r}, a run that was deleted" if found else repr(given),
        remedy=remedy,
    )


def _find(text: str) -> Found:
    """Find the runs whose id begins with a text, or which a stage began under this pending id.

    Raises:
        UserError: the store cannot be read.
    """
    uri = tracking_uri()
    try:
        if uri.startswith(DATABASES):
            return _in_database(uri, text)
        return _behind_server(uri.rstrip("/"), text)
    except UserError:
        raise
    except Exception as error:  # of SQLAlchemy, requests or MLflow
        raise unreadable(error) from error


def _in_database(uri: str, text: str) -> Found:
    path = database_path(uri)
    if path is not None and not path.is_file():
        return []  # connecting would create it
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            rows = connection.execute(_query(text))
            return [(run_id, state != "active") for run_id, state in rows]
    finally:
        engine.dispose()


def _query(text: str) -> Select[Any]:
    """Select by objects, so that each database's own quotes are put around the column `key`."""
    wanted = RUNS.c.run_uuid.startswith(text)
    if stage := PENDING.fullmatch(text):
        begun = TAGS.c.key == f"started.{stage[1]}", TAGS.c.value == text
        wanted = RUNS.c.run_uuid.in_(select(TAGS.c.run_uuid).where(*begun))
    return select(RUNS).where(wanted)


def _behind_server(uri: str, text: str) -> Found:
    """Ask a server for the runs in every experiment; through MLflow if it wants more than we do."""
    import requests

    wanted = f"attributes.run_id LIKE '{text}%'"
    if stage := PENDING.fullmatch(text):
        wanted = f"tags.`started.{stage[1]}` = '{text}'"
    try:
        with requests.Session() as session:
            _sign_in(session)
            ids = [each["experiment_id"] for each in _pages(session, uri, "experiments", {})]
            found = _pages(session, uri, "runs", {"experiment_ids": ids, "filter": wanted})
        return [
            (run["info"]["run_id"], run["info"]["lifecycle_stage"] != "active") for run in found
        ]
    except (requests.HTTPError, requests.exceptions.InvalidSchema):
        return _through_mlflow(wanted)


def _through_mlflow(wanted: str) -> Found:
    """Ask with MLflow's own credentials file, plugins and schemes."""
    from hpa.tracking.mlflow_store import all_experiments, open_store

    client = open_store()
    found = client.search_runs(all_experiments(client), wanted, run_view_type=3)
    return [(run.info.run_id, run.info.lifecycle_stage != "active") for run in found]


def _pages(
    session: "requests.Session", uri: str, kind: str, query: dict[str, Any]
) -> list[dict[str, Any]]:
    view = {"runs": "run_view_type", "experiments": "view_type"}[kind]
    query, found = {**query, view: "ALL", "max_results": 1000}, []
    while True:
        address = f"{uri}/api/2.0/mlflow/{kind}/search"
        answer = session.post(address, json=query, timeout=TIMEOUT_S)
        answer.raise_for_status()
        page = answer.json()
        found += page.get(kind, [])
        if not (token := page.get("next_page_token")):
            return found
        query["page_token"] = token


def _sign_in(session: "requests.Session") -> None:
    """Take the account of MLflow's environment variables; an address may have its own."""
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{k}", "") for k in ("USERNAME", "PASSWORD"))
    if user:
        session.auth = (user, password)
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        session.headers["Authorization"] = f"Bearer {token}"
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    session.verify = not insecure and (os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True)
    session.cert = os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
