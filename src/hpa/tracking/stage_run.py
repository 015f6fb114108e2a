"""Log one MLflow run per pipeline run; each stage joins it in turn.

A failure of the store neither stops nor changes a stage: `hpa.tracking.outbox` keeps the calls on
disk and sends them later.
"""

import os
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml
from mlflow.tracking.context.registry import resolve_tags

from hpa.config.effects import has_effect
from hpa.config.folders import SPLIT_DIR
from hpa.config.params import Params
from hpa.config.secrets import hide_secrets
from hpa.errors import UserError
from hpa.system import processes
from hpa.system.files import digest, repository_root
from hpa.tracking.address import public, tracking_uri
from hpa.tracking.description import description, run_name
from hpa.tracking.experiments import chosen_experiment
from hpa.tracking.lineage import (
    ENVIRONMENT_LOCK,
    History,
    code_diff,
    datasets,
    differences,
    lineage,
    split_datasets,
)
from hpa.tracking.logged_models import download
from hpa.tracking.mlflow_store import PENDING, close_orphans, open_store, past_run
from hpa.tracking.outbox import PATIENCE, Delivery, Outbox, StoreUnavailableError, deliver
from hpa.tracking.run_calls import RunCalls
from hpa.tracking.system_metrics import system_metrics
from hpa.tracking.views import MADE_BY, PIPELINE

RUN_NAME = "mlflow.runName"
STUDY = "optuna.study"
"""Tag of a search and of its trials, with the study's name."""
FOLDS = "folds"
"""Stage of an ensemble of all folds, each of which is a run nested in its own."""
BESIDE = ("search", "promote", "serve", "app")
"""Sections that no stage of the pipeline reads."""


class _Recorder:
    """The open run of a stage: sends calls to the store, or to the outbox."""

    def __init__(self, key: str, wait_s: float) -> None:
        self.key = key
        self._calls = RunCalls(is_kept=_is_kept)
        folder = outbox_dir() / f"{_now()}-{key}"  # delivered in the order of the names
        self._outbox = Outbox(folder, self._calls, wait_s=wait_s)
        self._temporary = TemporaryDirectory(prefix="hpa-tracking-")
        self.folder = Path(self._temporary.name)  # for files that may have to be sent again

    @property
    def run_id(self) -> str:
        """MLflow's id; until the store has been reached, a pending one that finds it later."""
        return self._calls.run_id or self.key

    def send(self, call: str, **arguments: Any) -> None:
        self._outbox.send({"call": call, "run_id": self._calls.run_id, **arguments})

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.send("batch", metrics=metrics, step=step, time=_now())

    def fail(self, error: Exception) -> None:
        if self._outbox.was_used:
            said = hide_secrets(f"{type(error).__name__}: {error}")
            self.send("batch", tags={"failure": said})

    def end(self, status: str) -> None:
        """End the run, unless an exception came before it began."""
        if self._outbox.was_used:
            self.send("end", status=status, time=_now())
        self._outbox.close()
        self._temporary.cleanup()


_open: ContextVar[_Recorder] = ContextVar("the run that this thread's stage logs to")


@contextmanager
def stage_run(
    stage: str,
    params: Params,
    *,
    sections: tuple[str, ...],
    upstream: str | None = None,
    parent: str | None = None,
    tags: dict[str, str] | None = None,
    name: str | None = None,
    stops: tuple[type[Exception], ...] = (),
) -> Iterator[str]:
    """Track a stage: join the run that made its inputs, or start one; yield the run's id.

    If the upstream run has already finished this stage, or states other parameters, code or
    packages, the stage is a new experiment on its outputs (other thresholds for the same model,
    say). It gets a run of its own, with the upstream parameters and the tag `upstream_run_id`.

    The run ends FINISHED; FAILED after an exception, which the tag `failure` names; or KILLED
    after Ctrl-C or SIGTERM. Runs of this machine whose process is gone are first ended as KILLED.

    Within the block of another stage, as of `src/folds.py`, it logs to that stage's run, which
    has the parameters of both.

    Args:
        stage: the stage's name.
        params: all parameters in force, those inherited from earlier stages included.
        sections: the sections that this stage reads; their values are logged as `section.key`.
        upstream: id of the run that made the inputs; None for the first tracked stage, which
            joins the run of `mlflow run` if there is one and it has no parent.
        parent: id of the run under which a new one is nested.
        tags: additional tags.
        name: of the run; by default all that differs from the committed parameters.
        stops: exceptions that are not failures: they too end the run as KILLED.
    """
    if parent is None and (around := _open.get(None)) is not None:
        yield around.run_id
        around.send("batch", tags={f"stage.{stage}": "finished"})
        return
    recorder = _Recorder(f"{PENDING}-{stage}-{uuid.uuid4().hex}", _send_leftovers())
    token, status = _open.set(recorder), "FAILED"
    ends: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, *stops)
    tags = (tags or {}) | ({RUN_NAME: name} if name else {})
    try:
        _begin(recorder, stage, params, sections, upstream, parent, tags)
        with system_metrics(recorder.log_metrics):
            yield recorder.run_id
        recorder.send("batch", tags={f"stage.{stage}": "finished"})
        status = "FINISHED"
    except ends:
        status = "KILLED"
        raise
    except Exception as error:
        recorder.fail(error)
        raise
    finally:
        recorder.end(status)
        _open.reset(token)


def log_metrics(metrics: dict[str, float], step: int | None = None) -> None:
    """Log the metrics of a round to the open run, in one call."""
    _open.get().log_metrics({key: float(value) for key, value in metrics.items()}, step or 0)


def log_tags(tags: dict[str, str]) -> None:
    """Add tags to the open run."""
    _open.get().send("batch", tags=tags)


def log_result(text: str) -> None:
    """Begin the description of the open run with its result."""
    _open.get().send("result", text=text)


def log_artifacts(paths: list[Path], folder: str | None = None) -> None:
    """Copy files, and folders with their content, to the open run."""
    _open.get().send("files", paths=[str(path) for path in paths], folder=folder)


def log_weights(path: Path, under: str = "") -> None:
    """Begin the run's model in MLflow with its weights: see `hpa.tracking.logged_models`."""
    _open.get().send("weights", paths=[str(path)], under=under)


def log_model_files(paths: list[Path]) -> None:
    """Copy files and folders to the run's model."""
    _open.get().send("model_files", paths=[str(path) for path in paths])


def finish_model(card: str) -> None:
    """Make the run's model ready, with its results so far and a description in Markdown."""
    _open.get().send("model_ready", paths=[], card=card)


def log_tables(tables: Mapping[str, pd.DataFrame], folder: str) -> None:
    """Log tables as `<folder>/<name>.json`, which MLflow's page and `mlflow.load_table` read."""
    recorder = _open.get()
    paths = [recorder.folder / f"{name}.json" for name in tables]
    for path, table in zip(paths, tables.values(), strict=True):
        table.to_json(path, orient="split", index=False)
    recorder.send("tables", paths=[str(path) for path in paths], folder=folder)


def log_image(path: Path, key: str) -> None:
    """Log an image; MLflow charts it beside those of other runs with the same key."""
    _open.get().send("image", paths=[str(path)], key=key, step=0, time=_now())


def download_artifact(run_id: str, path: str, folder: Path) -> Path:
    """Download an artifact of a run into a folder and return its path.

    Raises:
        UserError: the store has no such run, or the run no such artifact.
    """
    found = download(past_run(run_id).run_id, path, folder)
    if found is None:
        raise UserError(
            f"run {run_id} has no artifact {path}",
            expected="a run that the evaluate stage finished",
            received="no such artifact",
            remedy="evaluate that run again, or compare folders of reports",
        )
    return found


def send_kept(*, here: bool = False) -> tuple[Delivery, list[str]]:
    """Send the calls that ended processes kept, then end their open runs as KILLED.

    Args:
        here: also those for another store or a missing experiment, to the one chosen now.

    Returns:
        What was sent and what is left, and the ids of the runs that were ended.

    Raises:
        StoreUnavailableError: the store cannot be reached.
    """
    try:
        client = open_store()
        make = partial(RunCalls, client, here=here, is_kept=_is_kept)
        return deliver(outbox_dir(), make), close_orphans(client)
    except Exception as error:
        raise StoreUnavailableError(str(error)) from error


def outbox_dir() -> Path:
    """Return the folder of kept calls: in the repository, also in DVC's temporary folders."""
    return repository_root() / ".tracking_outbox"


def _is_kept(key: str) -> bool:
    """Tell whether the calls of a pending run are still on disk."""
    return any(outbox_dir().glob(f"*-{key}/calls.jsonl"))


def _send_leftovers() -> float:
    """Send what earlier processes kept; return the seconds to wait before the next attempt."""
    started = time.monotonic()
    try:
        delivery, _ = send_kept()
    except StoreUnavailableError as error:
        print(f"tracking: the store is unavailable, calls wait on disk: {error}", file=sys.stderr)
        return PATIENCE * (time.monotonic() - started)
    for folder, reason in delivery.left.items():
        print(f"tracking: the calls in {folder} still wait: {reason}", file=sys.stderr)
    return 0.0


def _begin(
    recorder: _Recorder,
    stage: str,
    params: Params,
    sections: tuple[str, ...],
    upstream: str | None,
    parent: str | None,
    tags: dict[str, str],
) -> None:
    """Begin or join the run, and log its lineage."""
    changes, history = differences(params), History.read()
    if upstream is None and not history.commit:  # once, not in each stage
        print(history.warning(), file=sys.stderr, flush=True)
    origin = lineage() | {
        "data.source": params.fetch.source,
        "keras.backend": params.train.backend,
        "params.sha256": _digest(params),
    }
    values = {k: v for k, v in params.flat().items() if (stage, k) != (FOLDS, "train.fold")}
    recorder.send(
        "begin",
        key=recorder.key,
        stage=stage,
        upstream=upstream or (None if parent else os.environ.get("MLFLOW_RUN_ID")),
        name=tags.get(RUN_NAME) or run_name(changes, origin),
        note=description(stage, params, changes, origin),
        parent=parent,
        params=_logged(values, sections),
        tags={MADE_BY: _made_by(tags), **origin, "process": processes.identity(), **tags},
        time=_now(),
        context=_context(history),
        experiment=chosen_experiment(),
        store=public(tracking_uri()),
    )
    fold = None if stage == FOLDS else params.train.fold
    data = split_datasets(SPLIT_DIR, fold) + datasets(Path("dvc.lock"))
    recorder.send("inputs", datasets=data, opening=True)
    origin_files = _write_origin(recorder.folder, params)
    recorder.send("files", paths=origin_files, folder=None, opening=True)


def _made_by(tags: dict[str, str]) -> str:
    study = tags.get(STUDY)
    return f"search {study}" if study else PIPELINE


def _logged(values: dict[str, Any], sections: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters that decide a result of these sections; params.yaml holds all."""
    keys = [key for key in values if key.partition(".")[0] in sections]
    return {key: values[key] for key in keys if has_effect(key, values)}


def _digest(params: Params) -> str:
    """Return the SHA-256 of the parameters of all stages: a run has one value of each."""
    stages = {k: v for k, v in params.flat().items() if k.split(".")[0] not in BESIDE}
    return digest(stages)


def _context(history: History) -> dict[str, str]:
    """Return MLflow's own tags of a run; without the commit of a repository that is not ours."""
    found = resolve_tags()
    return {key: value for key, value in found.items() if history.commit or ".git." not in key}


def _write_origin(folder: Path, params: Params) -> list[str]:
    """Write the files that a run can be repeated from; return the paths of those that exist."""
    contents = {
        "params.yaml": yaml.safe_dump(asdict(params), sort_keys=False).encode(),
        "code.diff": code_diff(),
    }
    files = [folder / name for name in contents if contents[name]]
    for path in files:
        path.write_bytes(contents[path.name])
    files += [Path("dvc.lock"), ENVIRONMENT_LOCK]
    return [str(path) for path in files if path.is_file()]


def _now() -> int:
    """Return the milliseconds since 1970, MLflow's unit."""
    return int(1000 * time.time())
