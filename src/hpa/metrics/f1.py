"""Precision, recall and F1 from counts, and the best constant prediction.

All take `Counts` of a whole set, never of a batch. `zero_division` is the value of 0/0.
"""

from typing import Any

import numpy as np

from hpa.metrics.counts import Counts, check_decisions, check_indicators


def precision(counts: Counts, zero_division: float = 0.0) -> np.ndarray:
    """Return TP / (TP + FP), float64[C]; 0/0 for a class that was never predicted.

    >>> precision(Counts(*np.array([[3, 0], [1, 0], [2, 4], [4, 6]])))
    array([0.75, 0.  ])
    """
    return ratio(counts.true_positives, counts.predicted, zero_division)


def recall(counts: Counts, zero_division: float = 0.0) -> np.ndarray:
    """Return TP / (TP + FN), float64[C]; 0/0 for a class without support.

    >>> recall(Counts(*np.array([[3, 0], [1, 0], [2, 4], [4, 6]])))
    array([0.6, 0. ])
    """
    return ratio(counts.true_positives, counts.support, zero_division)


def f1(counts: Counts, zero_division: float = 0.0) -> np.ndarray:
    """Return 2 TP / (2 TP + FP + FN), float64[C].

    0/0 for a class with neither truth nor prediction: 0.0, as in scikit-learn and on Kaggle.

    >>> f1(Counts(*np.array([[3, 0], [1, 0], [2, 4], [4, 6]]))).round(3)  # 6 / 9
    array([0.667, 0.   ])
    """
    return ratio(2 * counts.true_positives, counts.support + counts.predicted, zero_division)


def macro_f1(counts: Counts, zero_division: float = 0.0) -> float:
    """Return the unweighted mean of F1 over classes, the score of the competition.

    >>> round(macro_f1(Counts(*np.array([[3, 0], [1, 0], [2, 4], [4, 6]]))), 3)  # (6/9 + 0) / 2
    0.333
    """
    return float(f1(counts, zero_division).mean())


def micro_f1(counts: Counts, zero_division: float = 0.0) -> float:
    """Return F1 of the counts summed over classes, so that frequent classes weigh more.

    >>> round(micro_f1(Counts(*np.array([[3, 0], [1, 0], [2, 4], [4, 6]]))), 3)  # 6 / 13
    0.462
    """
    total = (counts.support + counts.predicted).sum()
    return float(ratio(2 * counts.true_positives.sum(), total, zero_division))


def weighted_f1(counts: Counts, zero_division: float = 0.0) -> float:
    """Return the mean of F1 over classes, weighted by support; 0/0 without any support.

    >>> round(weighted_f1(Counts(*np.array([[3, 0], [1, 0], [2, 4], [4, 6]]))), 3)  # 5·(6/9) / 9
    0.37
    """
    weighted = (counts.support * f1(counts, zero_division)).sum()
    return float(ratio(weighted, counts.support.sum(), zero_division))


def f1_by_row(y_true: np.ndarray, y_pred: np.ndarray, zero_division: float = 0.0) -> np.ndarray:
    """Return F1 of each row's label set, float64[N]: 2 |both| / (|true| + |predicted|).

    Its mean is the sample F1. 0/0 for a row with neither truth nor prediction.

    >>> f1_by_row(np.array([[1, 1, 0], [0, 0, 0]]), np.array([[1, 0, 0], [0, 0, 0]])).round(3)
    array([0.667, 0.   ])
    """
    check_decisions(y_true, y_pred)
    both = np.count_nonzero(y_true.astype(bool) & y_pred.astype(bool), axis=1)
    size = np.count_nonzero(y_true, axis=1) + np.count_nonzero(y_pred, axis=1)
    return ratio(2 * both, size, zero_division)


def best_constant_prediction(y_true: np.ndarray) -> np.ndarray:
    """Return the label set, uint8[C], that maximises macro F1 if predicted for every row.

    Always predicting a class of prevalence p has precision p and recall 1, so F1 is
    2p / (1 + p) > 0; never predicting it gives 0. The best constant therefore holds every class
    with a positive. Choose it on one split and evaluate it on another.

    >>> best_constant_prediction(np.array([[1, 0, 0], [1, 1, 0]]))
    array([1, 1, 0], dtype=uint8)
    """
    check_indicators("y_true", y_true)
    return np.asarray(y_true.astype(bool).any(axis=0), dtype=np.uint8)


def ratio(numerator: Any, denominator: Any, zero_division: float = 0.0) -> np.ndarray:
    """Divide two arrays or numbers, float64 of their shape; 0/0 is `zero_division`."""
    result = np.full(np.shape(denominator), zero_division)
    return np.divide(numerator, denominator, out=result, where=denominator > 0)
