"""Literal commands on one clone: what each leaves behind, also if it is killed and given again."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml

from support.clones import make_clone, shell, start
from support.paths import ROOT
from support.search_workspaces import require_one_parent

pytestmark = pytest.mark.slow
DATA = ("data/raw", "data/packed", "data/split")
TRAINED = ("train", "score", "threshold", "explain", "evaluate")
DATED = {".keras", ".json", ".npz", ".html", ".md"}
"""Outs that bear a date or the id of a run."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the repository with a small world, in which `dvc repro` has run.

    A test that changes its workspace puts it back; runs of other tests may be in its store.
    """
    if not (ROOT / ".venv").is_dir():
        pytest.skip("no .venv: run make setup")
    folder = make_clone(tmp_path_factory.mktemp("clone") / "hpa")
    done = shell(folder, "dvc repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def client(clone: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{clone}/mlflow.db")


def runs(clone: Path) -> list[Any]:
    """Return the runs of all experiments; the newest first."""
    store = client(clone)
    return list(store.search_runs([each.experiment_id for each in store.search_experiments()]))


def untouched(clone: Path) -> dict[str, bytes]:
    names = ("params.yaml", "model/provenance.json", "reports/metrics.json", "dvc.lock")
    return {name: (clone / name).read_bytes() for name in names}


def test_repro_leaves_one_finished_run_that_the_metrics_name(clone: Path) -> None:
    metrics = json.loads((clone / "reports/metrics.json").read_text())
    assert metrics["run_id"] in {run.info.run_id for run in runs(clone)}
    run = client(clone).get_run(metrics["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/macro_f1"] == metrics["test/macro_f1"]
    assert run.data.params["loss.gamma"] == "2.0"
    assert re.fullmatch("[0-9a-f]{40}", run.data.tags["git.commit"])
    assert {"dvc.data/raw", "dvc.data/packed", "dvc.data/split"} <= run.data.tags.keys()
    artifacts = {item.path for item in client(clone).list_artifacts(run.info.run_id)}
    assert {"model", "reports", "images", "params.yaml", "dvc.lock", "requirements.lock"} <= (
        artifacts
    )
    assert "code.diff" not in artifacts  # nothing was changed since the commit
    inputs = {each.dataset.name: each.dataset for each in run.inputs.dataset_inputs}
    assert {path: inputs.pop(path).digest for path in DATA} == {
        path: run.data.tags[f"dvc.{path}"] for path in DATA
    }
    n_images = {name: json.loads(each.profile)["n_images"] for name, each in inputs.items()}
    assert sum(n_images.values()) == 60
    assert n_images.keys() == {"train images", "val images", "test images"}
    classes = pd.read_json(f"{run.info.artifact_uri}/evaluation/classes.json", orient="split")
    assert classes["f1"].mean() == pytest.approx(metrics["test/macro_f1"], abs=1e-4)


def test_a_run_is_repeated_bit_by_bit_and_a_false_metric_is_found(clone: Path) -> None:
    run_id = json.loads((clone / "reports/metrics.json").read_text())["run_id"]
    client(clone).log_metric(run_id, "test/micro_f1", 0.99, step=1)
    done = shell(clone, f"python src/reproduce.py {run_id}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "weights: equal" in done.stdout
    n_equal, n = map(int, re.findall(r"metrics: (\d+) of (\d+) equal", done.stdout)[0])
    assert n_equal == n - 1
    assert "test/micro_f1: 0.99 then" in done.stdout


def test_what_cannot_be_repeated_is_refused_with_its_reason(clone: Path) -> None:
    said = shell(clone, "python src/reproduce.py nonsense").stderr
    assert "'nonsense' is not the id of a run" in said
    assert "there is no such run" in shell(clone, f"python src/reproduce.py {'0' * 32}").stderr
    run_id = client(clone).create_run("0", tags={"git.commit": "0" * 40}).info.run_id
    said = shell(clone, f"python src/reproduce.py {run_id}").stderr
    assert "the run's commit is not in this repository" in said
    assert "Traceback" not in said
    head = shell(clone, "git rev-parse HEAD").stdout.strip()
    client(clone).set_tag(run_id, "git.commit", head)
    client(clone).set_tag(run_id, "git.dirty", "true")
    said = shell(clone, f"python src/reproduce.py {run_id}").stderr
    assert "the run's code is unknown" in said
    assert "Traceback" not in said
    client(clone).delete_run(run_id)


def test_a_repro_served_from_the_run_cache_adds_no_run_and_names_the_old_one(clone: Path) -> None:
    before = json.loads((clone / "reports/metrics.json").read_text())["run_id"]
    n_runs = len(runs(clone))
    done = shell(clone, "dvc exp run -S threshold.rule=fixed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(runs(clone)) == n_runs + 1
    done = shell(clone, "git checkout -q params.yaml && dvc repro")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(runs(clone)) == n_runs + 1
    assert json.loads((clone / "reports/metrics.json").read_text())["run_id"] == before


def test_a_second_repro_runs_no_stage(clone: Path) -> None:
    done = shell(clone, "dvc repro")
    assert done.returncode == 0
    assert "Running stage" not in done.stdout + done.stderr


def test_mlflow_run_leaves_one_run_and_the_workspace_alone(clone: Path) -> None:
    before, runs_before = untouched(clone), runs(clone)
    done = shell(clone, "mlflow run . -P gamma=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert untouched(clone) == before

    known = {run.info.run_id for run in runs_before}
    new = [run for run in runs(clone) if run.info.run_id not in known]
    assert [run.info.status for run in new] == ["FINISHED"]
    assert new[0].data.params["loss.gamma"] == "2.0"
    assert "gamma" not in new[0].data.params  # one name of each parameter
    assert "Creating conda environment" not in done.stderr
    for number, stage in enumerate(TRAINED, start=2):
        assert f"[{number}/6] {stage}\n" in done.stdout
    *_, last, page, _, server, report = done.stdout.splitlines()
    assert last == f"run {new[0].info.run_id}"
    assert f"/runs/{new[0].info.run_id}?" in page
    assert server == f"  after: mlflow ui --backend-store-uri sqlite:///{clone}/mlflow.db"
    assert Path(report.removeprefix("  report: ")).is_file()
    assert "test/macro_f1" in new[0].data.metrics
    rounds = client(clone).get_metric_history(new[0].info.run_id, "val/macro_f1")
    assert all(each.step > 0 for each in rounds)  # its chart shows rounds alone
    assert {f"stage.{stage}" for stage in ("train", "score", "threshold", "evaluate")} <= (
        new[0].data.tags.keys()
    )


@pytest.mark.parametrize("manager", ["", " --env-manager=local", " --env-manager=uv"])
def test_a_mistyped_parameter_ends_mlflow_run_with_the_nearest_name(
    clone: Path, manager: str
) -> None:
    """The message comes from the project's own script, so each environment manager starts it."""
    done = shell(clone, f"mlflow run . -P gama=2{manager}")
    assert done.returncode != 0
    assert "did you mean loss.gamma?" in done.stderr


def test_a_temporary_experiment_of_dvc_leaves_its_run_in_the_same_store(clone: Path) -> None:
    known = {run.info.run_id for run in runs(clone)}
    done = shell(clone, "dvc exp run --temp -S loss.gamma=1 -S train.seed=3")
    assert done.returncode == 0, done.stdout + done.stderr
    new = [run for run in runs(clone) if run.info.run_id not in known]
    assert [run.info.status for run in new] == ["FINISHED"]
    assert new[0].data.params["loss.gamma"] == "1.0"
    assert new[0].data.tags["dvc.experiment"]
    assert Path(new[0].info.artifact_uri).is_relative_to(clone)


def changed_stages(clone: Path, file: str) -> set[str]:
    """Return the stages that `dvc status` would run again after an edit of one file."""
    path = clone / file
    before = path.read_bytes()
    path.write_bytes(before + b"\n# Edited.\n")
    done = shell(clone, "dvc status --json")
    path.write_bytes(before)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("requirements.lock", {"pack", "split", "train"}),
        ("src/hpa/tracking/outbox.py", set()),
        ("src/hpa/tracking/stage_run.py", set()),
        ("src/hpa/system/progress.py", set()),
        ("src/hpa/errors.py", set()),
        ("src/hpa/serving/promotion.py", set()),
        ("src/hpa/reports/test_report.py", {"evaluate"}),
        ("src/hpa/thresholds/rules.py", {"threshold", "explain", "evaluate"}),
        ("src/hpa/model/losses.py", {"train", "explain"}),
    ],
)
def test_an_edit_makes_only_the_stages_stale_whose_outputs_it_can_change(
    clone: Path, file: str, stages: set[str]
) -> None:
    assert changed_stages(clone, file) == stages


def test_mlflow_run_nests_all_runs_of_a_search_in_one(clone: Path) -> None:
    sizes = "-P n_trials=2 -P trial_steps=2 -P trial_rounds=1 -P n_seeds=1"
    done = shell(clone, f"mlflow run . -e search --experiment-name lab {sizes}")
    assert done.returncode == 0, done.stdout + done.stderr
    require_one_parent(client(clone), 2, "lab")
    assert not shell(clone, "git status --porcelain -- params.yaml").stdout


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


def kill_group(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_killed_repro_resumes_if_it_is_started_again(
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
    assert not list(clone.glob(".checkpoints/*/training.json"))


def test_a_killed_mlflow_run_resumes_if_it_is_started_again(
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
