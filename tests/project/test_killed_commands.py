"""The literal commands killed amid training, on a clone: given again, they end as if never cut."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from support.clones import shell, start

pytestmark = pytest.mark.slow
TRAINED = ("train", "score", "threshold", "explain", "evaluate")
DATED = {".keras", ".json", ".npz", ".html", ".md"}
"""Outs that bear a date or the id of a run."""


@pytest.fixture(scope="module")
def undisturbed(clone: Path) -> dict[str, Any]:
    return results(clone)


def results(clone: Path) -> dict[str, Any]:
    """Return what a repetition must give again; not when, nor under which run's id."""
    metrics = json.loads((clone / "reports/metrics.json").read_text())
    del metrics["run_id"]
    stages = yaml.safe_load((clone / "dvc.lock").read_text())["stages"]
    outs = {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}
    return {
        "weights": json.loads((clone / "model/provenance.json").read_text())["weights_sha256"],
        "history": (clone / "model/history.csv").read_bytes(),
        "metrics": metrics,
        "outs": {
            path: md5
            for path, md5 in outs.items()
            if Path(path).suffix not in DATED and path != "scores"
        },
    }


def forget_training(clone: Path) -> None:
    """Let DVC know nothing of any training, as after a change of its code."""
    lock = yaml.safe_load((clone / "dvc.lock").read_text())
    lock["stages"] = {name: lock["stages"][name] for name in lock["stages"] if name not in TRAINED}
    (clone / "dvc.lock").write_text(yaml.safe_dump(lock))
    for name in ("model", "scores", "reports", ".dvc/cache/runs"):
        shutil.rmtree(clone / name)


def amid_training(clone: Path, command: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a command; returns it as soon as its training has left a checkpoint."""
    process = start(clone, command, **environment)
    while not list(clone.glob(".checkpoints/*/step-*/manifest.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


def runs(clone: Path) -> list[Any]:
    return list(mlflow.MlflowClient(f"sqlite:///{clone}/mlflow.db").search_runs(["0"]))


def kill_group(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_killed_repro_goes_on_when_it_is_given_again(
    clone: Path, undisturbed: dict[str, Any]
) -> None:
    known = {run.info.run_id for run in runs(clone)}
    forget_training(clone)
    kill_group(amid_training(clone, "dvc repro"))
    again = shell(clone, "dvc repro")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "resuming from step" in again.stderr
    assert results(clone) == undisturbed
    assert {"model/history.csv", "reports/classes.csv", "reports/figures"} <= (
        undisturbed["outs"].keys()
    )
    new = [run for run in runs(clone) if run.info.run_id not in known]
    assert sorted(run.info.status for run in new) == ["FINISHED", "KILLED"]
    assert new[0].data.tags["resumed.step"] in ("3", "6")
    assert not list(clone.glob(".checkpoints/*"))


def test_a_killed_mlflow_run_goes_on_when_it_is_given_again(
    clone: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    command, before = "mlflow run . -P gamma=2", results(clone)
    known = {run.info.run_id for run in runs(clone)}
    kill_group(amid_training(clone, command, TMPDIR=str(tmp_path)))
    again = shell(clone, command, TMPDIR=str(tmp_path))
    assert again.returncode == 0, again.stdout + again.stderr
    new = {run.info.status: run for run in runs(clone) if run.info.run_id not in known}
    assert new.keys() == {"KILLED", "FINISHED"}
    finished = new["FINISHED"]
    assert finished.data.tags["resumed.run_id"] == new["KILLED"].info.run_id
    # gamma is 2 in params.yaml, too
    folder = Path(finished.info.artifact_uri) / "model"
    origin = json.loads((folder / "provenance.json").read_text())
    assert origin["weights_sha256"] == undisturbed["weights"]
    assert (folder / "history.csv").read_bytes() == undisturbed["history"]
    test_metrics = {key: finished.data.metrics[key] for key in ("test/macro_f1", "test/micro_f1")}
    assert test_metrics.items() <= undisturbed["metrics"].items()
    assert results(clone) == before


def test_a_training_that_is_asked_to_stop_ends_its_run_as_killed(
    clone: Path, tmp_path: Path
) -> None:
    training = amid_training(clone, f"exec python src/train.py --output {tmp_path}/model")
    training.send_signal(signal.SIGTERM)
    _, errors = training.communicate()
    assert training.returncode == 143, errors
    assert "Traceback" not in errors
    assert runs(clone)[0].info.status == "KILLED"
    assert list(clone.glob(".checkpoints/*/step-*/manifest.json"))
    assert not (tmp_path / "model/provenance.json").exists()
