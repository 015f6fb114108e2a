"""Table of classes: test metrics, threshold and its evidence, quality flags."""

import numpy as np
import pandas as pd

from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.metrics.bootstrap import Replicates, interval
from hpa.metrics.counts import Counts, count_outcomes
from hpa.metrics.curves import average_precision, roc_auc
from hpa.metrics.f1 import best_constant_prediction, f1, precision, recall
from hpa.thresholds.decisions import Thresholds

WEAK = "test: not clearly better than a constant prediction"


def class_table(
    val_true: np.ndarray,
    val_pred: np.ndarray,
    test: EvaluatedSplit,
    thresholds: Thresholds,
    replicates: Replicates,
    min_support: int,
) -> pd.DataFrame:
    """Return one row per label: test metrics, then the fit set of the threshold, then flags.

    `note` is "" if val and test hold enough evidence, whatever the result; `flags` is "" if the
    result is also good: these are the labels that every output trusts. Ratios are 0.0 for 0/0;
    areas and intervals are NaN for a class without positives in test.
    """
    val_counts = count_outcomes(val_true, val_pred)
    counts = count_outcomes(test.y_true, test.y_pred)
    scores = f1(counts)
    intervals = np.array(list(map(interval, scores, replicates.by_class.T)))
    intervals[counts.support == 0] = np.nan
    constant_f1 = f1(constant_counts(val_true, test.y_true))
    notes = [
        _note(*row, min_support)
        for row in zip(thresholds.flags, val_counts.support, counts.support, strict=True)
    ]
    beats_constant = intervals[:, 0] > constant_f1  # False without an interval
    return pd.DataFrame(
        {
            "label": thresholds.labels.names,
            "support": counts.support,
            "predicted": counts.predicted,
            "precision": precision(counts),
            "recall": recall(counts),
            "f1": scores,
            "f1_low": intervals[:, 0],
            "f1_high": intervals[:, 1],
            "average_precision": average_precision(test.y_true, test.y_prob),
            "roc_auc": roc_auc(test.y_true, test.y_prob),
            "constant_f1": constant_f1,
            "threshold": thresholds.shown_values,
            "rule": thresholds.rule,
            "val_support": val_counts.support,
            "val_f1": f1(val_counts),
            "val_f1_cross_fitted": thresholds.cross_fitted_f1,
            "note": notes,
            "flags": [
                note or ("" if better else WEAK)
                for note, better in zip(notes, beats_constant, strict=True)
            ],
        }
    )


def constant_counts(val_true: np.ndarray, test_true: np.ndarray) -> Counts:
    """Count the outcomes on test of the best constant prediction, chosen on val."""
    constant = np.broadcast_to(best_constant_prediction(val_true), test_true.shape)
    return count_outcomes(test_true, constant)


def _note(val_flags: tuple[str, ...], val_support: int, test_support: int, minimum: int) -> str:
    """Join the flags of the threshold with those of too little support, "" without any."""
    notes = [f"val: {flag}" for flag in val_flags]
    if 0 < val_support < minimum and not any("positives" in flag for flag in val_flags):
        notes.append(f"val: fewer than {minimum} positives")
    if test_support == 0:
        notes.append("test: no positives")
    elif test_support < minimum:
        notes.append(f"test: fewer than {minimum} positives")
    return "; ".join(notes)
