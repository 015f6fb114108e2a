"""Headline metrics of test and val, with bootstrap intervals, for metrics.json and MLflow."""

import numpy as np
import pandas as pd

from hpa.evaluation.class_table import constant_counts
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.metrics.bootstrap import Replicates, interval
from hpa.metrics.calibration import log_loss, reliability
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import f1_by_row, macro_f1, micro_f1, precision, recall, weighted_f1
from hpa.thresholds.decisions import Thresholds

HEADLINES = ("macro", "micro", "weighted", "sample")


def f1_name(n_classes: int) -> str:
    """Return the name of macro F1 in texts: of a single class, it is not a mean."""
    return "macro F1" if n_classes > 1 else "F1"


def headline_metrics(
    test: EvaluatedSplit,
    val_true: np.ndarray,
    val_pred: np.ndarray,
    thresholds: Thresholds,
    replicates: Replicates,
    classes: pd.DataFrame,
) -> dict[str, float]:
    """Return `<split>/<metric>` to number; a metric that is undefined is left out.

    MLflow's pages open on the first metric of the alphabet, which is `test/macro_f1`.
    """
    val_counts = count_outcomes(val_true, val_pred)
    metrics = {
        **_test_metrics(test, val_true, thresholds, classes),
        "val/macro_f1": macro_f1(val_counts),
        "val/macro_f1_cross_fitted": thresholds.cross_fitted_macro_f1,
        "val/micro_f1": micro_f1(val_counts),
    }
    for name in HEADLINES:
        low, high = interval(metrics[f"test/{name}_f1"], getattr(replicates, name))
        metrics |= {f"test/{name}_f1_low": low, f"test/{name}_f1_high": high}
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _test_metrics(
    test: EvaluatedSplit, val_true: np.ndarray, thresholds: Thresholds, classes: pd.DataFrame
) -> dict[str, float]:
    counts = count_outcomes(test.y_true, test.y_pred)
    at_half = count_outcomes(test.y_true, (test.y_prob >= 0.5).astype(np.uint8))
    # Chosen by evidence alone: without the bad results, the mean would be too good.
    trusted = classes[classes["note"] == ""]
    shown = thresholds.shown(test.y_prob)
    present = counts.support > 0
    return {
        "test/macro_f1": macro_f1(counts),
        "test/micro_f1": micro_f1(counts),
        "test/weighted_f1": weighted_f1(counts),
        "test/sample_f1": float(f1_by_row(test.y_true, test.y_pred).mean()),
        "test/macro_precision": float(precision(counts).mean()),
        "test/macro_recall": float(recall(counts).mean()),
        "test/mean_average_precision": float(classes["average_precision"].mean()),
        "test/macro_roc_auc": float(classes["roc_auc"].mean()),
        "test/macro_f1_at_half": macro_f1(at_half),
        "test/macro_f1_trusted_classes": float(trusted["f1"].mean()),
        "test/macro_f1_present_classes": float(classes["f1"][present].mean()),
        "test/macro_f1_of_constant": macro_f1(constant_counts(val_true, test.y_true)),
        "test/no_label_fraction": float((~test.y_pred.any(axis=1)).mean()),
        "test/probability_calibration_error": reliability(test.y_true, shown).error,
        "test/probability_calibration_error_of_scores": reliability(test.y_true, test.y_prob).error,
        "test/probability_log_loss": log_loss(test.y_true, shown),
        "test/n_classes": float(len(classes)),
        "test/n_present_classes": float(present.sum()),
        "test/n_doubtful_classes": float((classes["flags"] != "").sum()),
    }
