"""From probabilities to label sets, and what becomes of an image that gets no label."""

import numpy as np

from hpa.metrics.counts import check_same_shape
from hpa.thresholds.fitting import Thresholds


def decide(thresholds: Thresholds, y_prob: np.ndarray, *, fill_empty: bool) -> np.ndarray:
    """Return y_pred uint8[N,28]: labels at or above their thresholds.

    Args:
        thresholds: one cut a class.
        y_prob: floating [N,28] in [0,1].
        fill_empty: give a row without any label its likeliest one.
    """
    y_pred = thresholds.predict(y_prob)
    return take_likeliest(y_pred, y_prob) if fill_empty else y_pred


def take_likeliest(y_pred: np.ndarray, y_prob: np.ndarray) -> np.ndarray:
    """Give each row of uint8[N,C] without a label its likeliest one, the first of tied.

    Other rows stay as they are. Every real image bears a label, so an empty row is surely wrong.
    """
    check_same_shape("y_pred", y_pred, "y_prob", y_prob)
    filled = y_pred.copy()
    empty = np.flatnonzero(~y_pred.any(axis=1))
    filled[empty, y_prob[empty].argmax(axis=1)] = 1
    return filled
