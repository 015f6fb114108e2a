"""The rules: from the ranking of the fit set to one threshold a class, float64[C] in (0,1).

Each is a single idea and none wins everywhere: where a class has few positives, its own best cut is
luck and predicting as many as there are is safer; where the scores of a network mean the same in
all classes, one threshold for all is safer still. `hpa.thresholds.blending` blends them.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit, logit

from hpa.metrics.ranking import Ranking, just_above, sweep
from hpa.seeds import stream

N_BAGS = 20
GLOBAL_GRID = np.linspace(0.02, 0.98, 49)
SLOPE_PRECISION = 2.0
"""How strongly a class's slope is held to the slope all share: the weight of some ten positives."""

Rule = Callable[[Ranking], np.ndarray]


def swept(ranking: Ranking) -> np.ndarray:
    """Take the exact best cut of the fit set, luck and all."""
    return sweep(ranking)[0]


def bagged(ranking: Ranking) -> np.ndarray:
    """Average, in logits, the best cuts of Poisson bootstrap samples of the fit set.

    Only the ends of ties that hold a positive can be best, so a sample draws just the positives
    and the number of negatives between them. Its stream is always the same: a rule is a function.

    Source: Breiman, "Bagging predictors", 1996; Poisson weights: Oza and Russell, 2001.
    """
    random = stream(0, "bagged sweep")
    values = swept(ranking)
    for index in np.flatnonzero(ranking.support).tolist():
        cuts = ranking.useful_cuts(index)
        if not len(cuts):  # every positive scores 0
            continue
        found = ranking.true_positives[index][cuts]
        positives = _poisson_sums(random, found)
        negatives = _poisson_sums(random, cuts + 1 - found)
        f1 = 2 * positives / np.maximum(positives + negatives + positives[:, -1:], 1)
        middles = (ranking.scores[index][cuts] + ranking.next_scores[index][cuts]) / 2
        values[index] = expit(logit(middles)[f1.argmax(axis=1)].mean())
    return values


def proportional(ranking: Ranking) -> np.ndarray:
    """Predict each class as often as it is true in the fit set."""
    classes = np.arange(len(ranking.support))
    last = np.maximum(ranking.support - 1, 0)
    upper, lower = ranking.scores[classes, last], ranking.next_scores[classes, last]
    matched = (ranking.support > 0) & (upper > 0)
    return np.where(matched, _inside((upper + lower) / 2), just_above(ranking.scores[:, 0]))


def expected(ranking: Ranking) -> np.ndarray:
    """Take the cut of the best expected F1, if calibrated scores were the truth.

    Source: Lipton et al., "Optimal thresholding of classifiers to maximize F1 measure", 2014.
    """
    found = np.cumsum(calibrated(ranking), axis=1)
    n_predicted = np.arange(1, found.shape[1] + 1)
    closed = ranking.scores > ranking.next_scores
    f1 = np.where(closed, 2 * found / (n_predicted + found[:, -1:]), 0.0)
    classes, cut = np.arange(len(f1)), f1.argmax(axis=1)
    values = (ranking.scores[classes, cut] + ranking.next_scores[classes, cut]) / 2
    possible = (ranking.support > 0) & closed.any(axis=1)
    return np.where(possible, _inside(values), just_above(ranking.scores[:, 0]))


def calibrated(ranking: Ranking) -> np.ndarray:
    """Return probabilities of the ranked rows, float64[C,N]: one logistic curve a class.

    Intercepts are free, so each class's probabilities sum to its support; slopes are held to a
    common one, so that a class with two positives does not invent a step.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.
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
        if step % 6 == 5:  # the shared slope follows, each class weighing by its certainty
            certainty = 1 / (aa / determinant + 0.05)
            shared = float((certainty * slope).sum() / certainty.sum())
    return expit(intercept[:, None] + slope[:, None] * logits)


def fixed(ranking: Ranking, value: float = 0.5) -> np.ndarray:
    """Give every class the same stated threshold."""
    return np.full(len(ranking.support), value)


def best_global(ranking: Ranking) -> np.ndarray:
    """Give every class the one threshold, on a grid of 0.02, that is best for macro F1."""
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
