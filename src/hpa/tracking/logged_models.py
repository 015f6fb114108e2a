"""LoggedModels of MLflow: the trained and evaluated model of a run, stored once.

The train stage begins the model of its run with the weights. The evaluate stage adds the files that
serve it and makes it ready. A model of a run that is never evaluated stays pending.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from filecmp import cmp
from pathlib import Path

import mlflow
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from hpa.system.files import sha256
from hpa.tracking import artifacts
from hpa.tracking.mlflow_store import open_store

NAME = "hpa"
WEIGHTS = "model/best.keras"
"""Artifact that runs of earlier versions hold themselves."""
MODEL_FOLDER = "artifacts/model"
"""Place of the model folder in an MLflow model that has it as its artifact `model`."""
DIGEST = "best.keras.sha256"
"""Tag of a model that has its weights."""
OF_RUN = ("mlflow.user", "mlflow.source.name")
NOT_OF_MODEL = ("mlflow.", "started.", "stage.", "process", "failure", "upstream_run_id")
"""Tags that tell of the run, not of what it made."""
SPLITS = ("train", "val", "test")
MAX_NOTE = 8000
"""Characters that MLflow keeps of a tag."""
LOCATION = re.compile(r"/models/(m-[0-9a-f]{32})/artifacts$")


def model_of(client: mlflow.MlflowClient, run: Run) -> LoggedModel | None:
    """Return the model of a run, pending or ready; None if it has none."""
    of_run = f"name = '{NAME}' AND source_run_id = '{run.info.run_id}'"
    with _if_kept():
        return next(iter(client.search_logged_models([run.info.experiment_id], of_run)), None)
    return None


@contextmanager
def _if_kept() -> Iterator[None]:
    """Suppress the error of a server of MLflow 2, which keeps no models of runs."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != "ENDPOINT_NOT_FOUND":
            raise


def ready_model(client: mlflow.MlflowClient, run_id: str | None) -> LoggedModel | None:
    """Return the evaluated model of a run; None if it has none."""
    model = model_of(client, client.get_run(run_id)) if run_id else None
    return model if model and model.status == LoggedModelStatus.READY else None


def model_uri(client: mlflow.MlflowClient, model: LoggedModel) -> str:
    """Return where the files of a model are now."""
    return artifacts.present_uri(
        client, str(model.artifact_location), model.experiment_id, f"models/{model.model_id}"
    )


def files_of(client: mlflow.MlflowClient, model: LoggedModel) -> ArtifactRepository:
    """Open the files of a model."""
    return get_artifact_repository(model_uri(client, model), tracking_uri=client.tracking_uri)


def place_of_model(client: mlflow.MlflowClient, source: str) -> str | None:
    """Return where the files of a registered LoggedModel are now; None of any other model.

    Args:
        source: of the version: `models:/m-…`, which is returned if MLflow finds it there, or the
            place of its files when it was registered again after a move.
    """
    found = LOCATION.search(source)
    model_id = found[1] if found else source.removeprefix("models:/")
    if not model_id.startswith("m-"):
        return None
    try:
        model = client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    now, recorded = model_uri(client, model), str(model.artifact_location)
    return now if found or now != recorded else source


def download(run_id: str, name: str, folder: Path) -> Path | None:
    """Download an artifact of a run, its weights from its model; None if it has none."""
    client = open_store()
    if name == WEIGHTS and (model := model_of(client, client.get_run(run_id))):
        found = download_file(client, model, f"{MODEL_FOLDER}/{Path(name).name}", folder)
        if found:
            return found
    return artifacts.download(client, run_id, name, folder)


def has_model(run_id: str) -> bool:
    """Tell whether a run has an evaluated model in MLflow."""
    return ready_model(open_store(), run_id) is not None


def download_model_folder(run_id: str, folder: Path) -> Path | None:
    """Download the evaluated model folder of a run into a folder; None if it logged no model."""
    client = open_store()
    model = ready_model(client, run_id)
    return download_file(client, model, MODEL_FOLDER, folder) if model else None


def download_file(
    client: mlflow.MlflowClient, model: LoggedModel, name: str, folder: Path
) -> Path | None:
    """Download a file or a folder of a model; None if it has none of that name."""
    return artifacts.download_from(files_of(client, model), name, folder)


def log_weights(
    client: mlflow.MlflowClient, run_id: str, *, paths: list[str], under: str = ""
) -> None:
    """Begin the model of a run with its weights; a server of MLflow 2 keeps them as an artifact.

    `under` is the folder of a network in an ensemble.
    """
    with _if_kept():
        _store_weights(client, _begun(client, client.get_run(run_id)), Path(paths[0]), under)
        return
    folder = Path(WEIGHTS).parent / under
    artifacts.log_paths(artifacts.artifacts_of(client, run_id), paths, str(folder))


def log_model_files(client: mlflow.MlflowClient, run_id: str, *, paths: list[str]) -> None:
    """Copy files and folders to the model of a run."""
    with _if_kept():
        model = _begun(client, client.get_run(run_id))
        artifacts.log_paths(files_of(client, model), paths, None)


def finish_model(client: mlflow.MlflowClient, run_id: str, *, paths: list[str], card: str) -> None:
    """Describe the model of a run, link the run's results to it, and make it ready.

    The run has the same values at the same times, so repeating the call changes nothing.

    Args:
        paths: of weights that were not logged before.
        card: description in Markdown.
    """
    with _if_kept():
        run = client.get_run(run_id)
        _finish(client, run, _begun(client, run), paths, card)


def _finish(
    client: mlflow.MlflowClient, run: Run, model: LoggedModel, weights: list[str], card: str
) -> None:
    for path in weights:
        _store_weights(client, model, Path(path))
    tags = {k: v for k, v in run.data.tags.items() if not k.startswith(NOT_OF_MODEL)}
    tags |= {key: run.data.tags[key] for key in OF_RUN if key in run.data.tags}
    client.set_logged_model_tags(model.model_id, {**tags, MLFLOW_RUN_NOTE: card[:MAX_NOTE]})
    client.log_batch(run.info.run_id, metrics=list(_results(run, model.model_id)))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _begun(client: mlflow.MlflowClient, run: Run) -> LoggedModel:
    """Return the model of a run, created if it has none, and shown with the run."""
    model = model_of(client, run) or client.create_logged_model(
        run.info.experiment_id, NAME, source_run_id=run.info.run_id, params=run.data.params
    )
    shown = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in {each.model_id for each in shown}:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def _results(run: Run, model_id: str) -> Iterator[Metric]:
    """Yield the last values of a run's metrics, with the model and the images of their split."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    digests = {each.dataset.name: each.dataset.digest for each in inputs}
    for metric in run.data._metric_objs:  # with their times, which `metrics` lacks
        split = metric.key.partition("/")[0]
        name = f"{split} images"
        data = {"dataset_name": name, "dataset_digest": digests[name]} if name in digests else {}
        if split in SPLITS:
            yield Metric(
                metric.key, metric.value, metric.timestamp, metric.step, model_id=model_id, **data
            )


def _store_weights(
    client: mlflow.MlflowClient, model: LoggedModel, path: Path, under: str = ""
) -> None:
    """Copy weights to a model unless it has them; link those of another model of this computer."""
    digest, tag, place = sha256(path), f"{under}/{DIGEST}".strip("/"), Path(MODEL_FOLDER, under)
    if model.tags.get(tag) == digest:
        return
    if not _linked(client, model, path, digest, place):
        files_of(client, model).log_artifact(str(path), str(place))
    client.set_logged_model_tags(model.model_id, {tag: digest})


def _linked(
    client: mlflow.MlflowClient, model: LoggedModel, path: Path, digest: str, place: Path
) -> bool:
    """Tell whether another model of the experiment has the same weights, which are linked now."""
    if (folder := artifacts.local_path(model_uri(client, model))) is None:
        return False
    target = folder / place / path.name
    target.unlink(missing_ok=True)  # it may be a link itself
    found = client.search_logged_models([model.experiment_id], f"tags.`{DIGEST}` = '{digest}'")
    for other in (artifacts.local_path(model_uri(client, each)) for each in found):
        source = other / MODEL_FOLDER / path.name if other else None
        if source and source.is_file() and cmp(source, path, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # a file system without hard links
                os.link(source, target)
                return True
    return False
