"""Finished runs with all artifacts that promotion needs."""

import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from hpa.config.sections import Serve
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.system.files import write_json
from hpa.thresholds.thresholds_file import read_thresholds
from hpa.tracking.logged_models import finish_model, log_model_files
from hpa.tracking.mlflow_store import open_store
from hpa.tracking.model_files import MODEL, save_model
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import HPA_2018
from hpa.vocabulary.labels import Labels
from support.model_folders import write_model_folder

N_IMAGES = 280
ORIGIN = {
    "git.commit": "0f" * 20,
    "data.source": "synthetic",
    "dvc.data/packed": "ab" * 16,
    "mlflow.user": "ada",
    "process": "host 1 2",
}


def make_test_predictions(skill: float, model_dir: Path, *, first_id: int = 0) -> EvaluatedSplit:
    """Return predictions of 280 images, ten per class of 28: a share `skill` is correct."""
    thresholds, _ = read_thresholds(model_dir / "thresholds.json")
    n = len(thresholds.labels)
    y_true = (np.arange(n) == np.arange(N_IMAGES)[:, None] % n).astype(np.uint8)
    right = np.random.default_rng(0).random(y_true.shape) < skill
    y_pred = np.where(right, y_true, 0).astype(np.uint8)
    values = thresholds.values.astype(np.float32)
    y_prob = np.where(y_pred == 1, (1 + values) / 2, values / 2).astype(np.float32)
    ids = np.array([f"cell-{row + first_id:04d}" for row in range(N_IMAGES)])
    return EvaluatedSplit(ids, np.arange(N_IMAGES), y_true, y_prob, y_pred, thresholds.labels, "r")


def make_run(
    folder: Path,
    skill: float | EvaluatedSplit,
    *,
    status: str | None = "FINISHED",
    params: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    tags: dict[str, str] | None = None,
    holdout: EvaluatedSplit | None = None,
    vocabulary: Vocabulary = HPA_2018,
) -> str:
    """Log a finished run with a small network and test predictions of some skill."""
    model_dir, reports = folder / "model", folder / "reports"
    if not model_dir.is_dir():
        write_model_folder(model_dir, vocabulary)
        flags = class_flags(vocabulary.labels)
        write_json(model_dir / "class_flags.json", {"run_id": "r", "classes": flags})
    shutil.rmtree(reports, ignore_errors=True)
    if not isinstance(skill, EvaluatedSplit):
        skill = make_test_predictions(skill, model_dir)
    skill.write(reports / "test_predictions.npz")
    if holdout is not None:
        holdout.write(reports / "holdout_predictions.npz")
    write_json(reports / "metrics.json", {"run_id": "r"})
    for suffix in ("md", "html"):
        (reports / f"model_card.{suffix}").write_text("# Model card")
    client = open_store()
    run_id: str = client.create_run("0", tags=tags or {}).info.run_id
    for key, value in ({"score.models": "model/best.keras"} | (params or {})).items():
        client.log_param(run_id, key, value)
    for part in (model_dir, reports):
        for path in part.iterdir():
            if f"{part.name}/{path.name}" not in without:
                client.log_artifact(run_id, str(path), part.name)
    if status:
        client.set_terminated(run_id, status)
    return run_id


def make_logged_run(folder: Path, skill: float, serve: Serve) -> str:
    """Log a finished run whose model is in MLflow, as the train and evaluate stages log it."""
    run_id = make_run(folder, skill, status=None, without=("model/best.keras",), tags=ORIGIN)
    store, served, files = open_store(), folder / "mlflow", folder / "files" / MODEL
    for path in (folder / "model", folder / "reports"):
        shutil.copytree(path, files, dirs_exist_ok=True)
    (files / "best.keras").unlink()
    shutil.rmtree(served, ignore_errors=True)
    save_model(served, files, serve)
    store.log_metric(run_id, "test/macro_f1", skill)
    for end, value in (("low", skill - 0.05), ("high", skill + 0.05)):
        store.log_metric(run_id, f"test/macro_f1_{end}", value)
    log_model_files(store, run_id, paths=[str(each) for each in served.iterdir()])
    weights = str(folder / "model" / "best.keras")
    finish_model(store, run_id, paths=[weights], card="# Model card")
    store.set_terminated(run_id)
    return run_id


def class_flags(labels: Labels = HPA_2018.labels) -> dict[str, str]:
    """Flag the last class of the first three."""
    flagged = labels.names[:3][-1]
    return dict.fromkeys(labels.names, "") | {flagged: "test: fewer than 10 positives"}


def client() -> mlflow.MlflowClient:
    return open_store()
