"""`mlflow run` from another folder and by a Git URL: one run, ended with its caller, resumed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import mlflow
import psutil
import pytest

from support.clones import make_clone, shell, start
from support.paths import ROOT

pytestmark = pytest.mark.slow
URL = "https://host.example/hpa"
CHECKPOINT = ".checkpoints/*/step-*/manifest.json"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the repository with a small world, whose images are packed and split."""
    if not (ROOT / ".venv").is_dir():
        pytest.skip("no .venv: run make setup")
    folder = make_clone(tmp_path_factory.mktemp("mlflow-run") / "hpa")
    done = shell(folder, "dvc repro split")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def runs(database: Path) -> list[mlflow.entities.Run]:
    store = mlflow.MlflowClient(f"sqlite:///{database}")
    return list(store.search_runs([each.experiment_id for each in store.search_experiments()]))


def wait_for_checkpoint(process: "subprocess.Popen[str]", folder: Path, pattern: str) -> None:
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_a_relative_store_is_the_callers_and_sigterm_to_mlflow_alone_ends_the_training(
    clone: Path, tmp_path: Path
) -> None:
    options = "-P gamma=2.8 -P loss.alpha='27x0.9 15x0.75' -P n_steps=400"
    command = f"cd '{tmp_path}' && exec mlflow run '{clone}' {options}"
    caller = start(clone, command, MLFLOW_TRACKING_URI="sqlite:///mine.db")
    wait_for_checkpoint(caller, clone, CHECKPOINT)
    below = psutil.Process(caller.pid).children(recursive=True)
    os.kill(caller.pid, signal.SIGTERM)
    output, errors = caller.communicate()
    assert not psutil.wait_procs(below, timeout=120)[1], errors
    assert caller.returncode == -signal.SIGTERM
    [run] = runs(tmp_path / "mine.db")
    assert run.info.status == "KILLED", errors
    assert run.data.params["loss.gamma"] == "2.8"
    assert run.data.params["loss.alpha"] == "'27x0.9 15x0.75'"  # as MLflow logged it
    assert "gamma" not in run.data.params
    assert "[2/6] train" in output
    assert list(clone.glob(CHECKPOINT))
    assert not (clone / "mlflow.db").exists()
    assert not (clone / "mine.db").exists()


def test_a_clone_by_url_resumes_and_simulates_no_image_again(clone: Path, tmp_path: Path) -> None:
    """Git reads the clone instead of the address; each call gets a temporary folder of its own."""
    (tmp_path / "tmp").mkdir()
    here = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path / "tmp"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{clone}.insteadOf",
        "GIT_CONFIG_VALUE_0": URL,
    }
    command = f"cd '{tmp_path}' && exec mlflow run {URL} -P gamma=2.8"
    first = start(clone, command, **here)
    wait_for_checkpoint(first, tmp_path / "cache", f"hpa/*/*/{CHECKPOINT}")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second = shell(clone, command, **here)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "resuming from step" in second.stderr
    assert "Stage 'fetch' is cached" in second.stdout
    finished, killed = runs(tmp_path / "mlflow.db")
    assert finished.data.tags["resumed.run_id"] == killed.info.run_id
    assert [finished.info.status, killed.info.status] == ["FINISHED", "KILLED"]
    report = second.stdout.splitlines()[-1].removeprefix("  report: ")
    assert Path(report).is_relative_to(tmp_path / "mlruns")
    assert Path(report).is_file()
