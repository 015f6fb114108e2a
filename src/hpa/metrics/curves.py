"""What scores are worth before any threshold: precision against recall, and the areas below curves.

Each class is judged by its ranking alone; a class without a positive (or, for ROC, without a
negative) has no curve and its area is NaN. Means over classes leave such classes out.
"""

import numpy as np
from scipy.stats import rankdata

from hpa.metrics.ranking import Ranking, rank_scores


def precision_recall(ranking: Ranking, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision, float64[K] both, at each cut of one class that ties allow.

    From the highest cut (fewest predicted) to the lowest; the class must have a positive.
    """
    ends = np.flatnonzero(_last_of_tie(ranking.scores[index]))
    found = ranking.true_positives[index, ends]
    return found / ranking.support[index], found / (ends + 1)


def average_precision(y_true: np.ndarray, y_prob: np.ndarray) -> np.ndarray:
    """Return the mean precision at the classes' positives, float64[C]; NaN without positives.

    sum over cuts of (recall gained there) * (precision there), without interpolation.
    Source: scikit-learn, `average_precision_score`.
    """
    ranking = rank_scores(y_true, y_prob)
    areas = np.full(len(ranking.support), np.nan)
    for index in np.flatnonzero(ranking.support):
        recall, precision = precision_recall(ranking, int(index))
        areas[index] = np.diff(recall, prepend=0.0) @ precision
    return areas


def roc_auc(y_true: np.ndarray, y_prob: np.ndarray) -> np.ndarray:
    """Return the chance that a positive scores above a negative, ties by half, float64[C].

    NaN for a class without positives or without negatives.
    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", 1982.
    """
    rank_scores(y_true, y_prob)  # refuses what is no truth or no score
    ranks = rankdata(y_prob.astype(np.float32), axis=0)
    n_positives = y_true.sum(axis=0, dtype=np.int64)
    n_pairs = n_positives * (len(y_true) - n_positives)
    wins = (ranks * y_true).sum(axis=0) - n_positives * (n_positives + 1) / 2
    return np.asarray(np.where(n_pairs > 0, wins / np.maximum(n_pairs, 1), np.nan))


def _last_of_tie(scores: np.ndarray) -> np.ndarray:
    """Mark the last of each run of equal scores, bool[N]; scores descend."""
    return np.append(scores[1:] != scores[:-1], True)
