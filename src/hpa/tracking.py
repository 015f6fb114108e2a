"""The only door to MLflow: one run a pipeline run, joined by each stage in turn."""

import logging
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import asdict
from pathlib import Path

import mlflow
import yaml
from filelock import FileLock
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from hpa.config import Params
from hpa.errors import UserError
from hpa.provenance import lineage, repository_root

EXPERIMENT = "hpa"
SQLITE = "sqlite:///"


@contextmanager
def stage_run(
    stage: str, params: Params, *, sections: tuple[str, ...], upstream: str | None = None
) -> Iterator[str]:
    """Track a stage: join the run that made its inputs, or start one; yields the run's id.

    A stage that the upstream run has already finished is a new experiment on its outputs (other
    thresholds for the same model, say). It gets a run of its own that carries the upstream
    parameters and names its origin in the tag `upstream_run_id`.

    The run ends FINISHED, FAILED after an exception, or KILLED after Ctrl-C or SIGTERM.

    Args:
        stage: the stage's name.
        params: all parameters in force.
        sections: those that this stage reads; their values are logged as `section.key`.
        upstream: id of the run that made the inputs; None for the first tracked stage.
    """
    _prepare_store()
    origin = _find_run(upstream)
    joined = origin is not None and _stage_tag(stage) not in origin.data.tags
    mlflow.start_run(run_id=upstream if joined else None)
    status = "FAILED"
    try:
        run_id = _describe(stage, params, sections, upstream, origin, joined)
        yield run_id
        mlflow.set_tag(_stage_tag(stage), "finished")
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        mlflow.end_run(status)


def log_metrics(metrics: dict[str, float], step: int | None = None) -> None:
    """Log a round's metrics to the open run, in one call."""
    mlflow.log_metrics(metrics, step=step)


def log_tags(tags: dict[str, str]) -> None:
    """Add tags to the open run."""
    mlflow.set_tags(tags)


def log_artifacts(paths: list[Path], folder: str | None = None) -> None:
    """Copy files, and folders with all they hold, to the open run."""
    for path in paths:
        if path.is_dir():
            mlflow.log_artifacts(str(path), "/".join(filter(None, [folder, path.name])))
        else:
            mlflow.log_artifact(str(path), folder)


def download_artifact(run_id: str, path: str, folder: Path) -> Path:
    """Copy an artifact of a run into a folder and return where it is.

    Raises:
        UserError: this store knows no such run, or the run holds no such artifact.
    """
    _prepare_store()
    try:
        if _find_run(run_id) is None:
            raise UserError(
                f"there is no run {run_id}",
                expected="a run of this store",
                received=f"unknown to {tracking_uri()}",
                remedy="`make ui` shows the runs; MLFLOW_TRACKING_URI leads to another store",
            )
        return Path(
            mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=path, dst_path=str(folder)
            )
        )
    except (MlflowException, OSError) as error:
        raise UserError(
            f"run {run_id} holds no {path}",
            expected="a run that the evaluate stage finished",
            received=str(error).splitlines()[0],
            remedy="evaluate that run again, or compare folders of reports",
        ) from error


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or `mlflow.db` in the repository; a relative file lies there too.

    So experiments in DVC's temporary folders leave their runs where all others are.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    if uri.startswith(SQLITE):
        return SQLITE + str(repository_root().resolve() / uri.removeprefix(SQLITE))
    return uri


def _prepare_store() -> None:
    """Create the local store once, with its artifacts beside it, however many start at once."""
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # creating tables takes twenty lines
    if not uri.startswith(SQLITE):
        return
    root = repository_root()
    with FileLock(root / ".mlflow.lock"), chdir(root):
        client = mlflow.MlflowClient()
        if client.get_experiment("0").name == "Default":
            client.rename_experiment("0", EXPERIMENT)


def _describe(
    stage: str,
    params: Params,
    sections: tuple[str, ...],
    upstream: str | None,
    origin: Run | None,
    joined: bool,
) -> str:
    """Log parameters and tags of a stage to the open run; returns its id."""
    own = {key: value for key, value in params.flat().items() if key.split(".")[0] in sections}
    if joined or upstream is None:
        mlflow.log_params(own)
    else:
        inherited = origin.data.params if origin else {}
        mlflow.log_params({**inherited, **own})
        mlflow.set_tag("upstream_run_id", upstream)
    mlflow.set_tags(lineage())
    mlflow.log_text(yaml.safe_dump(asdict(params), sort_keys=False), "params.yaml")
    if Path("dvc.lock").is_file():
        mlflow.log_artifact("dvc.lock")
    if not joined:
        mlflow.set_tag(MLFLOW_RUN_NAME, _run_name(params))
    run = mlflow.active_run()
    assert run is not None  # started above
    return str(run.info.run_id)


def _find_run(run_id: str | None) -> Run | None:
    """Look a run up; None where this store never heard of it, as after a pull of its outputs."""
    if not run_id:
        return None
    try:
        return mlflow.MlflowClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _run_name(params: Params) -> str:
    loss = params.loss
    return f"{loss.name} gamma={loss.gamma:g} alpha={loss.alpha} lr={params.train.learning_rate:g}"


def _stage_tag(stage: str) -> str:
    return f"stage.{stage}"
