"""Run below `mlflow run`: the store, the folder and the end that its caller expects.

`mlflow run` creates the run where it was called, then starts this project in the project's own
folder, which may be a clone in a temporary folder that no later call will find again.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
from sqlalchemy.engine import make_url

from hpa.system import processes, signals
from hpa.system.files import SOURCE_DIR, code_sha256, digest
from hpa.tracking.address import sqlite_uri, tracking_uri
from hpa.tracking.mlflow_store import open_store

RUN_ID = "MLFLOW_RUN_ID"
STORE = "MLFLOW_TRACKING_URI"
ROOT = "DVC_ROOT"
"""Variable that `hpa.system.files.repository_root` reads."""
STOPPED = {128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
"""Exit codes after a signal."""


@contextmanager
def adopted() -> Iterator[None]:
    """Settle store and folders for this process and its children; end when `mlflow run` ends.

    If a signal stops the block between two stages, the run ends as KILLED, as it does within one.
    """
    if launcher := _launcher():
        with suppress(psutil.NoSuchProcess):  # it has just ended: `end_with` sees it
            _adopt(launcher)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        stopped = isinstance(stop, KeyboardInterrupt) or stop.code in STOPPED
        if launcher and stopped:
            _end_run()
        raise


def _launcher() -> psutil.Process | None:
    """Return the process of `mlflow run` above this one; None if there is none."""
    found = processes.setter_of(RUN_ID) if os.environ.get(RUN_ID) else None
    return found if found and processes.is_python(found) else None


def _adopt(launcher: psutil.Process) -> None:
    signals.end_with(launcher.pid)
    settle_store(_folders(launcher))
    project = SOURCE_DIR.parent.resolve()
    if is_temporary_clone(project, launcher):
        keep_outside(project)


def _end_run() -> None:
    """End the run as KILLED if it is still open: its caller may be gone, and nobody else will."""
    with suppress(Exception):  # of SQLAlchemy or requests: the store is away
        client, run_id = open_store(), os.environ[RUN_ID]
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_terminated(run_id, "KILLED")


def settle_store(folders: list[Path]) -> None:
    """Make a relative database absolute: the one in these folders that holds the run."""
    uri, run_id = os.environ.get(STORE, ""), os.environ.get(RUN_ID, "")
    if not uri.startswith(("sqlite:", "sqlite+")):
        return
    url = make_url(uri)
    name = url.database
    if not name or name == ":memory:" or name.startswith("file:") or Path(name).is_absolute():
        return
    candidates = dict.fromkeys((folder / name).resolve() for folder in folders)
    for path in candidates:
        if holds_run(path, run_id):
            os.environ[STORE] = sqlite_uri(path, dict(url.query))
            return
    print(
        f"warning: the run {run_id} of mlflow run is not in {uri}, as seen from "
        f"{', '.join(map(str, folders))}; the stages go to a run in {tracking_uri()}. To keep one "
        f"run, name the database by an absolute path: {STORE}=sqlite:////FOLDER/FILE.db",
        file=sys.stderr,
    )


def holds_run(database: Path, run_id: str) -> bool:
    """Tell whether a file is an MLflow database with this run; it is only read."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT 1 FROM runs WHERE run_uuid = ?", [run_id])
            return found.fetchone() is not None
    except sqlite3.Error:
        return False


def _folders(launcher: psutil.Process) -> list[Path]:
    """Return where the caller may be: the folders of the processes above, and the project's."""
    found = []
    for process in [launcher, *launcher.parents()]:
        with suppress(psutil.Error):  # of another user
            found.append(Path(process.cwd()))
    return [*dict.fromkeys(found), SOURCE_DIR.parent]


def is_temporary_clone(project: Path, launcher: psutil.Process) -> bool:
    """Tell whether `mlflow run` has just made this folder, from a Git URL or a ZIP file."""
    temporary = Path(tempfile.gettempdir()).resolve()
    if not project.is_relative_to(temporary):
        return False
    name = (*project.relative_to(temporary).parts, "")[0]
    return (
        name.startswith(tempfile.gettempprefix())
        and (project / "MLproject").stat().st_mtime >= launcher.create_time()
        and not Path(launcher.cwd()).is_relative_to(temporary / name)
    )


def keep_outside(project: Path) -> None:
    """Let checkpoints, records that wait, downloads and DVC's cache outlive a temporary clone.

    They are in the user's cache, by repository; all but DVC's cache also by tracking store.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hpa"
    kept = cache / digest(_origin(project))[:16]
    root = kept / digest(tracking_uri())[:16]
    root.mkdir(parents=True, exist_ok=True)
    local = project / ".dvc" / "config.local"
    if not local.exists():
        without_git = "" if _asked_of_git(project) else "[core]\n    no_scm = true\n"
        local.write_text(f"{without_git}[cache]\n    dir = {kept / 'dvc'}\n", encoding="utf-8")
    os.environ[ROOT] = str(root)
    print(f"this clone is temporary: checkpoints and DVC's cache are kept in {kept}", flush=True)


def _origin(project: Path) -> str:
    """Return the address that the project was cloned from, or the digest of unzipped code."""
    return _asked_of_git(project) or code_sha256([SOURCE_DIR])


def _asked_of_git(project: Path) -> str:
    """Return the address of a clone and the project's folder in it; empty without Git."""
    commands = ["remote get-url origin", "rev-parse --show-prefix"]
    try:
        return " ".join(
            subprocess.check_output(
                ["git", "-C", str(project), *command.split()], stderr=subprocess.DEVNULL, text=True
            ).strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
