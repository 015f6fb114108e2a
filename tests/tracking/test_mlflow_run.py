"""What a process below `mlflow run` takes from its caller."""

import os
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hpa.system import processes
from hpa.tracking import mlflow_run
from support.paths import PYTHONPATH, ROOT

Settle = Callable[[str], str]
RUN = "0123456789abcdef0123456789abcdef"


def write_database(path: Path, run_id: str = RUN) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (run_uuid TEXT)")
        connection.execute("INSERT INTO runs VALUES (?)", [run_id])
    return path


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settle:
    """Settle an address of the store, as seen from two folders; return what it becomes."""
    monkeypatch.setenv("MLFLOW_RUN_ID", RUN)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    folders = [tmp_path / "caller", tmp_path / "project"]

    def settle(uri: str) -> str:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow_run.settle_store(folders)
        return os.environ["MLFLOW_TRACKING_URI"]

    return settle


@pytest.mark.parametrize(
    "uri", ["sqlite:///mine.db", "sqlite:///./mine.db", "sqlite:///db/mine.db"]
)
def test_a_relative_database_is_the_one_that_holds_the_run(
    settled: Settle, tmp_path: Path, uri: str
) -> None:
    name = uri.removeprefix("sqlite:///")
    write_database(tmp_path / "project" / name, "another run")
    mine = write_database(tmp_path / "caller" / name)
    assert settled(uri) == f"sqlite:///{mine.resolve()}"


@pytest.mark.parametrize(
    "uri",
    ["", "http://server:5000", "sqlite:////there/mine.db", "sqlite://", "postgresql://db/mlflow"],
)
def test_any_other_store_stays_as_it_is_named(
    settled: Settle, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    assert settled(uri) == uri
    assert not capsys.readouterr().err


def test_a_database_without_the_run_is_named_in_a_warning(
    settled: Settle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_database(tmp_path / "caller" / "mine.db", "another run")
    assert settled("sqlite:///mine.db") == "sqlite:///mine.db"
    said = capsys.readouterr().err
    assert f"the run {RUN} of mlflow run is not in sqlite:///mine.db" in said
    assert "MLFLOW_TRACKING_URI=sqlite:////" in said


LAUNCHER = """\
import os, subprocess, sys
environment = {**os.environ, "MLFLOW_RUN_ID": sys.argv[1]}
subprocess.run(["bash", "-c", f"true && {sys.executable} child.py; true"], env=environment)
"""
CHILD = """\
import os, time
from pathlib import Path
from hpa.config import command_line
from hpa.system import processes, signals
launcher = processes.setter_of("MLFLOW_RUN_ID")
def main():
    signals.end_with(launcher.pid)
    Path("launcher").write_text(f"{launcher.pid} {os.getpid()}")
    try: time.sleep(60)
    except SystemExit as stop: Path("stopped").write_text(str(stop.code)); raise
command_line.run(main)
"""


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_a_process_ends_with_the_one_above_that_started_the_run(tmp_path: Path, end: str) -> None:
    """A shell lies between them, and nobody passes the signal on."""
    (tmp_path / "child.py").write_text(CHILD)
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, RUN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        stderr=subprocess.DEVNULL,
    )
    wait_for(tmp_path / "launcher")
    found, child = map(int, (tmp_path / "launcher").read_text().split())
    assert found == launcher.pid
    assert processes.is_python(psutil.Process(found))
    getattr(launcher, end)()  # a zombie until it is waited for, as below a shell that is busy
    wait_for(tmp_path / "stopped")
    launcher.wait()
    assert (tmp_path / "stopped").read_text() == "143"
    psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=10)


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until, path
        time.sleep(0.05)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////there/mine.db")
    monkeypatch.setenv("DVC_ROOT", "as before")
    return tmp_path / "home" / "hpa"


def unzip(folder: Path) -> Path:
    with zipfile.ZipFile(folder.parent / "project.zip", "w") as file:
        file.write(ROOT / "MLproject", "MLproject")
    with zipfile.ZipFile(folder.parent / "project.zip") as file:
        file.extractall(folder)
    (folder / ".dvc").mkdir()
    return folder


def test_two_temporary_clones_of_a_repository_share_what_must_outlive_them(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = []
    for name in ("tmpone", "tmptwo"):
        project = unzip(tmp_path / name)
        subprocess.run(["git", "init", "--quiet", str(project)], check=True)
        add = ["git", "-C", str(project), "remote", "add", "origin", "https://host.example/hpa.git"]
        subprocess.run(add, check=True)
        mlflow_run.keep_outside(project)
        roots.append(os.environ["DVC_ROOT"])
        [line] = [x for x in (project / ".dvc/config.local").read_text().split("\n") if "dir" in x]
        assert Path(line.partition("= ")[2]).parent == Path(roots[-1]).parent
    assert roots[0] == roots[1]
    assert Path(roots[0]).is_relative_to(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    mlflow_run.keep_outside(project)
    assert Path(os.environ["DVC_ROOT"]).parent == Path(roots[0]).parent
    assert os.environ["DVC_ROOT"] != roots[0]  # records that wait are for one store


def test_an_unpacked_zip_file_is_used_by_dvc_without_git(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    project = unzip(tmp_path / "tmpone")
    mlflow_run.keep_outside(project)
    assert "no_scm = true" in (project / ".dvc/config.local").read_text()
    assert Path(os.environ["DVC_ROOT"]).is_relative_to(home)


def test_only_a_folder_younger_than_mlflow_run_is_its_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_run.tempfile, "gettempdir", lambda: str(tmp_path))
    launcher = psutil.Process()
    clone = unzip(tmp_path / "tmpclone")
    assert mlflow_run.is_temporary_clone(clone, launcher)
    assert not mlflow_run.is_temporary_clone(unzip(tmp_path / "mine"), launcher)
    assert not mlflow_run.is_temporary_clone(ROOT, launcher)
    os.utime(clone / "MLproject", (0, launcher.create_time() - 60))
    assert not mlflow_run.is_temporary_clone(clone, launcher)
    os.utime(clone / "MLproject")
    monkeypatch.chdir(clone)  # `mlflow run .`
    assert not mlflow_run.is_temporary_clone(clone, launcher)
