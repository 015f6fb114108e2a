"""What scores are worth after a round of training: cheap, exact, over the whole split."""

import numpy as np

from hpa.metrics.counts import count_outcomes
from hpa.metrics.curves import average_precision
from hpa.metrics.f1 import macro_f1
from hpa.metrics.ranking import best_macro_f1, rank_scores, sweep

NOWHERE = 2.0  # a threshold that no probability reaches


def validation_metrics(y_true: np.ndarray, y_prob: np.ndarray) -> dict[str, float]:
    """Judge y_prob floating [N,C] in [0,1] by y_true uint8[N,C], 28 classes.

    Returns:
        `macro_f1`: each half of the rows is decided by the thresholds of the other half, and the
        outcomes of both are counted together; `macro_f1_optimistic`: of thresholds fitted to the
        same rows; `macro_average_precision`: mean over the classes with a positive, 0.0 where no
        class has one.
    """
    precisions = average_precision(y_true, y_prob)[y_true.any(axis=0)]
    return {
        "macro_f1": cross_fitted_macro_f1(y_true, y_prob),
        "macro_f1_optimistic": best_macro_f1(y_true, y_prob),
        "macro_average_precision": float(precisions.mean()) if len(precisions) else 0.0,
    }


def cross_fitted_macro_f1(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return macro F1 with each row judged by thresholds to which it did not contribute.

    The rows of a class, its positives first, go by turns into one half or the other: classes
    decide by themselves, so they need no common halves, and a rare one is in both. A class that
    one half cannot find is predicted nowhere in the other.
    """
    order = np.argsort(1 - y_true, axis=0, kind="stable")
    y_true, y_prob = (np.take_along_axis(each, order, axis=0) for each in (y_true, y_prob))
    halves = (slice(0, None, 2), slice(1, None, 2))
    y_pred = np.zeros_like(y_true, dtype=np.uint8)
    for fitted, judged in (halves, halves[::-1]):
        if len(y_true[fitted]) == 0:
            continue
        values, found = sweep(rank_scores(y_true[fitted], y_prob[fitted]))
        y_pred[judged] = y_prob[judged].astype(np.float32) >= np.where(found > 0, values, NOWHERE)
    return macro_f1(count_outcomes(y_true, y_pred))
