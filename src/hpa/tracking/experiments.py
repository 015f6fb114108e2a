"""The experiment that a run goes to: the caller's, or one of this project's own.

No other experiment is renamed, restored or otherwise changed.
"""

import itertools
import os
import re
import sys
from pathlib import Path

import mlflow
from mlflow.entities import Experiment, Run, SourceType, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_COMMIT,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
)

from hpa.system.files import SOURCE_DIR
from hpa.tracking.address import local_folder, public
from hpa.tracking.artifacts import (
    AS_RECORDED,
    BEHIND_SERVER,
    FOLDER,
    MARK,
    experiment_folder,
    local_path,
    local_uri,
)
from hpa.tracking.lineage import NO_COMMIT

EXPERIMENT = "hpa"
OWN_TAG = "code.sha256"
"""Tag that every run of this project has."""
RESTORE = "mlflow experiments restore --experiment-id {0}, or set MLFLOW_EXPERIMENT_NAME"


class ExperimentMissingError(Exception):
    """The experiment that the caller chose cannot hold a run."""


def chosen_experiment() -> dict[str, str]:
    """Return the caller's choice: MLFLOW_EXPERIMENT_ID, which `mlflow run` sets, or …_NAME."""
    for key in ("id", "name"):
        if value := os.environ.get(f"MLFLOW_EXPERIMENT_{key.upper()}"):
            return {key: value}
    return {}


def experiment_id(client: mlflow.MlflowClient, chosen: dict[str, str]) -> str:
    """Return the id of the chosen experiment, created if its name is new; by default `hpa`.

    Raises:
        ExperimentMissingError: the chosen one does not exist, or another project's was deleted.
    """
    if "id" in chosen:
        return _active(client, _by_id(client, chosen["id"])).experiment_id
    if "name" not in chosen:
        return _own(client)
    found = client.get_experiment_by_name(chosen["name"])
    return (_active(client, found) if found else _create(client, chosen["name"])).experiment_id


def is_own(client: mlflow.MlflowClient, experiment: Experiment) -> bool:
    """Tell whether this project made an experiment: by its tag, or by its runs if it is older."""
    if MARK in experiment.tags:
        return True
    if not experiment.name.startswith(EXPERIMENT):
        return False
    ours = f"tags.`{OWN_TAG}` LIKE '%'"
    return bool(client.search_runs([experiment.experiment_id], ours, ViewType.ALL, max_results=1))


def is_own_run(run: Run, commit: str) -> bool:
    """Tell whether this project made a run, or `mlflow run` made it for this project.

    A project that is started by `mlflow run` may start this one, and hands its run on. The commit
    tells the two apart, else the folder.
    """
    tags = run.data.tags
    if OWN_TAG in tags:
        return True
    if tags.get(MLFLOW_SOURCE_TYPE) != SourceType.to_string(SourceType.PROJECT):
        return False
    made_of, source = tags.get(MLFLOW_GIT_COMMIT), tags.get(MLFLOW_SOURCE_NAME, "")
    if made_of and not commit.startswith(NO_COMMIT):
        return made_of == commit
    folder = Path(source.partition("#")[0] or SOURCE_DIR.parent)
    return not folder.is_dir() or folder.resolve() == SOURCE_DIR.parent.resolve()


def restore(client: mlflow.MlflowClient, experiment: Experiment) -> None:
    """Restore an experiment of this project, with its runs."""
    client.restore_experiment(experiment.experiment_id)
    print(
        f"tracking: the experiment {experiment.name} was deleted; it is restored, with its runs",
        file=sys.stderr,
    )


def _own(client: mlflow.MlflowClient) -> str:
    """Return `hpa`, or the next of `hpa-2`, `hpa-3` … if that is another project's.

    The same if it was moved here with the database: MLflow would record its new runs elsewhere.
    """
    for number in itertools.count(1):
        name = EXPERIMENT if number == 1 else f"{EXPERIMENT}-{number}"
        found = client.get_experiment_by_name(name) or _create(client, name)
        if is_own(client, found) and _is_in_place(client, found):
            _mark(client, found)
            return _active(client, found).experiment_id
    raise AssertionError("numbers end")


def _is_in_place(client: mlflow.MlflowClient, experiment: Experiment) -> bool:
    """Tell whether MLflow records new runs where their artifacts go."""
    recorded, base = (
        local_path(str(experiment.artifact_location)),
        local_folder(client.tracking_uri),
    )
    if base is None:
        return True
    if recorded is None:  # behind the server of `mlflow ui`, or in a bucket
        return not str(experiment.artifact_location).startswith(f"{BEHIND_SERVER}:")
    folder = experiment_folder(client, experiment)
    return folder is None or folder.resolve() == recorded.resolve()


def _mark(client: mlflow.MlflowClient, experiment: Experiment) -> None:
    """Tag an experiment of an earlier version with its place, so that it is found after a move."""
    folder, base = experiment_folder(client, experiment), local_folder(client.tracking_uri)
    if MARK not in experiment.tags and folder and base:
        place = folder.relative_to(base).as_posix()
        client.set_experiment_tag(experiment.experiment_id, MARK, place)


def _active(client: mlflow.MlflowClient, experiment: Experiment) -> Experiment:
    """Return an experiment that takes runs: a deleted one of this project is restored first."""
    if experiment.lifecycle_stage == "active":
        return experiment
    if not is_own(client, experiment):
        remedy = RESTORE.format(experiment.experiment_id)
        raise ExperimentMissingError(f"the experiment {experiment.name} is deleted: {remedy}")
    restore(client, experiment)
    return experiment


def _create(client: mlflow.MlflowClient, name: str) -> Experiment:
    base = local_folder(client.tracking_uri)
    place = f"{FOLDER}/" + re.sub(r"[^\w-]+", "-", name)  # also of `../elsewhere`
    location = None if base is None else local_uri(base / place)
    tags = {MARK: AS_RECORDED if base is None else place}
    try:
        return client.get_experiment(client.create_experiment(name, location, tags))
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another process created it meanwhile
        if found is None:
            raise
        return found


def _by_id(client: mlflow.MlflowClient, identity: str) -> Experiment:
    try:
        return client.get_experiment(identity)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ExperimentMissingError(
            f"MLFLOW_EXPERIMENT_ID={identity} is not in {public(client.tracking_uri)}: name one of "
            "its experiments, or unset it"
        ) from error
