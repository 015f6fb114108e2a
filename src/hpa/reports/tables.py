"""Tables for MLflow's evaluation view and DVC's plots."""

import numpy as np
import pandas as pd

from hpa.evaluation.report_data import Evaluation
from hpa.metrics.curves import precision_recall
from hpa.metrics.ranking import rank_scores
from hpa.reports.heatmaps import most_paired, pair_shares

FIRST = ["label", "f1", "f1_low", "f1_high", "support", "precision", "recall"]
"""Columns that come first: MLflow's page opens on the second, one row per value of the first."""
RECALLS = np.linspace(0.05, 1.0, 20)


def logged_tables(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """Return the tables that MLflow's page compares between runs, by name, with four decimals.

    `classes` is the table of the report; `precision_recall` has the curves (see
    `precision_recall_table`); `calibration` the reliability bins of each method.
    """
    classes = evaluation.classes
    tables = {
        "classes": classes[[*FIRST, *classes.columns.difference(FIRST, sort=False)]],
        "precision_recall": precision_recall_table(evaluation),
        "calibration": evaluation.reliability,
    }
    return {name: table.round(4) for name, table in tables.items()}


def precision_recall_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return `label`, `precision` on test and `recall` (0.05 to 1.0) of classes with positives.

    `precision` is that of the highest cut whose recall is at least as high.
    """
    test, rows = evaluation.test, []
    labels, ranking = test.labels.names, rank_scores(test.y_true, test.y_prob)
    for index in np.flatnonzero(ranking.support):
        recall, precision = precision_recall(ranking, int(index))
        cuts = np.searchsorted(recall, RECALLS - 1e-9)
        rows += [
            {"label": labels[index], "precision": value, "recall": round(float(wanted), 2)}
            for wanted, value in zip(RECALLS, precision[cuts], strict=True)
        ]
    return pd.DataFrame(rows, columns=["label", "precision", "recall"])


def false_prediction_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return `true_label`, `predicted_label` and `percent` of false positives, a row per cell.

    It has the numbers of the heatmap `false_predictions.png`: NaN on the diagonal, and no rows of
    labels that no test image carries; of many labels, those that are confused most.
    """
    test, labels = evaluation.test, evaluation.test.labels.names
    shares, support = pair_shares(test.y_true, test.y_pred > test.y_true)
    chosen = most_paired(shares, support)
    percent = 100 * shares[np.ix_(chosen, chosen)]
    np.fill_diagonal(percent, np.nan)
    rows, columns = np.nonzero(np.broadcast_to(support[chosen, None] > 0, percent.shape))
    return pd.DataFrame(
        {
            "true_label": [labels[column] for column in chosen[rows]],
            "predicted_label": [labels[column] for column in chosen[columns]],
            "percent": percent[rows, columns],
        }
    )
