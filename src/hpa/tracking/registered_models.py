"""Files of registered models: looked up in MLflow's registry and copied, never executed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from hpa.errors import UserError
from hpa.tracking.address import local_folder
from hpa.tracking.artifacts import artifact_uri
from hpa.tracking.logged_models import place_of_model
from hpa.tracking.mlflow_store import find_run, open_store

NAME, CHAMPION = "hpa", "champion"
"""Default name of the registered model, and the alias of its version that is served."""
SCHEME = "models:/"
ARTIFACT = "registered_model"
"""Artifact of a run that holds its registered model."""


@contextmanager
def model_folder(source: str) -> Iterator[Path]:
    """Yield the model folder of a path or of `models:/NAME@ALIAS`, without executing its code.

    A registered model is copied to a temporary folder, removed when the block ends.

    Raises:
        UserError: the registry has no such model, or its files cannot be read.
    """
    if not source.startswith(SCHEME):
        yield Path(source)
        return
    client = open_store()
    with TemporaryDirectory(prefix="hpa-model-") as temporary:
        try:
            files = moved_source(client, _version(client, source)) or source
            copied = Path(mlflow.artifacts.download_artifacts(files, dst_path=temporary))
        except (MlflowException, OSError) as error:
            raise UserError(
                f"{source} cannot be read from the registry",
                expected=f"a registered model, such as {SCHEME}{NAME}@{CHAMPION}",
                received=str(error),
                remedy="name a registered model and its alias, or a model folder; or start the "
                "server of the store, or name another store: MLFLOW_TRACKING_URI",
            ) from error
        yield copied / "artifacts" / "model"


def _version(client: mlflow.MlflowClient, source: str) -> ModelVersion:
    """Look up `models:/NAME@ALIAS` or `models:/NAME/VERSION`."""
    name, at, alias = source.removeprefix(SCHEME).partition("@")
    if at:
        return client.get_model_version_by_alias(name, alias)
    name, _, number = name.rpartition("/")
    return client.get_model_version(name, number)


def moved_source(client: mlflow.MlflowClient, version: ModelVersion) -> str | None:
    """Return where the files of a version are now; None if MLflow has it recorded so."""
    source = str(version.source)
    if local_folder(str(client.tracking_uri)) is None:
        return None
    now = place_of_model(client, source)
    run = find_run(client, version.run_id)
    if run and source.endswith(f"/{run.info.run_id}/artifacts/{ARTIFACT}"):
        now = f"{artifact_uri(client, run)}/{ARTIFACT}"
    return None if now == source else now
