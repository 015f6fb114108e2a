"""Calls to MLflow that may be repeated: the store may be away between two attempts."""

import math
import sys
from collections.abc import Callable
from typing import Any

import mlflow
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from hpa.errors import UserError
from hpa.tracking.address import first_line, public
from hpa.tracking.artifacts import can_write_artifacts
from hpa.tracking.experiments import (
    ExperimentMissingError,
    chosen_experiment,
    experiment_id,
    is_own,
    is_own_run,
    restore,
)
from hpa.tracking.mlflow_store import PENDING, find_run, open_store
from hpa.tracking.outbox import Call, CallRefusedError, RunRefusedError, StoreUnavailableError
from hpa.tracking.raw_params import agrees, inherited, remove_short_names, unlogged
from hpa.tracking.run_records import RECORDS, REFUSALS, log_values
from hpa.tracking.views import MADE_BY, PIPELINE, add_views

MADE_ALIKE = ("params.sha256", "code.sha256", "environment.sha256")
NO_ARGUMENTS = ("call", "run_id", "opening", "refused")
FIRST_PARAM = "about"
"""Parameter with the run's name: MLflow's scatter plot opens on the first of the alphabet."""
FIRST_METRIC = "test/macro_f1"
"""Metric that a run begins with, NaN until it is evaluated: MLflow's parallel coordinates open on
the one that was logged first."""


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
        RECORDS[call["call"]](client, run_id, **_arguments(call))

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
        origin = find_run(client, upstream)
        if run is None and origin is None and _waits(upstream, self._is_kept):
            raise RunRefusedError(f"the run {upstream} that made its inputs still waits")
        if origin and not is_own_run(origin, tags["git.commit"]):
            origin = None
        if run is None and origin and _was_made_alike(origin, tags):
            run = origin if _is_open_to(client, origin, stage, params) else None
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
        run_id: str = run.info.run_id
        if origin and run_id != origin.info.run_id:
            params = {**inherited(origin.data.params), **params}
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
        log_values(client, run_id, params=unlogged(run.data.params, params), tags=tags)
        remove_short_names(client, run_id, run.data.params, params)
        return run_id


def _arguments(call: Call) -> Call:
    return {key: value for key, value in call.items() if key not in NO_ARGUMENTS}


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
