"""Data sets and tables of a run: what MLflow's page and its search find."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml

from hpa.config.params import load_params
from hpa.tracking.lineage import split_datasets
from hpa.tracking.outbox import StoreUnavailableError
from hpa.tracking.run_calls import RunCalls
from hpa.tracking.runs_server import free_port, serve_runs
from hpa.tracking.stage_run import log_metrics, log_tables, outbox_dir, send_kept, stage_run
from support.paths import ROOT

PARAMS = load_params(ROOT / "params.yaml")
CLASSES = pd.DataFrame({"label": ["Cytosol", "Nucleoli"], "f1": [0.25, float("nan")]})


def program(language: str) -> str:
    """Return the example of docs/tracking.md in a language."""
    text = (ROOT / "docs/tracking.md").read_text().partition("## The same by program")[2]
    return text.partition(f"```{language}\n")[2].partition("```")[0]


def write_assignment(folder: Path, rows: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "assignment.csv").write_text(rows)
    return folder


def evaluate(tables: dict[str, pd.DataFrame]) -> str:
    with stage_run("evaluate", PARAMS, sections=("evaluate",)) as run_id:
        log_tables(tables, "evaluation")
    return run_id


def require_table(store: mlflow.MlflowClient, run_id: str) -> None:
    run = store.get_run(run_id)
    name = "evaluation/classes.json"
    found = store.load_table(run.info.experiment_id, name, run_ids=[run_id])
    pd.testing.assert_frame_equal(found, CLASSES)
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": name, "type": "table"}]


def test_mlflow_loads_a_logged_table_as_it_was(store: mlflow.MlflowClient) -> None:
    require_table(store, evaluate({"classes": CLASSES}))


def test_a_table_whose_response_was_lost_is_there_once_after_the_second_delivery(
    store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform = RunCalls.__call__

    def lose_the_response(self: RunCalls, call: dict[str, Any]) -> None:
        perform(self, call)
        if call["call"] == "tables":
            raise StoreUnavailableError("no response")

    with monkeypatch.context() as patch:
        patch.setattr(RunCalls, "__call__", lose_the_response)
        run_id = evaluate({"classes": CLASSES})
    assert list(outbox_dir().glob("*/files/*/classes.json"))  # its temporary file is gone
    send_kept()
    require_table(store, run_id)


def test_a_table_of_another_program_stays_on_the_page(store: mlflow.MlflowClient) -> None:
    with stage_run("evaluate", PARAMS, sections=("evaluate",)) as run_id:
        store.log_table(run_id, {"a": [1]}, "mine.json")
        log_tables({"classes": CLASSES}, "evaluation")
    named = json.loads(store.get_run(run_id).data.tags["mlflow.loggedArtifacts"])
    assert [each["path"] for each in named] == ["mine.json", "evaluation/classes.json"]


def test_runs_are_found_by_the_images_of_their_test_split(
    store: mlflow.MlflowClient, shared_root: Path
) -> None:
    folder = shared_root / "data" / "split"
    write_assignment(folder, "Id,group,split\na,0,train\nb,1,train\nc,2,val\nd,3,test\n")
    run_id = evaluate({})
    inputs = store.get_run(run_id).inputs.dataset_inputs
    found = {each.dataset.name: each for each in inputs}
    assert {
        name: (json.loads(each.dataset.profile)["n_images"], each.tags[0].value)
        for name, each in found.items()
    } == {
        "train images": (2, "train"),
        "val images": (1, "validation"),
        "test images": (1, "test"),
    }
    test_digest = found["test images"].dataset.digest
    for condition, n in ((f"= '{test_digest}'", 1), ("= 'another'", 0)):
        query = f"dataset.name = 'test images' AND dataset.digest {condition}"
        runs = store.search_runs([store.get_run(run_id).info.experiment_id], query)
        assert [run.info.run_id for run in runs] == [run_id][:n]


def test_a_later_stage_adds_the_splits_that_an_earlier_one_did_not_find(
    store: mlflow.MlflowClient, shared_root: Path
) -> None:
    shutil.rmtree(shared_root / "data", ignore_errors=True)
    lock = {"stages": {"fetch": {"outs": [{"path": "data/raw", "md5": "5eed.dir"}]}}}
    (shared_root / "dvc.lock").write_text(yaml.safe_dump(lock))
    with stage_run("threshold", PARAMS, sections=()) as run_id:
        pass
    write_assignment(shared_root / "data/split", "Id,group,split\na,0,train\nd,3,test\n")
    for stage in ("explain", "evaluate"):
        with stage_run(stage, PARAMS, sections=(), upstream=run_id) as joined:
            assert joined == run_id
    (shared_root / "dvc.lock").unlink()
    inputs = store.get_run(run_id).inputs.dataset_inputs
    assert [each.dataset.name for each in inputs] == ["data/raw", "test images", "train images"]


def digests(folder: Path, rows: str, fold: int = 0) -> dict[str, str]:
    datasets = split_datasets(write_assignment(folder, rows), fold)
    return {each["name"]: each["digest"] for each in datasets}


def test_a_split_has_the_same_digest_exactly_if_it_has_the_same_images(tmp_path: Path) -> None:
    first = digests(tmp_path, "Id,group,split\na,0,train\nc,2,val\nd,3,test\n")
    shuffled = digests(tmp_path, "Id,group,split\nd,0,test\nc,1,val\na,2,train\n")
    assert shuffled == first
    other = digests(tmp_path, "Id,group,split\na,0,train\nc,2,val\ne,3,test\n")
    assert other["train images"] == first["train images"]
    assert other["test images"] != first["test images"]
    assert all(0 < len(digest) <= 36 for digest in first.values())  # MLflow's limit


def test_each_fold_has_its_own_val_images_and_a_holdout_its_own_data_set(tmp_path: Path) -> None:
    rows = "Id,group,split,fold\na,0,val,0\nb,1,train,1\nc,2,test,-1\nd,3,holdout,-1\n"
    first, second = digests(tmp_path, rows, 0), digests(tmp_path, rows, 1)
    assert first.keys() == {f"{name} images" for name in ("train", "val", "test", "holdout")}
    assert first["val images"] == second["train images"] != second["val images"]
    assert first["test images"] == second["test images"]


@pytest.mark.parametrize("rows", [None, "", "Id\na\n", "\xff\xfe", 'Id,split\n"a,test'])
def test_a_damaged_assignment_stops_no_tracking(tmp_path: Path, rows: str | None) -> None:
    if rows is not None:
        (tmp_path / "assignment.csv").write_bytes(rows.encode("latin-1"))
    assert split_datasets(tmp_path, 0) == []


def judged_run(macro_f1: float) -> str:
    with stage_run("evaluate", PARAMS, sections=("evaluate", "loss")) as run_id:
        log_metrics({"test/macro_f1": macro_f1})
        log_tables({"classes": CLASSES.assign(f1=[macro_f1, 0.5])}, "evaluation")
    return run_id


@pytest.mark.slow
def test_the_documented_program_prints_f1_of_each_class_of_the_best_runs(
    store: mlflow.MlflowClient,
) -> None:
    worst, better, best = (judged_run(macro_f1) for macro_f1 in (0.125, 0.875, 0.9375))
    command = [sys.executable, "-c", program("python")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ranking, _, classes = said.partition("\nrun_id ")
    assert ranking.index(best) < ranking.index(better) < ranking.index(worst)
    names, _, cytosol, _ = classes.strip().splitlines()
    f1 = dict(zip(names.split(), map(float, cytosol.split()[1:]), strict=True))
    assert f1 == {best: 0.9375, better: 0.875}


@pytest.mark.slow
def test_the_documented_requests_return_metrics_and_classes_of_a_run(
    store: mlflow.MlflowClient, shared_root: Path
) -> None:
    run_id = judged_run(0.96875)
    with serve_runs(f"sqlite:///{shared_root}/mlflow.db", free_port(None)) as (url, _):
        commands = program("sh").replace("http://127.0.0.1:5000", url).replace("RUN_ID", run_id)
        search, table = commands.strip().replace("\\\n", "").split("\n")
        said = subprocess.run(["bash", "-c", search], capture_output=True, text=True, check=True)
        found = json.loads(said.stdout)["runs"][0]
        said = subprocess.run(["bash", "-c", table], capture_output=True, text=True, check=True)
    assert found["info"]["run_id"] == run_id
    assert {"key": "test/macro_f1", "value": 0.96875}.items() <= found["data"]["metrics"][0].items()
    assert [row[:2] for row in json.loads(said.stdout)["data"]] == [
        ["Cytosol", 0.96875],
        ["Nucleoli", 0.5],
    ]
