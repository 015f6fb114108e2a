"""The registry's door: the versions of the model, which one is champion, and the files of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException

from hpa.errors import UserError
from hpa.system.files import repository_root
from hpa.tracking.mlflow_store import open_store, tracking_uri

NAME, CHAMPION = "hpa", "champion"
SCHEME = "models:/"
ARTIFACT = "registered_model"
"""Where a run keeps what was registered of it."""
HISTORY = "champions.before"
"""Tag of the registered model: the versions that were champion before, the last one last."""
LOCK = ".promote.lock"


class Registry:
    """The versions of the registered model; one process of this machine at a time holds it.

    On other machines the champion may move meanwhile; `crown` then refuses.
    """

    def __init__(self) -> None:
        self._client = open_store()

    def champion(self) -> str | None:
        """Return the champion's version, None where there is none yet."""
        return self._aliases().get(CHAMPION)

    def version_of(self, run_id: str) -> str | None:
        """Return the version that was registered of a run, None where there is none."""
        found = self._client.search_model_versions(f"name = '{NAME}' and run_id = '{run_id}'")
        ready = [each.version for each in found if each.status == "READY"]
        return str(max(ready, key=int)) if ready else None

    def run_of(self, version: str) -> str:
        """Return the run that a version was registered of."""
        return self._client.get_model_version(NAME, version).run_id or ""

    def register(self, run_id: str, model: Path, description: str) -> str:
        """Copy an MLflow model to its run and register it; returns the version.

        The version is made last, so that what a killed process left is no version.
        """
        self._client.log_artifacts(run_id, str(model), ARTIFACT)
        try:
            self._client.create_registered_model(NAME)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{ARTIFACT}"
        made = self._client.create_model_version(NAME, source, run_id, description=description)
        return str(made.version)

    def tag(self, version: str, tags: dict[str, str]) -> None:
        """Keep words with a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(NAME, version, key, value)

    def crown(self, version: str, *, instead_of: str | None) -> None:
        """Make a version champion, and remember the one before it.

        Raises:
            UserError: somebody else has moved the champion meanwhile.
        """
        if (found := self.champion()) != instead_of:
            raise UserError(
                "the champion has changed meanwhile",
                expected=f"version {instead_of}, which this one was compared with",
                received=f"version {found}",
                remedy="run the same command again: it compares with the new champion",
            )
        if instead_of is not None:
            self._remember([*self.history(), instead_of])
        self._client.set_registered_model_alias(NAME, CHAMPION, version)

    def history(self) -> list[str]:
        """Return the champions before today's that still exist, the last one last."""
        if (model := self._model()) is None:
            return []
        known = {
            str(each.version) for each in self._client.search_model_versions(f"name = '{NAME}'")
        }
        named = model.tags.get(HISTORY, "").split()
        return [version for version in named if version in known]

    def step_back(self, version: str) -> None:
        """Make an earlier champion champion again, and forget those after it."""
        history = self.history()
        last = len(history) - 1 - history[::-1].index(version)
        self._client.set_registered_model_alias(NAME, CHAMPION, version)
        self._remember(history[:last])

    def _remember(self, versions: list[str]) -> None:
        self._client.set_registered_model_tag(NAME, HISTORY, " ".join(versions[-100:]))

    def _aliases(self) -> dict[str, str]:
        model = self._model()
        return {} if model is None else {name: str(v) for name, v in model.aliases.items()}

    def _model(self) -> "mlflow.entities.model_registry.RegisteredModel | None":
        try:
            return self._client.get_registered_model(NAME)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


@contextmanager
def open_registry() -> Iterator[Registry]:
    """Hold the registry until the block ends; whoever comes second on this machine waits.

    Raises:
        UserError: the store does not answer, or knows no registry.
    """
    with FileLock(repository_root() / LOCK):
        try:
            yield Registry()
        except UserError:
            raise
        except MlflowException as error:
            raise UserError(
                "the registry refuses",
                expected=f"a registry that takes models, at {tracking_uri()}",
                received=str(error).strip().splitlines()[0],
                remedy="start the server, or set MLFLOW_TRACKING_URI; the champion is as it was",
            ) from error


@contextmanager
def model_folder(source: str) -> Iterator[Path]:
    """Yield the model folder that a path or `models:/NAME@ALIAS` names; nothing in it is executed.

    A registered model is copied to a temporary folder, which the block's end removes.

    Raises:
        UserError: the registry has no such model, or the model no such folder.
    """
    if not source.startswith(SCHEME):
        yield Path(source)
        return
    mlflow.set_tracking_uri(tracking_uri())
    with TemporaryDirectory(prefix="hpa-model-") as temporary:
        try:
            copied = Path(mlflow.artifacts.download_artifacts(source, dst_path=temporary))
        except (MlflowException, OSError) as error:
            raise UserError(
                f"the registry gives no {source}",
                expected=f"a registered model, such as {SCHEME}{NAME}@{CHAMPION}",
                received=str(error),
                remedy="name a registered model and its alias, or use the folder model",
            ) from error
        yield copied / "artifacts" / "model"
