"""Decisions about rows by thresholds that were fitted without them."""

import numpy as np

from hpa.scoring.ranking import rank_scores
from hpa.scoring.selection import N_FOLDS, choose
from hpa.seeds import stream


def cross_fitted_decisions(y_true: np.ndarray, y_prob: np.ndarray, *, seed: int) -> np.ndarray:
    """Decide each row by the blend of rules that the other folds' rows choose, uint8[N,28].

    Classes decide by themselves, so each deals the rows to folds of its own, positives first: a
    rare one is then in every fold. Needs two rows.

    Args:
        y_true: uint8[N,28].
        y_prob: floating [N,28] in [0,1].
        seed: of folds and search.
    """
    shuffled = stream(seed, "held-out folds").random(y_true.shape)
    order = np.lexsort((shuffled, 1 - y_true), axis=0)
    fold = np.arange(len(y_true)) % min(N_FOLDS, len(y_true))
    y_pred = np.zeros_like(y_true, dtype=np.uint8)
    for each in range(fold.max() + 1):
        rest, judged = order[fold != each], order[fold == each]
        ranking = rank_scores(*(np.take_along_axis(a, rest, axis=0) for a in (y_true, y_prob)))
        values = choose(ranking, seed).values
        scores = np.take_along_axis(y_prob, judged, axis=0).astype(np.float32)
        np.put_along_axis(y_pred, judged, (scores >= values).astype(np.uint8), axis=0)
    return y_pred
