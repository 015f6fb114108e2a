"""Holdout predictions: written for promotion, by the thresholds of the model, shown nowhere."""

from pathlib import Path

import numpy as np
import pandas as pd

from hpa.evaluation.holdout import HOLDOUT_FILE, holdout_predictions
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.metrics.predictions import Scores
from hpa.thresholds.decisions import decide
from hpa.thresholds.fitting import fit_by_rule
from hpa.vocabulary import hpa2018

N_LABELS = len(hpa2018.LABELS)

RANDOM = np.random.default_rng(0)
Y_TRUE = (RANDOM.random((20, N_LABELS)) < 0.3).astype(np.uint8)
Y_PROB = RANDOM.random(Y_TRUE.shape).astype(np.float32)
IDS = np.array([f"cell-{row}" for row in range(20)])
THRESHOLDS = fit_by_rule("sweep", Y_TRUE, Y_PROB, hpa2018.LABELS, fixed=0.5, seed=0)
TEST = EvaluatedSplit(IDS, np.arange(20), Y_TRUE, Y_PROB, Y_TRUE, hpa2018.LABELS, "run7")


def test_holdout_scores_become_predictions_with_their_groups(tmp_path: Path) -> None:
    ids = np.array([f"holdout-{row}" for row in range(20)])
    Scores(ids, Y_TRUE, Y_PROB, hpa2018.LABELS).write(tmp_path / "holdout.npz")
    facts = pd.DataFrame({"group": np.arange(20) // 2}, index=ids)
    found = holdout_predictions(tmp_path / "holdout.npz", THRESHOLDS, facts, TEST)
    found.write(tmp_path / HOLDOUT_FILE)
    again = EvaluatedSplit.read(tmp_path / HOLDOUT_FILE)
    assert again.ids.tolist() == ids.tolist()
    assert again.groups.tolist() == (np.arange(20) // 2).tolist()
    np.testing.assert_array_equal(again.y_pred, decide(THRESHOLDS, Y_PROB))
    assert again.run_id == "run7"


def test_without_a_holdout_the_file_has_no_rows_and_can_be_read(tmp_path: Path) -> None:
    found = holdout_predictions(tmp_path / "absent.npz", THRESHOLDS, pd.DataFrame(), TEST)
    found.write(tmp_path / HOLDOUT_FILE)
    assert len(EvaluatedSplit.read(tmp_path / HOLDOUT_FILE)) == 0
