"""Report, predict, pyfunc, server and page give one image the same probabilities and labels."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from starlette.testclient import TestClient

from hpa.app.server import make_app
from hpa.app.views import Views
from hpa.config.params import load_params
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.inference.classifier import Classifier
from hpa.system.files import read_json
from hpa.thresholds.thresholds_file import read_thresholds
from hpa.tracking.model_files import request
from hpa.tracking.registered_models import model_folder
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.clones import ROOT
from support.scripts import environment_of, run_script
from support.worlds import IDS

pytestmark = pytest.mark.slow
SMALL = {
    "fetch": {"source": "local"},
    "pack": {"image_size": 64},
    "split": {"test_fraction": 0.2, "val_fraction": 0.2},
    "train": {"n_steps": 3, "validate_every": 2, "batch_size": 8},
    "evaluate": {"n_bootstrap": 100},
    "promote": {"n_draws": 100},
}


@pytest.fixture(scope="module")
def trained(raw_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the stages up to train ran."""
    folder = tmp_path_factory.mktemp("trained")
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in SMALL.items():
        document[section] |= values
    document["fetch"]["path"] = str(raw_world)
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    run_all(folder, "fetch", "pack", "split", "train")
    return folder


def run_all(folder: Path, *stages: str) -> None:
    for stage in stages:
        done = run_script(folder, stage)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module", params=["none", "dihedral"])
def champion(
    request: pytest.FixtureRequest, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a whole run, its model champion; scored by one view, or by eight.

    No label reaches its threshold, so each image gets its most probable one.
    """
    folder = tmp_path_factory.mktemp("champion") / request.param
    shutil.copytree(trained, folder)
    document = yaml.safe_load((folder / "params.yaml").read_text())
    document["score"]["augmentation"] = request.param
    document["threshold"] |= {"rule": "fixed", "fixed": 0.999, "fill_empty": True}
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    run_all(folder, "score", "threshold", "explain", "evaluate")
    done = run_script(folder, "promote", read_json(folder / "reports/metrics.json")["run_id"])
    assert done.returncode == 0, done.stderr
    return folder


def test_the_same_image_gets_the_same_probabilities_and_labels_everywhere(
    champion: Path, raw_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated = EvaluatedSplit.read(champion / "reports/test_predictions.npz")
    thresholds, _ = read_thresholds(champion / "model/thresholds.json")
    scores = thresholds.shown(evaluated.y_prob)
    assert evaluated.y_pred.sum(axis=1).tolist() == [1] * len(evaluated)
    ids = [str(each) for each in evaluated.ids[:3]]
    labels = [[LABELS.names[row.argmax()]] for row in evaluated.y_pred[:3]]
    assert set(ids) <= set(IDS)
    files = {each: {c: raw_world / f"train/{each}_{c}.png" for c in CHANNELS.names} for each in ids}

    for model in ("model", "models:/hpa@champion"):
        paths = [str(path) for each in files.values() for path in each.values()]
        done = run_script(champion, "predict", *paths, "--model", model, "--output", "answers.csv")
        assert done.returncode == 0, done.stderr
        with (champion / "answers.csv").open() as file:
            rows = list(csv.DictReader(file))
        told = {each: [] for each in ids}
        found = {each: [] for each in ids}
        for row in rows:
            told[row["image"]].append(float(row["probability"]))
            found[row["image"]] += [row["label"]] if row["present"] == "1" else []
        assert_equal([told[each] for each in ids], scores)
        assert list(found.values()) == labels

    store = f"sqlite:///{champion}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    mlflow.set_tracking_uri(store)  # what an earlier test of this process set would go before
    body = request([{c: path.read_bytes() for c, path in files[each].items()} for each in ids])
    table = pd.DataFrame(body["dataframe_records"])
    model = mlflow.pyfunc.load_model("models:/hpa@champion")
    served = model.predict(table)
    assert_equal([list(each["probabilities"].values()) for each in served], scores)
    assert [each["labels"] for each in served] == labels

    params = load_params(champion / "params.yaml")
    with model_folder("models:/hpa@champion") as folder:
        views = Views(Classifier(folder), params.serve, params.app)
    form = [
        (channel, (f"{each}_{channel}.png", path.read_bytes()))
        for each in ids
        for channel, path in files[each].items()
    ]
    with TestClient(make_app(views, [], None), base_url="http://127.0.0.1:8000") as page:
        answers = page.post("/api/predictions", files=form).json()["predictions"]
    told = {each["image"]: [row["probability"] for row in each["classes"]] for each in answers}
    assert_equal([told[each] for each in ids], scores)
    named = {each["image"]: each["labels"] for each in answers}
    assert [named[each] for each in ids] == labels

    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from serving import probabilities, served
    finally:
        sys.path.pop(0)
    with served("models:/hpa@champion") as (port, _):
        assert_equal(probabilities(port, json.dumps(body).encode()), scores)


def assert_equal(found: object, shown: np.ndarray) -> None:
    found = np.array(found)
    assert found.shape[1] == len(LABELS)
    np.testing.assert_allclose(found, shown[: len(found)], atol=1e-5)


@pytest.mark.parametrize("champion", ["dihedral"], indirect=True)
def test_the_server_holds_under_load_and_attack(champion: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/serving.py"), "--image-size", "64"]
    done = subprocess.run(
        [*command, "--requests", "40", "--malformed", "200"],
        env=environment_of(champion),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "200 malformed requests: 400:" in done.stdout
    assert "all checks passed" in done.stdout
