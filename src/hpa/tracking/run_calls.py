"""Calls to MLflow that may be repeated: the store may be away between two attempts."""

import os
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from hpa.tracking.mlflow_store import (
    EXPERIMENT,
    can_write_artifacts,
    find_run,
    first_line,
    open_store,
)
from hpa.tracking.outbox import Call, StoreUnavailableError

BATCH = 100  # parameters or tags per request: MLflow's limit
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}


class RunCalls:
    """Perform the calls of one outbox: `begin` first, or calls that name their run themselves.

    Attributes:
        run_id: MLflow's id of the run, once it is known.
    """

    def __init__(self, client: mlflow.MlflowClient | None = None) -> None:
        self._client = client
        self.run_id: str | None = None
        self._joined = False

    def __call__(self, call: Call) -> None:
        """Perform a call.

        A call that the store refuses as invalid is reported and dropped: a retry would fail too.

        Raises:
            StoreUnavailableError: any other failure.
        """
        arguments = {key: value for key, value in call.items() if key not in ("call", "run_id")}
        run_id = call["run_id"] or self.run_id
        try:
            self._client = self._client or open_store()
            if call["call"] == "begin":
                self.run_id = self._begin(self._client, **arguments)
            elif run_id:
                getattr(self, f"_{call['call']}")(self._client, run_id, **arguments)
        except MlflowException as error:
            if error.error_code not in REFUSALS:
                raise StoreUnavailableError(first_line(error)) from error
            print(f"tracking: {call['call']} was refused: {first_line(error)}", flush=True)
        except Exception as error:  # of SQLAlchemy, requests, S3 or the file system
            raise StoreUnavailableError(first_line(error)) from error

    def _begin(
        self,
        client: mlflow.MlflowClient,
        *,
        key: str,
        stage: str,
        upstream: str | None,
        name: str,
        note: str,
        parent: str | None,
        params: dict[str, Any],
        tags: dict[str, str],
        time: int,
    ) -> str:
        """Join the run that made the inputs, or start one."""
        run = find_run(client, key)  # begun by an attempt whose response was lost
        origin = None if run else find_run(client, upstream)
        if origin and _is_open_to(client, origin, stage, params):
            run = origin
        self._joined = run is not None
        if run is None:
            new_tags = {"upstream_run_id": upstream} if upstream else {}
            if above := find_run(client, parent):  # it may have begun while the store was away
                new_tags[MLFLOW_PARENT_RUN_ID] = above.info.run_id
            run = client.create_run(
                _experiment_id(client),
                start_time=time,
                run_name=name,
                tags={**resolve_tags(), **tags, **new_tags, f"started.{stage}": key},
            )
            params = {**(origin.data.params if origin else {}), **params}
        elif MLFLOW_RUN_NOTE not in run.data.tags:  # made by `mlflow run`: not named yet
            client.update_run(run.info.run_id, name=name)
            self._joined = False
        run_id: str = run.info.run_id
        client.update_run(run_id, status="RUNNING")
        tags = {**tags, f"started.{stage}": key}
        if not self._joined:
            tags[MLFLOW_RUN_NOTE] = note.replace("RUN_ID", run_id)
        self._batch(client, run_id, params=params, tags=tags)
        return run_id

    def _batch(
        self,
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
            client.log_batch(run_id, params=own_params[part], tags=own_tags[part])

    def _files(
        self, client: mlflow.MlflowClient, run_id: str, *, paths: list[str], folder: str | None
    ) -> None:
        for path in map(Path, paths):
            if path.is_dir():
                inner = "/".join(filter(None, [folder, path.name]))
                client.log_artifacts(run_id, str(path), inner)
            else:
                client.log_artifact(run_id, str(path), folder)

    def _image(
        self, client: mlflow.MlflowClient, run_id: str, *, paths: list[str], time: int, **place: Any
    ) -> None:
        client.log_image(run_id, mlflow.Image(paths[0]), timestamp=time, **place)

    def _inputs(
        self, client: mlflow.MlflowClient, run_id: str, *, datasets: list[dict[str, str]]
    ) -> None:
        """Log the data as dataset inputs: digests and paths, without a copy."""
        if self._joined:
            return  # logged when the run began
        inputs = [
            DatasetInput(
                Dataset(**{key: value for key, value in each.items() if key != "context"}),
                [InputTag(MLFLOW_DATASET_CONTEXT, each["context"])],
            )
            for each in datasets
        ]
        client.log_inputs(run_id, inputs)

    def _end(self, client: mlflow.MlflowClient, run_id: str, *, status: str, time: int) -> None:
        client.set_terminated(run_id, status, time)


def _experiment_id(client: mlflow.MlflowClient) -> str:
    """Return the id of the experiment MLFLOW_EXPERIMENT_NAME or `hpa`; create it if absent."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name)
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process created it meanwhile
            if found is None:
                raise
    return found.experiment_id


def _is_open_to(client: mlflow.MlflowClient, run: Run, stage: str, params: dict[str, Any]) -> bool:
    """Tell whether a stage may join a run.

    It may not if it has finished there, began there with other values, or could not log artifacts.
    """
    known = run.data.params
    return (
        f"stage.{stage}" not in run.data.tags
        and all(known.get(key, str(value)) == str(value) for key, value in params.items())
        and can_write_artifacts(client, run)
    )
