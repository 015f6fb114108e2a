"""Calls to MLflow that may be repeated: the store may be away between two attempts."""

import hashlib
import json
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.multimedia import compress_image_size
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_LOGGED_ARTIFACTS,
    MLFLOW_LOGGED_IMAGES,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
)
from PIL import Image

from hpa.errors import UserError
from hpa.tracking import logged_models
from hpa.tracking.address import public
from hpa.tracking.artifacts import artifacts_of, can_write_artifacts, log_paths
from hpa.tracking.description import with_result
from hpa.tracking.experiments import (
    ExperimentMissingError,
    chosen_experiment,
    experiment_id,
    is_own,
    is_own_run,
    restore,
)
from hpa.tracking.mlflow_store import PENDING, find_run, first_line, open_store
from hpa.tracking.outbox import Call, CallRefusedError, RunRefusedError, StoreUnavailableError
from hpa.tracking.raw_params import agrees, inherited, remove_short_names, unlogged
from hpa.tracking.views import MADE_BY, PIPELINE, add_views

MADE_ALIKE = ("params.sha256", "code.sha256", "environment.sha256")
NO_ARGUMENTS = ("call", "run_id", "opening", "refused")
BATCH = 100  # parameters or tags per request: MLflow's limit
FIRST_PARAM = "about"
"""Parameter with the run's name: MLflow's scatter plot opens on the first of the alphabet."""
FIRST_METRIC = "test/macro_f1"
"""Metric that a run begins with, NaN until it is evaluated: MLflow's parallel coordinates open on
the one that was logged first."""
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}


class RunCalls:
    """Perform the calls of one outbox: `begin` first, then those that belong to its run.

    Args:
        client: of the store; opened with the first call if None.
        here: send a run to the store and the experiment that are chosen now, instead of those that
            were chosen when it began.
        is_kept: tells whether an outbox still holds the calls of a pending run.

    Attributes:
        run_id: MLflow's id of the run, once it is known.
    """

    def __init__(
        self,
        client: mlflow.MlflowClient | None = None,
        *,
        here: bool = False,
        is_kept: Callable[[str], bool] = lambda key: False,
    ) -> None:
        self._client, self._here, self._is_kept = client, here, is_kept
        self.run_id: str | None = None
        self._opening: list[Call] = []  # calls that a run which begins again needs

    def __call__(self, call: Call) -> None:
        """Perform a call.

        Raises:
            RunRefusedError: the store takes no run until the caller does something.
            CallRefusedError: it refuses this call, and would refuse it again.
            StoreUnavailableError: any other failure.
        """
        try:
            self._client = self._client or open_store()
            if call["call"] == "begin" or call.get("opening"):
                self._opening.append(call)
            if call["call"] == "begin":
                self.run_id = self._begin(self._client, **_arguments(call))
                return
            run_id = self.run_id or call["run_id"]
            if not run_id:
                raise CallRefusedError("the call that begins its run is missing")
            try:
                self._perform(self._client, run_id, call)
            except MlflowException as error:
                if error.error_code not in REFUSALS:
                    raise
                self._perform(self._client, self._restored(self._client, run_id, error), call)
        except (CallRefusedError, StoreUnavailableError):
            raise
        except MlflowException as error:
            if error.error_code not in REFUSALS:
                raise StoreUnavailableError(first_line(error)) from error
            refused = RunRefusedError if call["call"] == "begin" else CallRefusedError
            raise refused(first_line(error)) from error
        except (ExperimentMissingError, UserError) as error:
            raise RunRefusedError(str(error)) from error
        except Exception as error:  # of SQLAlchemy, requests, S3 or the file system
            raise StoreUnavailableError(first_line(error)) from error

    def _perform(self, client: mlflow.MlflowClient, run_id: str, call: Call) -> None:
        getattr(self, f"_{call['call']}")(client, run_id, **_arguments(call))

    def _restored(self, client: mlflow.MlflowClient, run_id: str, refusal: MlflowException) -> str:
        """Restore the run if it was deleted meanwhile, or begin it again; return its id.

        Raises:
            MlflowException: the run is there, so the refusal has another cause.
        """
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST" or not self._opening:
                raise
            begin, *others = self._opening
            self.run_id = self._begin(client, **_arguments(begin))
            for each in others:
                self._perform(client, self.run_id, each)
            _say(f"the run {run_id} was removed while it was logged: {self.run_id} continues it")
            return self.run_id
        if run.info.lifecycle_stage == "active":
            raise refusal
        experiment = client.get_experiment(run.info.experiment_id)
        if experiment.lifecycle_stage != "active" and is_own(client, experiment):
            restore(client, experiment)
        else:
            client.restore_run(run_id)
            _say(f"the run {run_id} was deleted while it was logged: it is restored")
        return run_id

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
        context: dict[str, str] | None = None,
        experiment: dict[str, str] | None = None,
        store: str | None = None,
    ) -> str:
        """Join the run that made the inputs, or start one."""
        if store and not self._here:
            _require_store(client, store)
        run = find_run(client, key)  # begun by an attempt whose response was lost
        if run is None:
            origin = find_run(client, upstream)
            if origin is None and _waits(upstream, self._is_kept):
                raise RunRefusedError(f"the run {upstream} that made its inputs still waits")
            alike = origin is not None and _was_made_alike(origin, tags)
            own = origin is not None and is_own_run(origin, tags["git.commit"])
            if origin and own and alike and _is_open_to(client, origin, stage, params):
                run = origin
        if run is None:
            new_tags = {"upstream_run_id": upstream} if upstream else {}
            above = find_run(client, parent)  # it may have begun while the store was away
            if above:
                new_tags[MLFLOW_PARENT_RUN_ID] = above.info.run_id
            chosen = chosen_experiment() if self._here or experiment is None else experiment
            run = client.create_run(
                above.info.experiment_id if above else experiment_id(client, chosen),
                start_time=time,
                run_name=name,
                tags={**(context or {}), **tags, **new_tags, f"started.{stage}": key},
            )
            above_params = inherited(origin.data.params) if origin and own else {}
            params = {**above_params, **params}
        run_id: str = run.info.run_id
        tags = {**tags, f"started.{stage}": key}
        if MLFLOW_RUN_NOTE not in run.data.tags:  # new, or made by `mlflow run` without a name
            client.update_run(run_id, name=name)
            tags[MLFLOW_RUN_NOTE] = note.replace("RUN_ID", run_id)
            params = {FIRST_PARAM: name, **params}
            add_views(client, run.info.experiment_id, time)
            if tags.get(MADE_BY) == PIPELINE:
                first = Metric(FIRST_METRIC, math.nan, time, 0)
                client.log_batch(run_id, metrics=[first])
        client.update_run(run_id, status="RUNNING")
        # `mlflow run` has logged some of them, as they were spelled
        self._batch(client, run_id, params=unlogged(run.data.params, params), tags=tags)
        remove_short_names(client, run_id, run.data.params, params)
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
            _log_batch(client, run_id, own_params[part], own_tags[part])

    def _files(
        self, client: mlflow.MlflowClient, run_id: str, *, paths: list[str], folder: str | None
    ) -> None:
        log_paths(artifacts_of(client, run_id), paths, folder)

    def _tables(
        self, client: mlflow.MlflowClient, run_id: str, *, paths: list[str], folder: str
    ) -> None:
        """Log tables under the tag by which MLflow's page finds them."""
        self._files(client, run_id, paths=paths, folder=folder)
        known = json.loads(client.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS, "[]"))
        named = [{"path": f"{folder}/{Path(path).name}", "type": "table"} for path in paths]
        added = [each for each in named if each not in known]
        client.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps(known + added))

    def _weights(self, client: mlflow.MlflowClient, run_id: str, **file: Any) -> None:
        logged_models.log_weights(client, run_id, **file)

    def _model_files(self, client: mlflow.MlflowClient, run_id: str, **files: Any) -> None:
        logged_models.log_model_files(client, run_id, **files)

    def _model_ready(self, client: mlflow.MlflowClient, run_id: str, **described: Any) -> None:
        logged_models.finish_model(client, run_id, **described)

    def _image(
        self,
        client: mlflow.MlflowClient,
        run_id: str,
        *,
        paths: list[str],
        key: str,
        step: int,
        time: int,
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

    def _inputs(
        self, client: mlflow.MlflowClient, run_id: str, *, datasets: list[dict[str, str]]
    ) -> None:
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

    def _result(self, client: mlflow.MlflowClient, run_id: str, *, text: str) -> None:
        """Begin the run's description with its result."""
        note = client.get_run(run_id).data.tags.get(MLFLOW_RUN_NOTE, "")
        client.set_tag(run_id, MLFLOW_RUN_NOTE, with_result(note, text))

    def _end(self, client: mlflow.MlflowClient, run_id: str, *, status: str, time: int) -> None:
        client.set_terminated(run_id, status, time)


def _arguments(call: Call) -> Call:
    return {key: value for key, value in call.items() if key not in NO_ARGUMENTS}


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
            _say(f"{key}={value} was refused: {first_line(error)}")
            client.log_batch(run_id, tags=[RunTag(f"refused.{key}", value)])


def _require_store(client: mlflow.MlflowClient, wanted: str) -> None:
    if wanted != (here := public(str(client.tracking_uri))):
        raise RunRefusedError(
            f"its calls are for {wanted}, not {here}: set MLFLOW_TRACKING_URI, or send them here: "
            "python src/sync_runs.py --here"
        )


def _is_open_to(
    client: mlflow.MlflowClient,
    run: Run,
    stage: str,
    params: dict[str, Any],
) -> bool:
    """Tell whether a stage may join a run.

    It may not if it has finished there, began there with other values, or could not log artifacts.
    Another spelling is not another value.
    """
    return (
        f"stage.{stage}" not in run.data.tags
        and agrees(run.data.params, params)
        and can_write_artifacts(client, run)
    )


def _was_made_alike(run: Run, tags: dict[str, str]) -> bool:
    """Tell whether a run's earlier stages had the parameters, code and packages of this one.

    A run states them once for all of its stages. Runs of earlier versions may not state all.
    """
    known = run.data.tags
    return all(known.get(key, tags.get(key)) == tags.get(key) for key in MADE_ALIKE)


def _waits(run_id: str | None, is_kept: Callable[[str], bool]) -> bool:
    return run_id is not None and run_id.startswith(f"{PENDING}-") and is_kept(run_id)


def _say(text: str) -> None:
    print(f"tracking: {text}", file=sys.stderr, flush=True)
