"""What stages say of themselves: one run a pipeline run, joined by each stage in turn.

Nothing here stops or changes a stage: what the store does not take is kept on disk (see
`hpa.tracking.outbox`) and sent later.
"""

import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from hpa.config.params import Params, short_key
from hpa.errors import UserError
from hpa.system import processes
from hpa.system.files import repository_root
from hpa.tracking.lineage import ENVIRONMENT_LOCK, code_diff, datasets, differences, lineage
from hpa.tracking.mlflow_store import (
    PENDING,
    RunCalls,
    close_orphans,
    download,
    open_store,
    past_run,
)
from hpa.tracking.outbox import PATIENCE, Outbox, StoreAwayError, deliver
from hpa.tracking.system_metrics import SystemMetrics

SPOOL = ".tracking_spool"
PROCESS_TAG, FAILURE_TAG = "process", "failure"
RUN_NAME = "mlflow.runName"
AGAIN = {
    "search": "What it found: the command in `search/best.yaml` among the artifacts. To go on with "
    "the study: `python src/search.py`",
    "trial": "Again, as a run of its own: `dvc exp run -S KEY=VALUE …` with all that differs",
}
"""How to repeat what a stage does, where `src/reproduce.py` does not."""
NAME = 120  # characters of a run's name at most


class _Recorder:
    """The open run of a stage: what is said goes to the store or to its outbox."""

    def __init__(self, key: str, wait_s: float) -> None:
        self.key = key
        self._calls = RunCalls()
        folder = spool_dir() / f"{_now()}-{key}"  # sent in the order of their names
        self._outbox = Outbox(folder, self._calls, wait_s=wait_s)

    @property
    def run_id(self) -> str:
        """MLflow's id; while the store has not been reached, one that leads to it later."""
        return self._calls.run_id or self.key

    def say(self, call: str, **arguments: Any) -> None:
        self._outbox.send({"call": call, "run_id": self._calls.run_id, **arguments})

    def close(self) -> None:
        self._outbox.close()


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
    """Track a stage: join the run that made its inputs, or start one; yields the run's id.

    A stage that the upstream run has already finished is a new experiment on its outputs (other
    thresholds for the same model, say). It gets a run of its own that carries the upstream
    parameters and names its origin in the tag `upstream_run_id`.

    The run ends FINISHED, FAILED after an exception, which the tag `failure` names, or KILLED
    after Ctrl-C or SIGTERM. Runs of this machine whose process is gone are ended as KILLED first.

    Args:
        stage: the stage's name.
        params: all parameters in force.
        sections: those that this stage reads; their values are logged as `section.key`.
        upstream: id of the run that made the inputs; None for the first tracked stage, which
            joins the run of `mlflow run` where there is one.
        parent: id of the run below which a new one is nested.
        tags: more tags of the run.
        name: of the run; None says what differs from the committed parameters.
        stops: exceptions that are no failure: they too end the run KILLED.
    """
    recorder = _Recorder(f"{PENDING}-{stage}-{uuid.uuid4().hex}", _clear_up())
    token, status = _open.set(recorder), "FAILED"
    ends: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, *stops)
    tags = (tags or {}) | ({RUN_NAME: name} if name else {})
    _begin(recorder, stage, params, sections, upstream, parent, tags)
    monitor = SystemMetrics(
        lambda metrics, step: recorder.say("batch", metrics=metrics, step=step, time=_now())
    )
    try:
        yield recorder.run_id
        recorder.say("batch", tags={f"stage.{stage}": "finished"})
        status = "FINISHED"
    except ends:
        status = "KILLED"
        raise
    except Exception as error:
        recorder.say("batch", tags={FAILURE_TAG: f"{type(error).__name__}: {error}"})
        raise
    finally:
        monitor.close()
        recorder.say("end", status=status, time=_now())
        recorder.close()
        _open.reset(token)


def log_metrics(metrics: dict[str, float], step: int | None = None) -> None:
    """Log a round's metrics to the open run, in one call."""
    numbers = {key: float(value) for key, value in metrics.items()}
    _open.get().say("batch", metrics=numbers, step=step or 0, time=_now())


def log_tags(tags: dict[str, str]) -> None:
    """Add tags to the open run."""
    _open.get().say("batch", tags=tags)


def log_artifacts(paths: list[Path], folder: str | None = None) -> None:
    """Copy files, and folders with all they hold, to the open run."""
    _open.get().say("files", paths=[str(path) for path in paths], folder=folder)


def log_image(path: Path, key: str, step: int = 0) -> None:
    """Show a picture among the run's charts, beside those of other runs under the same key."""
    _open.get().say("image", paths=[str(path)], key=key, step=step, time=_now())


def download_artifact(run_id: str, path: str, folder: Path) -> Path:
    """Copy an artifact of a run into a folder and return where it is.

    Raises:
        UserError: this store knows no such run, or the run holds no such artifact.
    """
    found = download(past_run(run_id).run_id, path, folder)
    if found is None:
        raise UserError(
            f"run {run_id} holds no {path}",
            expected="a run that the evaluate stage finished",
            received="no such artifact",
            remedy="evaluate that run again, or compare folders of reports",
        )
    return found


def send_kept() -> tuple[int, list[str]]:
    """Send what ended processes could not, then end their runs as KILLED where they are open.

    Returns:
        How many processes' calls were sent, and the ids of the runs that were ended.

    Raises:
        StoreAwayError: the store cannot be reached.
    """
    try:
        client = open_store()
        return deliver(spool_dir(), lambda: RunCalls(client)), close_orphans(client)
    except StoreAwayError:
        raise
    except Exception as error:
        raise StoreAwayError(str(error)) from error


def spool_dir() -> Path:
    """Where calls wait for the store: beside it, also for DVC's temporary folders."""
    return repository_root() / SPOOL


def _clear_up() -> float:
    """Do what earlier starts left; returns how many seconds a store that is away be left alone."""
    started = time.monotonic()
    try:
        send_kept()
    except StoreAwayError as error:
        print(f"tracking: the store is away, so its calls wait on disk: {error}", file=sys.stderr)
        return PATIENCE * (time.monotonic() - started)
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
    """Begin or join the run, with all that tells where it comes from."""
    changes, origin = differences(params), lineage()
    recorder.say(
        "begin",
        key=recorder.key,
        stage=stage,
        upstream=upstream or os.environ.get("MLFLOW_RUN_ID"),
        name=tags.get(RUN_NAME) or _run_name(changes, origin),
        note=_note(stage, changes, origin),
        parent=parent,
        params={
            key: value for key, value in params.flat().items() if key.split(".")[0] in sections
        },
        tags={**origin, PROCESS_TAG: processes.identity(), **tags},
        time=_now(),
    )
    recorder.say("inputs", datasets=datasets(Path("dvc.lock")))
    with TemporaryDirectory(prefix="hpa-tracking-") as name:
        recorder.say("files", paths=_write_origin(Path(name), params), folder=None)


def _write_origin(folder: Path, params: Params) -> list[str]:
    """Lay out what a run can be repeated from; an empty change is no file."""
    contents = {
        "params.yaml": yaml.safe_dump(asdict(params), sort_keys=False).encode(),
        "code.diff": code_diff(),
    }
    files = [folder / name for name in contents if contents[name]]
    for path in files:
        path.write_bytes(contents[path.name])
    files += [Path("dvc.lock"), ENVIRONMENT_LOCK]
    return [str(path) for path in files if path.is_file()]


def _run_name(differences: dict[str, Any], lineage: dict[str, str]) -> str:
    """Say what differs from the committed parameters, in the spelling of the command line."""
    if differences:
        words = (f"{short_key(key)}={_spelt(value)}" for key, value in differences.items())
        return " ".join(words)[:NAME]
    return f"as committed in {lineage['git.commit'][:7]}"


def _spelt(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _note(stage: str, differences: dict[str, Any], lineage: dict[str, str]) -> str:
    """Describe a run in Markdown; RUN_ID stands for its id."""
    lines = [f"- `{key}`: {value}" for key, value in differences.items()]
    lines = ["Differs from the committed params.yaml in", *lines] if lines else []
    changed = ", with the changes of `code.diff`" if lineage["git.dirty"] == "true" else ""
    lines += ["", f"Code: commit `{lineage['git.commit']}`{changed}"]
    if name := lineage.get("dvc.experiment"):
        lines += ["", f"DVC experiment: `dvc exp apply {name}`"]
    again = "Again, in a clone of its own: `python src/reproduce.py RUN_ID`"
    lines += ["", AGAIN.get(stage, again)]
    return "\n".join(lines).strip()


def _now() -> int:
    """Return milliseconds since 1970, as MLflow counts."""
    return int(1000 * time.time())
