"""Records of a run: each function may be repeated, and then changes nothing."""

import hashlib
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.multimedia import compress_image_size
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_LOGGED_ARTIFACTS,
    MLFLOW_LOGGED_IMAGES,
    MLFLOW_RUN_NOTE,
)
from PIL import Image

from hpa.tracking.address import first_line
from hpa.tracking.artifacts import artifacts_of, log_paths
from hpa.tracking.description import with_result
from hpa.tracking.logged_models import finish_model, log_model_files, log_weights

BATCH = 100  # parameters or tags per request: MLflow's limit
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}
"""Codes of errors that a repetition does not help against."""


def log_values(
    client: mlflow.MlflowClient,
    run_id: str,
    *,
    metrics: dict[str, float] | None = None,
    params: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
    step: int = 0,
    time: int = 0,
) -> None:
    """Log at one time: the store recognises a repeated metric by time, step and value."""
    own_params = [Param(key, str(value)) for key, value in (params or {}).items()]
    own_tags = [RunTag(key, value) for key, value in (tags or {}).items()]
    if metrics:
        values = [Metric(key, value, time, step) for key, value in metrics.items()]
        client.log_batch(run_id, metrics=values)
    for first in range(0, max(len(own_params), len(own_tags)), BATCH):
        part = slice(first, first + BATCH)
        _log_batch(client, run_id, own_params[part], own_tags[part])


def log_files(
    client: mlflow.MlflowClient, run_id: str, *, paths: list[str], folder: str | None
) -> None:
    """Copy files and folders to the artifacts of a run."""
    log_paths(artifacts_of(client, run_id), paths, folder)


def log_tables(client: mlflow.MlflowClient, run_id: str, *, paths: list[str], folder: str) -> None:
    """Log tables under the tag by which MLflow's page finds them."""
    log_files(client, run_id, paths=paths, folder=folder)
    known = json.loads(client.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, "[]"))
    named = [{"path": f"{folder}/{Path(path).name}", "type": "table"} for path in paths]
    added = [each for each in named if each not in known]
    client.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps(known + added))


def log_image(
    client: mlflow.MlflowClient, run_id: str, *, paths: list[str], key: str, step: int, time: int
) -> None:
    """Log an image under the names by which MLflow's page charts it.

    MLflow ends them with a random number; the image's digest instead makes a repeated call
    overwrite the same files.
    """
    digest = hashlib.sha256(Path(paths[0]).read_bytes()).hexdigest()[:32]
    name = f"{key.replace('/', '~')}+step+{step}+timestamp+{time}+{digest}"
    artifacts = artifacts_of(client, run_id)
    with TemporaryDirectory(prefix="hpa-image-") as folder, Image.open(paths[0]) as image:
        full, small = Path(folder) / f"{name}.png", Path(folder) / f"{name}+compressed.webp"
        image.save(full)
        compress_image_size(image).save(small)
        for path in (full, small):
            artifacts.log_artifact(str(path), "images")
    client.set_tag(run_id, MLFLOW_LOGGED_IMAGES, True)


def log_inputs(client: mlflow.MlflowClient, run_id: str, *, datasets: list[dict[str, str]]) -> None:
    """Log the data of a run as dataset inputs, unless an earlier stage has."""
    logged = client.get_run(run_id).inputs
    found = logged.dataset_inputs if logged else []
    known = {(each.dataset.name, each.dataset.digest) for each in found}
    inputs = [
        DatasetInput(
            Dataset(**{key: value for key, value in each.items() if key != "context"}),
            [InputTag(MLFLOW_DATASET_CONTEXT, each["context"])],
        )
        for each in datasets
        if (each["name"], each["digest"]) not in known
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def log_result(client: mlflow.MlflowClient, run_id: str, *, text: str) -> None:
    """Begin the run's description with its result."""
    note = client.get_run(run_id).data.tags.get(MLFLOW_RUN_NOTE, "")
    client.set_tag(run_id, MLFLOW_RUN_NOTE, with_result(note, text))


def end_run(client: mlflow.MlflowClient, run_id: str, *, status: str, time: int) -> None:
    """End a run."""
    client.set_terminated(run_id, status, time)


def _log_batch(
    client: mlflow.MlflowClient, run_id: str, params: list[Param], tags: list[RunTag]
) -> None:
    """Log parameters and tags; if the store refuses one, the others, and that one as a tag."""
    try:
        client.log_batch(run_id, params=params, tags=tags)
        return
    except MlflowException as error:
        if error.error_code not in REFUSALS or not (params or tags):
            raise
        if client.get_run(run_id).info.lifecycle_stage != "active":
            raise
    for key, value, log in (
        *((each.key, each.value, partial(client.log_batch, params=[each])) for each in params),
        *((each.key, each.value, partial(client.log_batch, tags=[each])) for each in tags),
    ):
        try:
            log(run_id)
        except MlflowException as error:
            if error.error_code not in REFUSALS:
                raise
            said = f"tracking: {key}={value} was refused: {first_line(error)}"
            print(said, file=sys.stderr, flush=True)
            client.log_batch(run_id, tags=[RunTag(f"refused.{key}", value)])


RECORDS: dict[str, Callable[..., None]] = {
    "batch": log_values,
    "files": log_files,
    "tables": log_tables,
    "image": log_image,
    "inputs": log_inputs,
    "result": log_result,
    "weights": log_weights,
    "model_files": log_model_files,
    "model_ready": finish_model,
    "end": end_run,
}
"""Function of each call that the outbox keeps; calls of earlier versions wait by these names."""
