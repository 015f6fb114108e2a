"""Decisions about rows by thresholds that were fitted without them."""

import numpy as np

from hpa.metrics.ranking import rank_scores
from hpa.seeds import stream
from hpa.thresholds.blending import choose, deal_folds


def cross_fitted_decisions(
    y_true: np.ndarray, y_prob: np.ndarray, groups: np.ndarray, *, seed: int
) -> np.ndarray:
    """Decide each row by the blend of rules that the other folds' rows choose, uint8[N,28].

    Classes decide by themselves, so each deals the groups to folds of its own, positives first: a
    rare one is then in every fold. Needs two groups.

    Args:
        y_true: uint8[N,28].
        y_prob: floating [N,28] in [0,1].
        groups: integers [N]; no row is decided by another of its group.
        seed: of folds and search.
    """
    folds = deal_folds(y_true.T, groups, stream(seed, "held-out folds")).T
    scores = y_prob.astype(np.float32)
    y_pred = np.zeros_like(y_true, dtype=np.uint8)
    for each in range(folds.max() + 1):
        judged = folds == each  # in their stead stand negatives of score 0, which move no threshold
        rest = rank_scores(np.where(judged, 0, y_true), np.where(judged, 0, scores), groups)
        y_pred |= judged & (scores >= choose(rest, seed).values)
    return y_pred
