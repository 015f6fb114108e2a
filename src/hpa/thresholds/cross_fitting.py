"""Cross-fitting: decide, score or calibrate every row by a fit that did not see it.

Every function takes the rule as an argument, so this file needs the metrics alone and the training
loop can evaluate each round with it.
"""

from collections.abc import Callable

import numpy as np

from hpa.metrics.bootstrap import check_groups
from hpa.metrics.calibration import fit_calibration
from hpa.metrics.counts import count_outcomes
from hpa.metrics.curves import average_precision
from hpa.metrics.f1 import macro_f1
from hpa.metrics.ranking import Ranking, best_macro_f1, rank_scores, sweep
from hpa.seeds import stream

N_FOLDS, N_REPEATS = 5, 2
NEVER = 2.0  # a threshold that no probability reaches

Rule = Callable[[Ranking], np.ndarray]
"""A function from the ranked fit set to one threshold per class, float64[C] in (0,1)."""


def stratified_folds(
    truth: np.ndarray, groups: np.ndarray | None, random: np.random.Generator
) -> np.ndarray:
    """Assign rows to folds of one size per class, positives first, int64[C,N].

    Classes are thresholded independently, so each has folds of its own and a rare class has a
    positive in every fold.

    Args:
        truth: 0 or 1, [C,N].
        groups: integers [C,N] or [N]; rows of one group share a fold, and folds hold equally many
            groups. None: each row is its own group.
        random: breaks ties.

    >>> truth = np.array([[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]])
    >>> folds = stratified_folds(truth, None, np.random.default_rng(0))
    >>> np.bincount(folds[0]).tolist(), bool(folds[0, 0] != folds[0, 3])
    ([2, 2, 2, 2, 2], True)
    """
    positive, numbers = truth, None
    if groups is not None:
        _, numbers = np.unique(np.broadcast_to(groups, truth.shape), return_inverse=True)
        numbers = numbers.reshape(truth.shape)
        positive = np.zeros((len(truth), numbers.max() + 1), dtype=np.int64)
        np.maximum.at(positive, (np.arange(len(truth))[:, None], numbers), truth)
    n_groups = positive.shape[1]
    order = np.lexsort((random.random(positive.shape), -positive))
    folds = np.empty(positive.shape, dtype=np.int64)
    by_rank = np.broadcast_to(np.arange(n_groups) % min(N_FOLDS, n_groups), folds.shape)
    np.put_along_axis(folds, order, by_rank, axis=1)
    return folds if numbers is None else np.take_along_axis(folds, numbers, axis=1)


def cross_fitted_f1(
    ranking: Ranking, rule: Rule, seed: int, n_repeats: int = N_REPEATS
) -> np.ndarray:
    """Return F1 with each row decided by thresholds fitted without its group, float64[C].

    Counts of the folds are added before F1 is taken. 0.0 with fewer than two groups.

    >>> y_true = np.tile(np.array([[1], [1], [0], [0]], np.uint8), 5)
    >>> ranking = rank_scores(y_true, np.tile(np.array([[0.9], [0.4], [0.3], [0.2]]), 5))
    >>> half = lambda ranking: np.full(5, 0.5)
    >>> cross_fitted_f1(ranking, half, seed=0)[0].round(3)  # TP 1, FN 1: 2 / (1 + 2)
    np.float64(0.667)
    """
    if ranking.n_groups < 2:
        return np.zeros(len(ranking.support))
    scores = []
    for repeat in range(n_repeats):
        folds = stratified_folds(
            ranking.truth, ranking.groups, stream(seed, "judging folds", repeat)
        )
        true_positives = n_predicted = np.zeros(len(ranking.support), dtype=np.int64)
        for fold in range(folds.max() + 1):
            values = rule(ranking.subset(folds != fold))
            hits, predictions = ranking.subset(folds == fold).count_at(values[:, None])
            true_positives = true_positives + hits[:, 0]
            n_predicted = n_predicted + predictions[:, 0]
        scores.append(2 * true_positives / np.maximum(n_predicted + ranking.support, 1))
    return np.mean(scores, axis=0)


def cross_fitted_decisions(
    y_true: np.ndarray, y_prob: np.ndarray, groups: np.ndarray, rule: Rule, *, seed: int
) -> np.ndarray:
    """Return y_pred uint8[N,C]: each row decided by thresholds fitted without its group.

    >>> y_true = np.tile(np.array([[1], [1], [0], [0]], np.uint8), 5)
    >>> y_prob = np.tile(np.array([[0.9], [0.4], [0.3], [0.2]]), 5)
    >>> half = lambda ranking: np.full(5, 0.5)
    >>> cross_fitted_decisions(y_true, y_prob, np.arange(4), half, seed=0)[:, 0].tolist()
    [1, 0, 0, 0]
    """
    folds = stratified_folds(y_true.T, groups, stream(seed, "held-out folds")).T
    return _decide_by_fold(y_true, y_prob, folds, rule, groups)


def cross_fitted_calibration(
    y_true: np.ndarray, y_prob: np.ndarray, groups: np.ndarray, method: str, *, seed: int
) -> np.ndarray:
    """Return float64[N,C]: each row calibrated by a fit without its group, in five random folds.

    >>> y_true = np.eye(5, dtype=np.uint8)
    >>> y_prob = np.full((5, 5), 0.25)
    >>> cross_fitted_calibration(y_true, y_prob, np.arange(5), "none", seed=0)[0, :2]
    array([0.25, 0.25])
    """
    _, numbers = np.unique(check_groups(groups, len(y_true)), return_inverse=True)
    n_groups = int(numbers.max()) + 1
    n_folds = min(N_FOLDS, n_groups)
    folds = (stream(seed, "calibration").permutation(n_groups) % n_folds)[numbers]
    calibrated = y_prob.astype(np.float64)
    for fold in range(n_folds):
        inside = folds == fold
        if not inside.all():
            calibration = fit_calibration(y_true[~inside], y_prob[~inside], method)
            calibrated[inside] = calibration.apply(y_prob[inside])
    return calibrated


def validation_metrics(y_true: np.ndarray, y_prob: np.ndarray) -> dict[str, float]:
    """Evaluate y_prob floating [N,C] in [0,1] against y_true uint8[N,C] in milliseconds.

    Returns:
        `macro_f1`: see `two_fold_macro_f1`; `macro_f1_optimistic`: with thresholds fitted to the
        same rows; `macro_average_precision`: mean over the classes with a positive, 0.0 without
        any.

    >>> y_true = np.tile(np.array([[1], [1], [0], [0]], np.uint8), 5)
    >>> validation_metrics(y_true, np.tile(np.array([[0.9], [0.8], [0.2], [0.1]]), 5))
    {'macro_f1': 1.0, 'macro_f1_optimistic': 1.0, 'macro_average_precision': 1.0}
    """
    precisions = average_precision(y_true, y_prob)[y_true.any(axis=0)]
    return {
        "macro_f1": two_fold_macro_f1(y_true, y_prob),
        "macro_f1_optimistic": best_macro_f1(y_true, y_prob),
        "macro_average_precision": float(precisions.mean()) if len(precisions) else 0.0,
    }


def two_fold_macro_f1(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return macro F1 with each row decided by the exact sweep of the other fold.

    The rows of a class, positives first, alternate between two folds. A class with an F1 of 0 in
    one fold is never predicted in the other.

    >>> y_true = np.tile(np.array([[1], [1], [0], [0]], np.uint8), 5)
    >>> y_prob = np.tile(np.array([[0.9], [0.5], [0.4], [0.1]]), 5)
    >>> two_fold_macro_f1(y_true, y_prob)  # cuts at .3 and .65: TP 1, FP 1, FN 1
    0.5
    """
    order = np.argsort(1 - y_true, axis=0, kind="stable")
    folds = np.empty(y_true.shape, dtype=np.int64)
    np.put_along_axis(folds, order, np.arange(len(y_true))[:, None] % 2, axis=0)
    return macro_f1(count_outcomes(y_true, _decide_by_fold(y_true, y_prob, folds, _sweep_or_never)))


def _sweep_or_never(ranking: Ranking) -> np.ndarray:
    values, best_f1 = sweep(ranking)
    return np.where(best_f1 > 0, values, NEVER)


def _decide_by_fold(
    y_true: np.ndarray,
    y_prob: np.ndarray,
    folds: np.ndarray,
    rule: Rule,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return uint8[N,C], each fold decided by the others; `folds` is int64[N,C].

    Negatives of score 0 replace the rows of the test fold: they move no threshold, and every class
    keeps N rows.
    """
    scores = y_prob.astype(np.float32)
    y_pred = np.zeros(y_true.shape, dtype=np.uint8)
    for fold in range(folds.max() + 1):
        inside = folds == fold
        training = rank_scores(np.where(inside, 0, y_true), np.where(inside, 0, scores), groups)
        y_pred |= inside & (scores >= rule(training))
    return y_pred
