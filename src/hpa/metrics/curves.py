"""Precision-recall curves, average precision and ROC AUC: metrics without a threshold.

A class without a positive (for ROC, also without a negative) has no curve, and its area is NaN.
Means over classes leave such classes out.
"""

import numpy as np

from hpa.metrics.ranking import Ranking, rank_scores


def precision_recall(ranking: Ranking, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision of one class, float64[K] each, at cuts between unequal scores.

    From the highest cut (fewest predicted) to the lowest; the class must have a positive.

    >>> y_true = np.tile(np.array([[1], [0], [1]], np.uint8), 5)
    >>> ranking = rank_scores(y_true, np.tile(np.array([[0.9], [0.5], [0.5]]), 5))
    >>> precision_recall(ranking, 0)  # the two scores of 0.5 share a cut: 2 of 3 are true
    (array([0.5, 1. ]), array([1.        , 0.66666667]))
    """
    scores = ranking.scores[index]
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # the last of each tie
    true_positives = ranking.true_positives[index, ends]
    return true_positives / ranking.support[index], true_positives / (ends + 1)


def average_precision(y_true: np.ndarray, y_prob: np.ndarray) -> np.ndarray:
    """Return the sum over cuts of recall gain times precision, float64[C]; NaN without positives.

    Source: scikit-learn, `average_precision_score` (no interpolation).

    >>> y_true = np.tile(np.array([[1], [0], [1]], np.uint8), 5)
    >>> average_precision(y_true, np.tile(np.array([[0.9], [0.5], [0.4]]), 5))[0].round(3)
    np.float64(0.833)
    """
    ranking = rank_scores(y_true, y_prob)
    areas = np.full(len(ranking.support), np.nan)
    for index in np.flatnonzero(ranking.support):
        recall, precision = precision_recall(ranking, int(index))
        areas[index] = np.diff(recall, prepend=0.0) @ precision
    return areas


def roc_auc(y_true: np.ndarray, y_prob: np.ndarray) -> np.ndarray:
    """Return the probability that a positive scores above a negative, ties by half, float64[C].

    NaN for a class without positives or without negatives.
    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", 1982.

    >>> y_true = np.tile(np.array([[1], [0], [1]], np.uint8), 5)
    >>> roc_auc(y_true, np.tile(np.array([[0.9], [0.5], [0.5]]), 5))[0]  # one win, one tie
    np.float64(0.75)
    """
    from scipy.stats import rankdata  # takes a second to load

    rank_scores(y_true, y_prob)  # checks both arrays
    ranks = rankdata(y_prob.astype(np.float32), axis=0)
    n_positives = y_true.sum(axis=0, dtype=np.int64)
    n_pairs = n_positives * (len(y_true) - n_positives)
    wins = (ranks * y_true).sum(axis=0) - n_positives * (n_positives + 1) / 2
    return np.asarray(np.where(n_pairs > 0, wins / np.maximum(n_pairs, 1), np.nan))
