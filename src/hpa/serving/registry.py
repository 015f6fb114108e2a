"""MLflow's model registry: versions, the champion, and the files of a version."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException

from hpa.config.sections import Serve
from hpa.errors import UserError
from hpa.system.files import repository_root
from hpa.tracking.address import local_folder, public, tracking_uri
from hpa.tracking.artifacts import artifact_uri, artifacts_of
from hpa.tracking.logged_models import download_file, files_of, ready_model
from hpa.tracking.mlflow_store import open_store
from hpa.tracking.model_files import CONFIG
from hpa.tracking.registered_models import ARTIFACT, CHAMPION, NAME, SCHEME, moved_source

HISTORY = "champions.before"
"""Tag of the registered model: earlier champions, the latest last."""
LOCK = ".promote.lock"
MLMODEL = "MLmodel"
"""File that describes an MLflow model, its configuration included."""


class Registry:
    """The versions of a registered model.

    Open it with `open_registry`, which locks it against other processes of this machine. Another
    machine may still move the champion; `promote` then refuses.
    """

    def __init__(self, name: str = NAME) -> None:
        self.name = name
        self._client = open_store()

    def champion(self) -> str | None:
        """Return the champion's version; None before the first promotion."""
        model = self._model()
        return str(model.aliases[CHAMPION]) if model and CHAMPION in model.aliases else None

    def version_of(self, run_id: str) -> str | None:
        """Return the version registered from a run, or None."""
        found = self._client.search_model_versions(f"name = '{self.name}' and run_id = '{run_id}'")
        ready = [each.version for each in found if each.status == "READY"]
        return str(max(ready, key=int)) if ready else None

    def register_logged(self, run_id: str) -> str | None:
        """Register the model that a run logged, without a copy; None if it logged none.

        It is what the button *Register model* of MLflow's page does.
        """
        model = ready_model(self._client, run_id)
        if model is None:
            return None
        with redirect_stderr(StringIO()):  # it says what this project says itself
            made = mlflow.register_model(f"{SCHEME}{model.model_id}", self.name)
        return self._in_place(str(made.version))

    def register(self, run_id: str, model: Path) -> str:
        """Copy an MLflow model to its run and register it; return the version.

        The version is created last: a killed process leaves no incomplete version.
        """
        artifacts_of(self._client, run_id).log_artifacts(str(model), ARTIFACT)
        try:
            self._client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = _source(self._client, run_id)
        return str(self._client.create_model_version(self.name, source, run_id).version)

    def describe(self, version: str, card: str) -> None:
        """Describe a version by its model card, unless somebody has described it."""
        if not self._client.get_model_version(self.name, version).description:
            self._client.update_model_version(self.name, version, card)

    def save_limits(self, version: str, serve: Serve) -> None:
        """Save the limits with which the model of a version is served from now on.

        A model keeps those of its evaluation until then; a version of an earlier program, those
        of its registration.
        """
        model = ready_model(self._client, self._client.get_model_version(self.name, version).run_id)
        if model is None:
            return
        with TemporaryDirectory(prefix="hpa-limits-") as folder:
            path = download_file(self._client, model, MLMODEL, Path(folder))
            described = mlflow.models.Model.load(str(path))
            described.flavors["python_function"]["config"][CONFIG] = asdict(serve)
            described.save(str(path))
            files_of(self._client, model).log_artifact(str(path))

    def follow_move(self) -> None:
        """Register a champion again whose files were moved or copied with the folder."""
        champion = self.champion()
        if champion and (found := self._in_place(champion)) != champion:
            self._client.set_registered_model_alias(self.name, CHAMPION, found)
            moved = f"champion {champion} of {self.name} is registered again as {found}"
            print(f"the folder was moved: {moved}")

    def tag(self, version: str, tags: dict[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(self.name, version, key, value)

    def promote(self, version: str, *, instead_of: str | None) -> None:
        """Make a version champion instead of `instead_of`, which joins the history.

        Raises:
            UserError: the champion is another one by now.
        """
        if (found := self.champion()) != instead_of:
            raise UserError(
                "the champion has changed in the meantime",
                expected=f"version {instead_of}, which this one was compared with",
                received=f"version {found}",
                remedy="run the same command again: it compares with the new champion",
            )
        if instead_of is not None:
            self._set_history([*self.history(), instead_of])
        self._client.set_registered_model_alias(self.name, CHAMPION, version)

    def history(self) -> list[str]:
        """Return earlier champions that still exist, the latest last."""
        if (model := self._model()) is None:
            return []
        found = self._client.search_model_versions(f"name = '{self.name}'")
        known = {str(each.version) for each in found}
        return [version for version in model.tags.get(HISTORY, "").split() if version in known]

    def roll_back(self, version: str) -> None:
        """Make an earlier champion champion again; drop later ones from the history."""
        history = self.history()
        last = len(history) - 1 - history[::-1].index(version)
        self._client.set_registered_model_alias(self.name, CHAMPION, self._in_place(version))
        self._set_history(history[:last])

    def _in_place(self, version: str) -> str:
        """Return a version, or a new one of the same files: MLflow records where they lie."""
        old = self._client.get_model_version(self.name, version)
        source = moved_source(self._client, old)
        if source is None:
            return version
        of_run = f"name = '{self.name}' and run_id = '{old.run_id}'"
        found = self._client.search_model_versions(of_run)
        if known := [each.version for each in found if each.source == source]:
            return str(max(known, key=int))
        tags = {**old.tags, "moved.from_version": version}
        new = self._client.create_model_version(
            self.name, source, old.run_id, tags=tags, description=old.description
        )
        return str(new.version)

    def _set_history(self, versions: list[str]) -> None:
        self._client.set_registered_model_tag(self.name, HISTORY, " ".join(versions[-100:]))

    def _model(self) -> "mlflow.entities.model_registry.RegisteredModel | None":
        try:
            return self._client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


@contextmanager
def open_registry(name: str = NAME) -> Iterator[Registry]:
    """Lock the registry until the block ends; other processes of this machine wait.

    `name` is that of the registered model: one for each vocabulary.

    Raises:
        UserError: the store does not respond, or has no registry.
    """
    with FileLock(repository_root() / LOCK):
        try:
            registry = Registry(name)
            _follow_moves()
            yield registry
        except MlflowException as error:
            raise UserError(
                "the model registry refuses the request",
                expected=f"a registry that accepts models, at {public(tracking_uri())}",
                received=str(error).strip().splitlines()[0],
                remedy="start the server, or set MLFLOW_TRACKING_URI; the champion is unchanged",
            ) from error


def _follow_moves() -> None:
    """Let MLflow's own commands find all champions after the folder was moved or copied."""
    client = open_store()
    if local_folder(str(client.tracking_uri)) is not None:
        for model in client.search_registered_models():
            Registry(model.name).follow_move()


def _source(client: mlflow.MlflowClient, run_id: str) -> str:
    return f"{artifact_uri(client, client.get_run(run_id))}/{ARTIFACT}"
