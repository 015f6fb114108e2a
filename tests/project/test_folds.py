"""src/folds.py end to end: one command, resumed after a kill, predicted, promoted and served."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run

from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.inference.classifier import Classifier
from hpa.metrics.predictions import Scores
from hpa.system.files import read_json, sha256
from hpa.tracking.model_files import request
from support.paths import ROOT
from support.scripts import environment_of, run_script
from support.search_workspaces import local_client, runs_in
from support.workspaces import write_params

N_FOLDS = 3
WHOLE = {
    "pack.shard_rows": 16,
    "split.n_folds": N_FOLDS,
    "train.n_steps": 2,
    "train.validate_every": 1,
}


def make_workspace(folder: Path, raw_dir: Path, packed_dir: Path, **more: object) -> Path:
    """Link packed images, and split them into three folds."""
    (folder / "data").mkdir(parents=True)
    (folder / "data/packed").symlink_to(packed_dir)
    write_params(folder, **{**WHOLE, "fetch.path": str(raw_dir), **more})
    done = run_script(folder, "split")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def folds(raw_world: Path, packed_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the command ran, with what it said in `said.txt`."""
    folder = tmp_path_factory.mktemp("folds")
    make_workspace(folder, raw_world, packed_world)
    done = run_script(folder, "folds", "--workers", "2")
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


def weights(folder: Path) -> list[str]:
    """Return the digest of the weights of each fold."""
    paths = [folder / f"fold-{fold}/provenance.json" for fold in range(N_FOLDS)]
    return [read_json(path)["weights_sha256"] for path in paths]


def nested_runs(folder: Path) -> tuple[Run, list[Run]]:
    """Return the parent run of a workspace, and those nested in it by name."""
    runs = runs_in(local_client(folder))
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
    return parent, sorted(nested, key=lambda run: str(run.info.run_name))


@pytest.mark.slow
def test_one_command_trains_scores_and_evaluates_all_folds(folds: Path) -> None:
    said = (folds / "said.txt").read_text()
    for expected in (
        "fold 2 of 3: step 2/2",
        "all folds: less than a minute left",
        "fold 0: macro F1",
        "out of fold: macro F1",
        "ensemble on test: macro F1",
        "open models/reports/report.html",
    ):
        assert expected in said
    assignment = pd.read_csv(folds / "data/split/assignment.csv")
    val = Scores.read(folds / "models/scores/val.npz")
    assert list(val.ids) == list(assignment["Id"][assignment["fold"] >= 0])
    provenance = read_json(folds / "models/provenance.json")
    assert provenance["weights_sha256"].split() == weights(folds / "models")
    assert provenance["archives"] == {
        f"fold-{fold}/best.keras": sha256(folds / f"models/fold-{fold}/best.keras")
        for fold in range(N_FOLDS)
    }
    assert "train.fold" not in provenance["params"]
    card = (folds / "models/model_card.md").read_text()
    assert "ensemble of 3 networks" in card
    assert all(digest in card for digest in weights(folds / "models"))
    unchanged = {"data", "models", "params.yaml", "said.txt", "mlflow.db", "mlruns"}
    assert {path.name for path in folds.iterdir() if path.name[0] != "."} == unchanged


@pytest.mark.slow
def test_the_runs_of_the_folds_are_nested_in_one_that_has_the_results(folds: Path) -> None:
    parent, nested = nested_runs(folds)
    assert [run.info.run_name for run in nested] == [f"fold {k} of 3" for k in range(N_FOLDS)]
    assert {run.info.status for run in (parent, *nested)} == {"FINISHED"}
    assert [run.data.params["train.fold"] for run in nested] == ["0", "1", "2"]
    assert {run.data.tags["made_by"] for run in nested} == {f"folds of {parent.info.run_id[:8]}"}
    assert parent.data.tags["made_by"] == "pipeline"
    assert "train.fold" not in parent.data.params
    data = {each.dataset.name: each.dataset for each in parent.inputs.dataset_inputs}
    n_val = len(Scores.read(folds / "models/scores/val.npz").ids)
    assert json.loads(data["val images"].profile) == {"n_images": n_val}
    assert "train images" not in data
    metrics = read_json(folds / "models/metrics.json")
    assert metrics["run_id"] == parent.info.run_id
    assert parent.data.metrics["test/macro_f1"] == metrics["test/macro_f1"]
    finished = {tag for tag, value in parent.data.tags.items() if value == "finished"}
    assert finished == {f"stage.{s}" for s in ("folds", "score", "threshold", "evaluate")}
    (model,) = local_client(folds).search_logged_models(
        [parent.info.experiment_id], f"source_run_id = '{parent.info.run_id}'"
    )
    copies = sorted(Path(str(model.artifact_location).removeprefix("file://")).rglob("best.keras"))
    assert [path.parent.name for path in copies] == ["fold-0", "fold-1", "fold-2"]
    assert {path.stat().st_nlink for path in copies} == {2}, "shared with the runs of the folds"


@pytest.mark.slow
def test_the_folder_predicts_what_was_scored(folds: Path) -> None:
    test, index = Scores.read(folds / "models/scores/test.npz"), read_index(folds / "data/packed")
    rows = pd.Index(index["Id"]).get_indexer(test.ids)
    pixels = PackedImages(folds / "data/packed").read(rows)
    found = Classifier(folds / "models").probabilities(pixels, batch_size=len(rows))
    np.testing.assert_allclose(found, test.y_prob, rtol=1e-5)
    alone = Classifier(folds / "models")
    alone.networks = alone.networks[:1]
    assert np.abs(alone.probabilities(pixels, batch_size=8) - test.y_prob).max() > 1e-4


@pytest.mark.slow
def test_the_stages_by_hand_give_the_same_numbers(
    folds: Path, raw_world: Path, tmp_path: Path
) -> None:
    """As `dvc repro` runs them with score.models: models."""
    for name in ("data", "models"):
        (tmp_path / name).symlink_to(folds / name)
    own = {"fetch.path": str(raw_world), "score.models": "models"}
    write_params(tmp_path, **WHOLE, **own)
    for stage in ("score", "threshold", "explain", "evaluate"):
        done = run_script(tmp_path, stage)
        assert done.returncode == 0, done.stderr
    for name in ("val", "test"):
        one, other = (Scores.read(f / f"scores/{name}.npz") for f in (tmp_path, folds / "models"))
        assert one.y_prob.tobytes() == other.y_prob.tobytes()
    for mine, theirs in (
        ("reports/metrics.json", "models/metrics.json"),
        ("model/thresholds.json", "models/thresholds.json"),
    ):
        assert decided(tmp_path / mine) == decided(folds / theirs)


def decided(path: Path) -> dict[str, Any]:
    return {k: v for k, v in read_json(path).items() if k not in ("run_id", "origin")}


@pytest.mark.slow
def test_a_killed_command_resumes_to_the_same_bits(
    folds: Path, raw_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    """Killed in fold 1, whose training gets SIGTERM then and leaves a checkpoint."""
    workspace = make_workspace(
        tmp_path / "w", raw_world, packed_world, **{"train.checkpoint_every": 1}
    )
    command = [sys.executable, str(ROOT / "src/folds.py")]
    with subprocess.Popen(command, cwd=workspace, env=environment_of(workspace)) as process:
        deadline = time.monotonic() + 300
        while not list(workspace.glob("models/fold-1/.partial-*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    assert (workspace / "models/fold-0/provenance.json").is_file()
    incomplete = run_script(workspace, "score", "--models", "models")
    assert incomplete.returncode == 2
    assert "models is not complete: no fold-1, fold-2" in incomplete.stderr
    assert "python src/folds.py --output models" in incomplete.stderr
    while list(workspace.glob("models/fold-1/.partial-*")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    before = (workspace / "models/fold-0/best.keras").stat().st_mtime_ns
    done = run_script(workspace, "folds")
    assert done.returncode == 0, done.stderr
    assert "1 of 3 folds are trained" in done.stdout
    assert (workspace / "models/fold-0/best.keras").stat().st_mtime_ns == before
    assert weights(workspace / "models") == weights(folds / "models")
    one, other = (Scores.read(f / "models/scores/val.npz") for f in (workspace, folds))
    assert one.y_prob.tobytes() == other.y_prob.tobytes()
    parent, nested = nested_runs(workspace)
    assert parent.info.status == "FINISHED"
    assert [run.info.status for run in nested].count("FINISHED") == N_FOLDS

    shutil.rmtree(workspace / "models/fold-2")
    done = run_script(workspace, "predict", str(raw_world / "test"), "--model", "models")
    assert done.returncode == 2
    assert "no fold-2/best.keras" in done.stderr
    assert "python src/folds.py --output models" in done.stderr
    done = run_script(workspace, "folds", "--train.learning_rate", "0.004")
    assert done.returncode == 2
    assert "fold-0/best.keras was not trained as the parameters say now" in done.stderr
    assert "train.learning_rate: 0.002 there, 0.004 expected" in done.stderr


@pytest.mark.slow
def test_an_ensemble_is_promoted_and_served_like_one_model(
    folds: Path, raw_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = read_json(folds / "models/metrics.json")
    done = run_script(folds, "promote", metrics["run_id"])
    assert done.returncode == 0, done.stderr
    assert "version 1 is champion now" in done.stdout
    test = Scores.read(folds / "models/scores/test.npz")
    ids = [str(each) for each in test.ids[:2]]
    paths = [next((raw_world / "train").glob(f"{each}_green.png")) for each in ids]
    answers = tmp_path / "answers.csv"
    options = ("--model", "models:/hpa@champion", "--output", str(answers))
    done = run_script(folds, "predict", *map(str, paths), *options)
    assert done.returncode == 0, done.stderr
    with answers.open() as file:
        rows = [float(row["probability"]) for row in csv.DictReader(file)]
    shown = Classifier(folds / "models").thresholds.shown(test.y_prob[:2])
    np.testing.assert_allclose(np.reshape(rows, shown.shape), shown, atol=1e-5)

    store = f"sqlite:///{folds}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    mlflow.set_tracking_uri(store)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from serving import probabilities, served

    channels = ("red", "green", "blue", "yellow")
    files = [
        {name: (raw_world / f"train/{each}_{name}.png").read_bytes() for name in channels}
        for each in ids
    ]
    with served("models:/hpa@champion") as (port, _):
        found = probabilities(port, json.dumps(request(files)).encode())
    np.testing.assert_allclose(np.array(found), shown, atol=1e-5)


@pytest.mark.slow
def test_an_interrupted_command_ends_its_trainings_and_its_runs(
    raw_world: Path, packed_world: Path, tmp_path: Path
) -> None:
    """Below `mlflow run`, whose run is that of the ensemble."""
    workspace = make_workspace(
        tmp_path / "w", raw_world, packed_world, **{"train.n_steps": 100_000}
    )
    client = local_client(workspace)
    begun = client.create_run("0", tags={"mlflow.source.type": "PROJECT"}).info.run_id
    environment = environment_of(workspace) | {"MLFLOW_RUN_ID": begun}
    command = [sys.executable, str(ROOT / "src/folds.py"), "--workers", "2"]
    with subprocess.Popen(command, cwd=workspace, env=environment) as process:
        deadline = time.monotonic() + 300
        while len(list(workspace.glob("models/fold-*/.partial-*/best.keras"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(120) == 143
    parent, nested = client.get_run(begun), list(client.search_runs(["0"]))
    nested.remove(next(run for run in nested if run.info.run_id == begun))
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {begun}
    assert parent.info.status == "KILLED"
    assert [run.info.status for run in nested] == ["KILLED", "KILLED"]
    assert not list(workspace.glob("models/fold-*/best.keras"))


@pytest.mark.parametrize(
    ("arguments", "n_folds", "said"),
    [
        ([], 1, "set it to 5 in params.yaml, then run: python src/folds.py"),
        (["--n_folds", "5"], 1, "set it to 5 in params.yaml, then run: python src/folds.py"),
        (["--n_folds", "5"], 3, "received:   split.n_folds: 3, but 5 on the command line"),
        (["--n_folds", "1"], 3, "run it without --split.n_folds: python src/folds.py"),
        (["--workers", "0"], 3, "--workers takes 1 or more"),
        (["--fold", "2"], 3, "--train.fold does not apply: all folds are trained"),
        ([], 3, "data/split has another number of folds than params.yaml"),
        (["--output", "model"], 2, "--output model has the name of a folder of the pipeline"),
        (["--output", "params.yaml"], 2, "--output params.yaml is a file"),
    ],
)
def test_wrong_folds_are_refused_before_any_training(
    arguments: list[str], n_folds: int, said: str, tmp_path: Path
) -> None:
    """The images are split into two folds."""
    write_params(tmp_path, **{"fetch.source": "synthetic", "split.n_folds": n_folds})
    (tmp_path / "data/split").mkdir(parents=True)
    text = "Id,group,split,fold\na,0,val,0\nb,1,train,1\nc,2,test,-1\n"
    (tmp_path / "data/split/assignment.csv").write_text(text)
    done = run_script(tmp_path, "folds", *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
