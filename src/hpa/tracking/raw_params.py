"""Parameters of a run as `mlflow run -P` logged them: the raw text, under the name that was given.

MLflow logs them before this project starts, quoted for the shell, and its client can neither change
nor delete one. A text that means the same value therefore stays as it is.
"""

import shlex
from collections.abc import Mapping
from typing import Any

import mlflow
from mlflow.store.tracking.dbmodels.models import SqlParam
from sqlalchemy import create_engine, delete
from sqlalchemy.exc import SQLAlchemyError

from hpa.config.params import means, short_key
from hpa.tracking.address import DATABASES, tracking_uri


def agrees(known: Mapping[str, str], params: Mapping[str, Any]) -> bool:
    """Tell whether no parameter was logged with another value, in whatever spelling."""
    return all(_same(key, known[key], value) for key, value in params.items() if key in known)


def unlogged(known: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that were not logged yet."""
    return {key: value for key, value in params.items() if key not in known}


def inherited(known: Mapping[str, str]) -> dict[str, str]:
    """Return the logged parameters that another run may inherit: those under their full names."""
    return {key: text for key, text in known.items() if "." in key}


def remove_short_names(
    client: mlflow.MlflowClient, run_id: str, known: Mapping[str, str], params: Mapping[str, Any]
) -> None:
    """Remove `gamma` from a run that also holds `loss.gamma`, in a database that this client opens.

    A server deletes no parameter: there both stay. So they do if MLflow's tables have changed.
    """
    names = [short_key(key) for key, value in params.items() if _same_short(known, key, value)]
    if not names or not str(client.tracking_uri).startswith(DATABASES):
        return
    engine = create_engine(tracking_uri())
    try:
        with engine.begin() as connection:
            named: Any = SqlParam.key.in_(names)
            connection.execute(delete(SqlParam).where(SqlParam.run_uuid == run_id, named))
    except SQLAlchemyError:
        return
    finally:
        engine.dispose()


def _same_short(known: Mapping[str, str], key: str, value: Any) -> bool:
    name = short_key(key)
    return name != key and name in known and _same(key, known[name], value)


def _same(key: str, text: str, value: Any) -> bool:
    return text == str(value) or means(key, _unquoted(text), value)


def _unquoted(text: str) -> str:
    """Undo the quotes that MLflow adds for the shell."""
    try:
        words = shlex.split(text)
    except ValueError:
        return text
    return words[0] if len(words) == 1 else text
