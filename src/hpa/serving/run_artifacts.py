"""Collect and verify the model of a finished run, without executing its code."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hpa.errors import UserError
from hpa.evaluation.holdout import HOLDOUT_FILE, IMAGES_FILE
from hpa.evaluation.test_predictions import FILE_NAME, EvaluatedSplit
from hpa.inference.classifier import CLASS_FLAGS, Classifier
from hpa.inference.models import BEST, FILES
from hpa.metrics.origins import networks_of, require_same_origin, require_same_vocabulary
from hpa.thresholds.thresholds_file import read_thresholds
from hpa.tracking.logged_models import download, download_model_folder, has_model
from hpa.tracking.mlflow_store import PastRun, past_run

REPORTS = (FILE_NAME, "metrics.json", "model_card.html", "model_card.md")
"""Outputs of the evaluate stage that are registered with the model."""
FOR_PROMOTION = (HOLDOUT_FILE, IMAGES_FILE)
"""Further outputs, which runs of earlier versions lack."""


def finished_run(run_id: str) -> PastRun:
    """Look up a run that evaluated what would be served: a network, or an ensemble that it logged.

    Raises:
        UserError: the run does not exist, is not finished, or evaluated something else.
    """
    run = past_run(run_id)
    if run.status != "FINISHED":
        raise UserError(
            f"run {run.run_id} is not finished",
            expected="a run whose status is FINISHED",
            received=run.status,
            remedy="wait until it ends, or name another run: make ui lists them",
        )
    scored = run.params.get("score.models", "")
    if Path(scored).name != BEST and not has_model(run.run_id):
        raise UserError(
            f"run {run.run_id} did not evaluate one network's best weights, nor an ensemble",
            expected=f"score.models ending in {BEST}, or a folder that python src/folds.py made",
            received=scored or "a run without the score stage",
            remedy="run score, threshold and evaluate for that network alone; or promote the run "
            "of python src/folds.py",
        )
    return run


def collect(run: PastRun, folder: Path) -> Path:
    """Download the model folder of a run, its model card and its test predictions.

    They are those of the run's model in MLflow. A run of an earlier version has the files, and one
    that only chose other thresholds takes its network from its upstream run.

    Raises:
        UserError: a file is missing in these runs.
    """
    with TemporaryDirectory(prefix="hpa-collect-", dir=folder.parent) as name:
        if logged := download_model_folder(run.run_id, Path(name)):
            return logged.rename(folder)
        folder.mkdir(parents=True)
        for artifact in [f"model/{each}" for each in (*FILES, CLASS_FLAGS)]:
            _fetch(artifact, list(_with_upstream(run)), Path(name), folder)
        for artifact in [f"reports/{each}" for each in REPORTS]:
            _fetch(artifact, [run], Path(name), folder)
        for report in FOR_PROMOTION:
            if found := download(run.run_id, f"reports/{report}", Path(name)):
                shutil.move(found, folder / report)
    return folder


def check_model(folder: Path) -> None:
    """Load a model folder, verify its digests, and predict once.

    Raises:
        UserError: it is damaged, not what was trained or evaluated, or predicts NaN.
    """
    classifier = Classifier(folder)
    _require_own_predictions(folder, classifier)
    shape = classifier.networks[0].input_shape[1:]
    pixels = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    if not np.isfinite(classifier.probabilities(pixels, batch_size=1)).all():
        raise UserError(
            f"the model in {folder} predicts NaN",
            expected=f"{len(classifier.vocabulary.labels)} probabilities",
            received="NaN",
            remedy="its training diverged: promote another run",
        )


def _require_own_predictions(folder: Path, classifier: Classifier) -> None:
    """Refuse test predictions of another network or other thresholds than those in the folder."""
    _, beside = read_thresholds(folder / "thresholds.json")
    networks = networks_of(BEST, classifier.origin)
    for name in (FILE_NAME, HOLDOUT_FILE):
        if (folder / name).is_file():
            found = EvaluatedSplit.read(folder / name)
            names = ("the model and its thresholds", name)
            remedy = "evaluate this model with them (dvc repro), then promote that run"
            own = replace(beside["origin"], networks=networks)
            require_same_origin(own, found.origin, names=names, remedy=remedy)
            labels = classifier.vocabulary.labels
            require_same_vocabulary(labels, found.labels, names=names, remedy=remedy)


def _with_upstream(run: PastRun) -> Iterator[PastRun]:
    """Yield a run and its upstream runs, the nearest first."""
    seen: set[str] = set()
    while run.run_id not in seen:
        seen.add(run.run_id)
        yield run
        if not (upstream := run.tags.get("upstream_run_id")):
            return
        run = past_run(upstream)


def _fetch(artifact: str, runs: list[PastRun], temporary: Path, folder: Path) -> None:
    for run in runs:
        if found := download(run.run_id, artifact, temporary):
            shutil.move(found, folder / Path(artifact).name)
            return
    raise UserError(
        f"run {runs[0].run_id} has no {artifact}",
        expected="a run with finished stages train, score, threshold and evaluate",
        received=f"not in {', '.join(run.run_id for run in runs)}",
        remedy="finish it with dvc repro, or name another run: make ui lists them",
    )
