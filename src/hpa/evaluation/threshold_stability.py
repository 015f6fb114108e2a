"""Bootstrap stability of the best threshold of each class."""

import numpy as np

from hpa.metrics.bootstrap import LEVEL, check_groups
from hpa.metrics.ranking import rank_scores
from hpa.seeds import stream

N_DRAWS = 200


def threshold_spread(
    y_true: np.ndarray, y_prob: np.ndarray, groups: np.ndarray, *, seed: int
) -> np.ndarray:
    """Return the 95 % interval of each class's exact sweep over 200 draws of groups, float64[2,C].

    Draws without a positive of the class are left out; NaN if no draw has one. Seeded by
    `hpa.seeds`, purpose "stability".
    """
    _, numbers = np.unique(check_groups(groups, len(y_true)), return_inverse=True)
    rank_scores(y_true, y_prob)  # checks both arrays
    order = np.argsort(-y_prob.astype(np.float64), axis=0, kind="stable").T
    scores = np.take_along_axis(y_prob.astype(np.float64).T, order, axis=1)
    truth = np.take_along_axis(y_true.T, order, axis=1)
    inside_tie = np.pad(scores[:, 1:] == scores[:, :-1], ((0, 0), (0, 1)))
    random, n_groups = stream(seed, "stability"), int(numbers.max()) + 1
    best = np.full((N_DRAWS, y_true.shape[1]), np.nan)
    for draw in range(N_DRAWS):
        times = np.bincount(random.integers(n_groups, size=n_groups), minlength=n_groups)
        weights = times[numbers][order]
        hits = np.cumsum(weights * truth, axis=1)
        f1 = 2 * hits / np.maximum(np.cumsum(weights, axis=1) + hits[:, -1:], 1)
        cut = np.where(inside_tie, -1.0, f1).argmax(axis=1)
        below = np.pad(scores[:, 1:], ((0, 0), (0, 1)))
        classes = np.arange(len(cut))
        middle = (scores[classes, cut] + below[classes, cut]) / 2
        best[draw] = np.where(hits[:, -1] > 0, middle, np.nan)
    spread = np.full((2, y_true.shape[1]), np.nan)
    known = ~np.isnan(best).all(axis=0)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    spread[:, known] = np.nanquantile(best[:, known], tails, axis=0)
    return spread
