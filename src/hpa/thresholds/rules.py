"""Rules from the ranking of a fit set to one threshold per class, float64[C] in (0,1).

No rule wins everywhere. For a class with few positives its own best cut is luck, and predicting as
many as there are positives is safer. If the scores of a network mean the same in all classes, one
threshold for all is safer still. `hpa.thresholds.blending` blends the rules.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import expit, logit

from hpa.metrics.ranking import Ranking, just_above, sweep
from hpa.seeds import stream
from hpa.thresholds.cross_fitting import Rule

N_BAGS = 20
GLOBAL_GRID = np.linspace(0.02, 0.98, 49)
SLOPE_PRECISION = 2.0  # holds a class's slope to the shared one: the weight of ten positives


def swept(ranking: Ranking) -> np.ndarray:
    """Return the exact best cut of the fit set.

    >>> from hpa.metrics.ranking import rank_scores
    >>> y_true = np.tile(np.array([[1], [0], [1], [0]], np.uint8), 5)
    >>> ranking = rank_scores(y_true, np.tile(np.array([[0.875], [0.75], [0.5], [0.25]]), 5))
    >>> float(swept(ranking)[0])  # F1 after each row: 2/3, 2/4, 4/5, 4/6
    0.375
    """
    return sweep(ranking)[0]


def bagged(ranking: Ranking) -> np.ndarray:
    """Return the mean, in logits, of the best cuts of Poisson bootstrap samples of the fit set.

    Only the ends of ties that hold a positive can be best, so a sample draws the positives and the
    number of negatives between them. The random stream is always the same: a rule is a function.

    Source: Breiman, "Bagging predictors", 1996; Poisson weights: Oza and Russell, 2001.

    >>> from hpa.metrics.ranking import rank_scores
    >>> y_true = np.tile(np.array([[1], [0]], np.uint8), 5)
    >>> ranking = rank_scores(y_true, np.tile(np.array([[0.75], [0.25]]), 5))
    >>> bagged(ranking)[0].round(3)  # the only useful cut is the middle
    np.float64(0.5)
    """
    random = stream(0, "bagged sweep")
    values = swept(ranking)
    for index in np.flatnonzero(ranking.support).tolist():
        cuts = ranking.useful_cuts(index)
        if not len(cuts):  # every positive scores 0
            continue
        true_positives = ranking.true_positives[index][cuts]
        positives = _poisson_sums(random, true_positives)
        negatives = _poisson_sums(random, cuts + 1 - true_positives)
        f1 = 2 * positives / np.maximum(positives + negatives + positives[:, -1:], 1)
        middles = (ranking.scores[index][cuts] + ranking.next_scores[index][cuts]) / 2
        values[index] = expit(logit(middles)[f1.argmax(axis=1)].mean())
    return values


def proportional(ranking: Ranking) -> np.ndarray:
    """Return cuts that predict each class as often as it is true in the fit set.

    >>> from hpa.metrics.ranking import rank_scores
    >>> y_true = np.tile(np.array([[1], [0], [1], [0]], np.uint8), 5)
    >>> ranking = rank_scores(y_true, np.tile(np.array([[0.875], [0.75], [0.5], [0.25]]), 5))
    >>> float(proportional(ranking)[0])  # two positives: between 0.75 and 0.5
    0.625
    """
    classes = np.arange(len(ranking.support))
    last = np.maximum(ranking.support - 1, 0)
    upper, lower = ranking.scores[classes, last], ranking.next_scores[classes, last]
    matched = (ranking.support > 0) & (upper > 0)
    return np.where(matched, _inside((upper + lower) / 2), just_above(ranking.scores[:, 0]))


def expected(ranking: Ranking) -> np.ndarray:
    """Return the cut of the best expected F1 if each calibrated score is a true probability.

    Source: Lipton et al., "Optimal thresholding of classifiers to maximize F1 measure", 2014.

    >>> from hpa.metrics.ranking import rank_scores
    >>> y_true = np.tile(np.array([[1], [0]], np.uint8), 5)
    >>> ranking = rank_scores(y_true, np.tile(np.array([[0.75], [0.25]]), 5))
    >>> float(expected(ranking)[0])  # calibrated to p, 1 - p: F1 p of one, 2/3 of both; p > 2/3
    0.5
    """
    expected_positives = np.cumsum(calibrated(ranking), axis=1)
    n_predicted = np.arange(1, expected_positives.shape[1] + 1)
    closed = ranking.scores > ranking.next_scores
    expected_support = expected_positives[:, -1:]
    f1 = np.where(closed, 2 * expected_positives / (n_predicted + expected_support), 0.0)
    classes, cut = np.arange(len(f1)), f1.argmax(axis=1)
    values = (ranking.scores[classes, cut] + ranking.next_scores[classes, cut]) / 2
    possible = (ranking.support > 0) & closed.any(axis=1)
    return np.where(possible, _inside(values), just_above(ranking.scores[:, 0]))


def calibrated(ranking: Ranking) -> np.ndarray:
    """Return probabilities of the ranked rows, float64[C,N], from one logistic curve per class.

    Intercepts are free, so the probabilities of a class sum to its support. Slopes are held to a
    common one, so that two positives cannot make a step function.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.

    >>> from hpa.metrics.ranking import rank_scores
    >>> y_true = np.tile(np.array([[1], [0], [0]], np.uint8), 5)
    >>> ranking = rank_scores(y_true, np.tile(np.array([[0.9], [0.5], [0.1]]), 5))
    >>> calibrated(ranking)[0].sum().round(3)  # one positive
    np.float64(1.0)
    """
    logits = np.clip(logit(_inside(ranking.scores)), -12, 12)
    truth, n_classes = ranking.truth, len(ranking.support)
    intercept, slope, shared = np.zeros(n_classes), np.ones(n_classes), 1.0
    for step in range(18):
        probabilities = expit(intercept[:, None] + slope[:, None] * logits)
        weight, error = probabilities * (1 - probabilities), truth - probabilities
        aa = weight.sum(axis=1) + 1e-6
        ab = (weight * logits).sum(axis=1)
        bb = (weight * logits**2).sum(axis=1) + SLOPE_PRECISION
        gradient_a = error.sum(axis=1)
        gradient_b = (error * logits).sum(axis=1) - SLOPE_PRECISION * (slope - shared)
        determinant = aa * bb - ab**2
        move_a = (bb * gradient_a - ab * gradient_b) / determinant
        move_b = (aa * gradient_b - ab * gradient_a) / determinant
        damping = np.minimum(1, 2 / np.maximum(np.abs(move_a), 2))
        intercept = intercept + damping * move_a
        slope = np.clip(slope + damping * move_b, 0.02, 5)
        if step % 6 == 5:  # the shared slope is the mean, weighted by certainty
            certainty = 1 / (aa / determinant + 0.05)
            shared = float((certainty * slope).sum() / certainty.sum())
    return expit(intercept[:, None] + slope[:, None] * logits)


def fixed(ranking: Ranking, value: float = 0.5) -> np.ndarray:
    """Return the same stated threshold for every class."""
    return np.full(len(ranking.support), value)


def best_global(ranking: Ranking) -> np.ndarray:
    """Return one threshold for all classes, the best for macro F1 on a grid of 0.02.

    >>> from hpa.metrics.ranking import rank_scores
    >>> y_true = np.tile(np.array([[1], [0], [1], [0]], np.uint8), 5)
    >>> ranking = rank_scores(y_true, np.tile(np.array([[0.875], [0.75], [0.5], [0.25]]), 5))
    >>> float(best_global(ranking)[0])  # the lowest grid value of the best cut, (0.25, 0.5]
    0.26
    """
    f1 = ranking.f1_at(np.tile(GLOBAL_GRID, (len(ranking.support), 1)))
    return fixed(ranking, float(GLOBAL_GRID[f1.mean(axis=0).argmax()]))


RULES: Mapping[str, Rule] = {
    "sweep": swept,
    "bagged": bagged,
    "proportion": proportional,
    "expected": expected,
    "global": best_global,
    "fixed": fixed,
}


def _inside(values: np.ndarray) -> np.ndarray:
    return np.clip(values, np.nextafter(np.float32(0), np.float32(1)) / 2.0, np.nextafter(1.0, 0.0))


def _poisson_sums(random: np.random.Generator, sums: np.ndarray) -> np.ndarray:
    drawn = random.poisson(np.diff(sums, prepend=0), size=(N_BAGS, len(sums)))
    return drawn.cumsum(axis=1)
