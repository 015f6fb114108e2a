"""Workspaces for studies: the tiny world, packed and split, and small parameters."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.entities import Run

from hpa.config.params import Params, load_params
from hpa.data.packed.packed_images import read_index
from hpa.data.splits.splitting import write_split
from hpa.vocabulary.hpa2018 import LABELS
from support.paths import ROOT

SMALL = {
    "pack.image_size": 32,
    "pack.shard_rows": 16,
    "train.n_steps": 4,
    "train.validate_every": 2,
    "train.batch_size": 4,
    "evaluate.n_bootstrap": 100,
    "search.n_trials": 4,
    "search.n_startup_trials": 2,
    "search.trial_steps": 4,
    "search.trial_rounds": 2,
    "search.n_seeds": 2,
}


def make_workspace(folder: Path, packed_dir: Path) -> Path:
    """Prepare data/packed and data/split: 16 images for train, 16 for val, the rest for test."""
    index = read_index(packed_dir)
    split = np.repeat(["train", "val", "test"], [16, 16, len(index) - 32])
    split[~index["labelled"]] = "unlabelled"
    assignment = pd.DataFrame({"Id": index["Id"], "group": index.index, "split": split})
    (folder / "data").mkdir(parents=True)
    (folder / "data/packed").symlink_to(packed_dir)
    write_split(folder / "data/split", index, LABELS, assignment)
    write_params(folder)
    return folder


def write_params(folder: Path, **more: Any) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in (SMALL | more).items():
        section, _, name = key.partition(".")
        document[section][name] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(document))


def small_params(**more: Any) -> Params:
    return load_params(ROOT / "params.yaml", {**SMALL, **more})


def runs_in(client: mlflow.MlflowClient, experiment: str = "hpa") -> list[Run]:
    """Return the runs of an experiment by its name; none if there is no such experiment."""
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def local_client(workspace: Path) -> mlflow.MlflowClient:
    """Return a client of the store that scripts in a workspace log to."""
    return mlflow.MlflowClient(f"sqlite:///{workspace}/mlflow.db")


def require_one_parent(client: mlflow.MlflowClient, n_trials: int, experiment: str = "hpa") -> Run:
    """Require one finished run of the search, with all other runs nested in it; return it."""
    runs = runs_in(client, experiment)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in runs if run is not parent]
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
    assert {run.info.status for run in nested} <= {"FINISHED", "KILLED"}
    of_study = [run for run in nested if run.data.tags["optuna.study"] == "hpa"]
    assert len(of_study) == n_trials
    names = {each.path for each in client.list_artifacts(parent.info.run_id, "search")}
    assert names == {"search/best.yaml", "search/report.html"}
    return parent
