"""The literal commands, on a clone: dvc repro, then mlflow run, and what each leaves behind."""

import json
from pathlib import Path

import mlflow
import pytest
from clones import ROOT, make_clone, shell

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="no .venv: run make setup"),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files under git in a folder of their own, with a small world."""
    folder = make_clone(tmp_path_factory.mktemp("clone") / "hpa")
    done = shell(folder, "dvc repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def client(clone: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{clone}/mlflow.db")


def untouched(clone: Path) -> dict[str, bytes]:
    names = ("params.yaml", "model/provenance.json", "reports/metrics.json", "dvc.lock")
    return {name: (clone / name).read_bytes() for name in names}


def test_repro_leaves_one_finished_run_that_the_metrics_name(clone: Path) -> None:
    metrics = json.loads((clone / "reports/metrics.json").read_text())
    runs = client(clone).search_runs(["0"])
    assert metrics["run_id"] in {run.info.run_id for run in runs}
    run = client(clone).get_run(metrics["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/macro_f1"] == metrics["test/macro_f1"]
    assert run.data.params["loss.gamma"] == "2.0"
    assert run.data.tags["git.commit"] != "unknown"
    assert {"dvc.data/raw", "dvc.data/packed", "dvc.data/split"} <= run.data.tags.keys()
    artifacts = {item.path for item in client(clone).list_artifacts(run.info.run_id)}
    assert {"model", "reports", "params.yaml"} <= artifacts


def test_a_second_repro_runs_no_stage(clone: Path) -> None:
    done = shell(clone, "dvc repro")
    assert done.returncode == 0
    assert "Running stage" not in done.stdout + done.stderr


@pytest.mark.parametrize("manager", ["", " --env-manager=local", " --env-manager=uv"])
def test_mlflow_run_leaves_one_run_and_the_workspace_alone(clone: Path, manager: str) -> None:
    before, runs_before = untouched(clone), client(clone).search_runs(["0"])
    done = shell(clone, f"mlflow run . -P gamma=2{manager}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert untouched(clone) == before

    known = {run.info.run_id for run in runs_before}
    new = [run for run in client(clone).search_runs(["0"]) if run.info.run_id not in known]
    assert [run.info.status for run in new] == ["FINISHED"]
    assert new[0].data.params["loss.gamma"] == "2.0"
    assert new[0].data.params["gamma"] == "2"
    assert "test/macro_f1" in new[0].data.metrics
    assert {f"stage.{stage}" for stage in ("train", "score", "threshold", "evaluate")} <= (
        new[0].data.tags.keys()
    )


def test_a_mistyped_parameter_ends_mlflow_run_with_the_nearest_name(clone: Path) -> None:
    done = shell(clone, "mlflow run . -P gama=2")
    assert done.returncode != 0
    assert "did you mean loss.gamma?" in done.stderr


def test_a_temporary_experiment_of_dvc_leaves_its_run_in_the_same_store(clone: Path) -> None:
    known = {run.info.run_id for run in client(clone).search_runs(["0"])}
    done = shell(clone, "dvc exp run --temp -S loss.gamma=1 -S train.seed=3")
    assert done.returncode == 0, done.stdout + done.stderr
    new = [run for run in client(clone).search_runs(["0"]) if run.info.run_id not in known]
    assert [run.info.status for run in new] == ["FINISHED"]
    assert new[0].data.params["loss.gamma"] == "1.0"
    assert new[0].data.tags["dvc.experiment"]
    assert Path(new[0].info.artifact_uri).is_relative_to(clone)
