"""Tables for MLflow's evaluation view and DVC's plots."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hpa.config.params import load_params
from hpa.evaluation.report_data import Evaluation, evaluate_splits
from hpa.metrics.predictions import Scores
from hpa.reports.tables import false_prediction_table, logged_tables, precision_recall_table
from hpa.thresholds.fitting import fit_by_rule
from hpa.vocabulary import hpa2018
from support.paths import ROOT

LABELS = hpa2018.LABELS.names
N_LABELS = len(LABELS)

N_ROWS = 4
SETTINGS = replace(load_params(ROOT / "params.yaml").evaluate, n_bootstrap=20)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Four test images of the first two labels; see the tests for what is predicted."""
    y_true = np.zeros((N_ROWS, N_LABELS), np.uint8)
    y_true[:3, 0] = y_true[3, 1] = 1
    y_prob = np.full((N_ROWS, N_LABELS), 0.1, np.float32)
    y_prob[:, 0] = (0.9, 0.7, 0.2, 0.8)
    y_prob[0, 1] = 0.6
    val, test = (
        Scores(np.array([f"{name}-{row}" for row in range(N_ROWS)]), y_true, y_prob, hpa2018.LABELS)
        for name in ("val", "test")
    )
    ids = np.concatenate([val.ids, test.ids])
    facts = pd.DataFrame({"group": range(len(ids)), "brightness": 1.0}, index=ids)
    thresholds = fit_by_rule("fixed", y_true, y_prob, hpa2018.LABELS, fixed=0.5, seed=0)
    return evaluate_splits(val, test, thresholds, facts, SETTINGS)


def test_curves_give_the_precision_at_each_twentieth_of_recall(evaluation: Evaluation) -> None:
    table = precision_recall_table(evaluation)
    assert list(table["label"].unique()) == list(LABELS[:2])  # the others have no positives
    curve = table[table["label"] == LABELS[0]].set_index("recall")["precision"]
    # By falling score: true, false, true, true.
    # Recall: 1/3, 1/3, 2/3, 1; precision: 1, 1/2, 2/3, 3/4.
    assert list(curve.index) == [round(0.05 * step, 2) for step in range(1, 21)]
    assert list(curve[[0.05, 0.3]]) == [1, 1]
    assert list(curve[[0.35, 0.65, 0.7, 1.0]]) == pytest.approx([2 / 3, 2 / 3, 3 / 4, 3 / 4])


def test_false_predictions_are_percentages_of_the_images_with_the_true_label(
    evaluation: Evaluation,
) -> None:
    table = false_prediction_table(evaluation)
    cells = table.set_index(["true_label", "predicted_label"])["percent"]
    assert len(cells) == 2 * N_LABELS  # two labels have images
    assert cells[cells.isna()].index.to_list() == [
        (LABELS[0],) * 2,
        (LABELS[1],) * 2,
    ]
    wrong = cells[cells > 0]
    # Label 1 is falsely predicted for 1 of 3 images with label 0; label 0 for the only one with 1.
    assert wrong.to_dict() == {
        (LABELS[0], LABELS[1]): pytest.approx(100 / 3),
        (LABELS[1], LABELS[0]): 100.0,
    }


def test_logged_tables_hold_all_classes_and_the_curves(evaluation: Evaluation) -> None:
    tables = logged_tables(evaluation)
    assert list(tables["classes"]["label"]) == list(LABELS)
    assert list(tables["classes"])[:2] == ["label", "f1"]  # on these MLflow's page opens
    assert set(tables["classes"]) == set(evaluation.classes)
    assert tables["classes"].loc[1, "f1_high"] == round(evaluation.classes.loc[1, "f1_high"], 4)
    assert set(tables["calibration"]["method"]) == {"none", "temperature", "platt"}
    assert len(tables["precision_recall"]) == 40
