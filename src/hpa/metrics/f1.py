"""Precision, recall and F1 from counts, and the score that costs no model at all.

All take `Counts` of a whole set, never of a batch. `zero_division` is the value of 0/0.
"""

import numpy as np

from hpa.metrics.counts import Counts, check_indicators, check_same_shape


def precision(counts: Counts, zero_division: float = 0.0) -> np.ndarray:
    """Return TP / (TP + FP), float64[C]; 0/0 where a class was never predicted."""
    return _ratio(counts.true_positives, counts.predicted, zero_division)


def recall(counts: Counts, zero_division: float = 0.0) -> np.ndarray:
    """Return TP / (TP + FN), float64[C]; 0/0 where a class has no truth."""
    return _ratio(counts.true_positives, counts.support, zero_division)


def f1(counts: Counts, zero_division: float = 0.0) -> np.ndarray:
    """Return 2 TP / (2 TP + FP + FN), float64[C].

    0/0 where a class has neither truth nor prediction: 0.0, as in scikit-learn and on Kaggle.
    """
    return _ratio(2 * counts.true_positives, counts.support + counts.predicted, zero_division)


def macro_f1(counts: Counts, zero_division: float = 0.0) -> float:
    """Return the mean of the classes' F1: the competition's score, every class weighs the same."""
    return float(f1(counts, zero_division).mean())


def micro_f1(counts: Counts, zero_division: float = 0.0) -> float:
    """Return F1 of the counts summed over classes: frequent classes weigh more."""
    found = 2 * counts.true_positives.sum(keepdims=True)
    total = (counts.support + counts.predicted).sum(keepdims=True)
    return float(_ratio(found, total, zero_division)[0])


def weighted_f1(counts: Counts, zero_division: float = 0.0) -> float:
    """Return the classes' F1 averaged by support; 0/0 where no class has any."""
    support = counts.support
    weighted = (support * f1(counts, zero_division)).sum(keepdims=True)
    return float(_ratio(weighted, support.sum(keepdims=True), zero_division)[0])


def f1_by_row(y_true: np.ndarray, y_pred: np.ndarray, zero_division: float = 0.0) -> np.ndarray:
    """Return F1 of each row's label set, float64[N]: 2 |both| / (|true| + |predicted|).

    Its mean is the sample F1. 0/0 where a row has neither truth nor prediction.
    """
    check_indicators("y_true", y_true)
    check_indicators("y_pred", y_pred)
    check_same_shape("y_true", y_true, "y_pred", y_pred)
    both = np.count_nonzero(y_true.astype(bool) & y_pred.astype(bool), axis=1)
    size = np.count_nonzero(y_true, axis=1) + np.count_nonzero(y_pred, axis=1)
    return _ratio(2 * both, size, zero_division)


def best_constant_prediction(y_true: np.ndarray) -> np.ndarray:
    """Return the label set, uint8[C], which maximises macro F1 when predicted for every row.

    Macro F1 is separable, so every class decides alone. Always predicting a class of prevalence p
    has precision p and recall 1, so F1 is 2p / (1 + p) > 0; never predicting it gives 0. The best
    constant therefore holds every class with a positive. Choose it on one split, judge on another.
    """
    check_indicators("y_true", y_true)
    return np.asarray(y_true.astype(bool).any(axis=0), dtype=np.uint8)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, zero_division: float) -> np.ndarray:
    result = np.full(len(denominator), zero_division, dtype=np.float64)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
