"""Artifacts of runs: local ones follow the database, wherever its folder is moved or copied.

MLflow records the absolute path of an experiment's artifacts. An experiment of this project also
has the tag `hpa.artifacts`, the path relative to the database's folder, and that one counts. An
artifact server of `mlflow ui` keeps its files in `mlartifacts` beside the database.
"""

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import mlflow
from mlflow.entities import Experiment, Run
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import append_to_uri_path

from hpa.tracking.address import database_path, local_folder

MARK = "hpa.artifacts"
AS_RECORDED = "as recorded"
FOLDER = "mlruns"
BEHIND_SERVER = "mlflow-artifacts"
"""Scheme of artifact locations that only an MLflow server can write to."""
SERVED_FOLDER = "mlartifacts"


def artifacts_of(client: mlflow.MlflowClient, run_id: str) -> ArtifactRepository:
    """Open the artifacts of a run."""
    uri = artifact_uri(client, client.get_run(run_id))
    return get_artifact_repository(uri, tracking_uri=client.tracking_uri)


def can_write_artifacts(client: mlflow.MlflowClient, run: Run) -> bool:
    """Tell whether this client can write the artifacts of a run."""
    local = local_folder(client.tracking_uri) is not None
    return not (local and artifact_uri(client, run).startswith(f"{BEHIND_SERVER}:"))


def artifact_uri(client: mlflow.MlflowClient, run: Run) -> str:
    """Return where the artifacts of a run are now."""
    info = run.info
    return present_uri(client, str(info.artifact_uri), info.experiment_id, info.run_id)


def present_uri(client: mlflow.MlflowClient, recorded: str, experiment_id: str, owner: str) -> str:
    """Return where artifacts are now that MLflow recorded as `EXPERIMENT/<owner>/artifacts`."""
    base, scheme = local_folder(client.tracking_uri), urlsplit(recorded).scheme
    if base is None or scheme not in ("", "file", BEHIND_SERVER):
        return recorded
    if scheme == BEHIND_SERVER:
        served = base / SERVED_FOLDER / unquote(urlsplit(recorded).path).lstrip("/")
        return recorded if database_path(client.tracking_uri) is None else local_uri(served)
    folder = experiment_folder(client, client.get_experiment(experiment_id))
    return recorded if folder is None else local_uri(folder / owner / "artifacts")


def experiment_folder(client: mlflow.MlflowClient, experiment: Experiment) -> Path | None:
    """Return the local folder of an experiment's runs now; None if it is as recorded.

    Without the tag, the recorded folder counts unless it is MLflow's default in another place, and
    that place is gone or has a database of its own: then this one was moved or copied from there.
    """
    base = local_folder(client.tracking_uri)
    location = str(experiment.artifact_location)
    if base is None or urlsplit(location).scheme not in ("", "file"):
        return None
    database = database_path(client.tracking_uri)
    place = experiment.tags.get(MARK, AS_RECORDED)
    if database and place != AS_RECORDED:
        return base / place
    name = str(experiment.experiment_id)
    if location == append_to_uri_path((base / FOLDER).as_posix(), name):
        return base / FOLDER / name
    recorded = Path(local_file_uri_to_path(location))
    old_base = recorded.parent.parent
    if recorded.parent.name != FOLDER or old_base.resolve() == base:
        return None
    copied = database is not None and (old_base / database.name).is_file()
    moved = not recorded.parent.exists()
    return base / FOLDER / recorded.name if copied or moved else None


def local_uri(folder: Path) -> str:
    """Return a path as MLflow reads it: as it is, or quoted if it holds special characters."""
    return str(folder) if quote(str(folder)) == str(folder) else folder.as_uri()


def local_path(uri: str) -> Path | None:
    """Return the path of a local artifact URI; None for any other."""
    return Path(local_file_uri_to_path(uri)) if urlsplit(uri).scheme in ("", "file") else None


def log_paths(artifacts: ArtifactRepository, paths: list[str], folder: str | None) -> None:
    """Copy files, and folders with their content, to a folder of artifacts."""
    for path in map(Path, paths):
        if path.is_dir():
            artifacts.log_artifacts(str(path), "/".join(filter(None, [folder, path.name])))
        else:
            artifacts.log_artifact(str(path), folder)


def download(client: mlflow.MlflowClient, run_id: str, name: str, folder: Path) -> Path | None:
    """Download an artifact of a run into a folder; None if the run has none of that name."""
    return download_from(artifacts_of(client, run_id), name, folder)


def download_from(artifacts: ArtifactRepository, name: str, folder: Path) -> Path | None:
    """Download a file or folder into a folder; None if there is none of that name."""
    parent = str(Path(name).parent)
    found = artifacts.list_artifacts(None if parent == "." else parent)
    if name not in {each.path for each in found}:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return Path(artifacts.download_artifacts(name, str(folder)))
