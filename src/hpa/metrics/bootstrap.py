"""Confidence intervals by the Bayesian bootstrap over groups.

Images of one group (duplicates, one antibody) are not independent, so a replicate weights whole
groups, by exponential draws (Rubin, "The Bayesian bootstrap", Annals of Statistics 9, 1981). No
weight is 0, so no class is absent from a replicate: an ordinary bootstrap misses a class of one
positive in every third draw, and leaving it out or counting it as 0 moves the interval away from
the score.

Weights alone cannot show how little one or two positives say: a class found in its only image has
an F1 of 1 in every replicate. Each class therefore gets half a hit and half an error of random
weight, as in Jeffreys' interval of a proportion (Brown, Cai and DasGupta, "Interval estimation for
a binomial proportion", Statistical Science 16, 2001). F1 is 2J / (1 + J) for the proportion J of
hits among the images that carry or got the class. `interval` takes the quantiles of the replicates,
extended by their shift from the estimate. `python benchmarks/intervals.py` measures the coverage.

A class without any positive keeps its F1 of 0.0 throughout, as in the score itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpa.metrics.f1 import f1_by_row, ratio
from hpa.seeds import stream

LEVEL = 0.95  # share of replicates between the quantiles
CHUNK = 256  # replicates drawn at once: 6,000 groups need 12 MB
FEW = 5  # groups with a positive, below which a class says little about its F1


@dataclass(frozen=True, eq=False)
class Replicates:
    """F1 of R replicates; all NaN if the rows are one group.

    Attributes:
        by_class: float64[R,C]; 0.0 for a class without positives.
        macro: float64[R]; NaN if `too_few` gives a reason.
        micro, weighted, sample: float64[R] each.
    """

    by_class: np.ndarray
    macro: np.ndarray
    micro: np.ndarray
    weighted: np.ndarray
    sample: np.ndarray


def bootstrap_f1(
    y_true: np.ndarray, y_pred: np.ndarray, groups: np.ndarray, *, seed: int, n: int
) -> Replicates:
    """Return F1 of `n` replicates of uint8[N,C]; rows of one group are weighted together.

    Equal groups and seed (`hpa.seeds`, purposes "bootstrap" and "bootstrap prior") give equal
    weights, so replicates of two predictions are paired.

    >>> y_true, y_pred = np.array([[1], [1], [0]]), np.array([[1], [0], [1]])
    >>> bootstrap_f1(y_true, y_pred, np.zeros(3, int), seed=0, n=2).micro  # one group
    array([nan, nan])
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    sums = group_sums(_columns(y_true, y_pred), check_groups(groups, len(y_true)))
    drawn = np.concatenate([w @ sums for w in _weights(len(sums), n, stream(seed, "bootstrap"))])
    drawn[:, : sums.shape[1] // 3 * 2] += _prior(sums, n, stream(seed, "bootstrap prior"))
    hits, errors, support = np.split(drawn, 3, axis=1)
    f1 = np.where(sums.sum(axis=0)[-support.shape[1] :] > 0, ratio(2 * hits, 2 * hits + errors), 0)
    by_class, weights = f1[:, :-2], support[:, :-2]
    unknown = np.nan if len(sums) < 2 else 0.0
    return Replicates(
        by_class=by_class + unknown,
        macro=by_class.mean(axis=1) + (np.nan if too_few(y_true, groups) else 0.0),
        micro=f1[:, -2] + unknown,
        weighted=ratio((weights * by_class).sum(axis=1), weights.sum(axis=1)) + unknown,
        sample=ratio(hits[:, -1], hits[:, -1] + errors[:, -1]) + unknown,
    )


def too_few(y_true: np.ndarray, groups: np.ndarray) -> str:
    """Return why macro F1 of uint8[N,C] has no interval, in words; "" if it has one.

    >>> too_few(np.eye(3, dtype=np.uint8), np.arange(3))
    'fewer than 5 independent images for each of 3 classes'
    """
    if len(np.unique(groups)) < 2:
        return "all images belong to one group"
    n_groups = (group_sums(y_true.astype(np.int64), groups) > 0).sum(axis=0)
    present, rare = int((n_groups > 0).sum()), int(((n_groups > 0) & (n_groups < FEW)).sum())
    if not present:
        return "no image carries any class"
    if 2 * rare > present:
        which = f"each of {rare} classes" if rare > 1 else "one class"
        return f"fewer than {FEW} independent images for {which}"
    return ""


def interval(estimate: float, replicates: np.ndarray, lowest: float = 0.0) -> tuple[float, float]:
    """Return the 95 % interval of a score in [lowest,1]; it contains the estimate.

    Args:
        estimate: the score of the rows themselves.
        replicates: float64[R]. The prior pulls their mean from the estimate; the quantiles are
            extended by as much towards the other side of it.
        lowest: 0 for a score, -1 for a difference of scores.

    Returns:
        Both ends; NaN twice if a replicate is NaN.

    >>> low, high = interval(0.5, np.linspace(0.2, 0.7, 101))  # mean .45: .05 more above
    >>> round(low, 4), round(high, 4)
    (0.2125, 0.7375)
    """
    if np.isnan(replicates).any():
        return float("nan"), float("nan")
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    shift = estimate - replicates.mean()
    low, high = min(low, low + shift, estimate), max(high, high + shift, estimate)
    return max(float(low), lowest), min(float(high), 1.0)


def group_sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the sums of float64[N,K] per group, in order of the group numbers.

    >>> group_sums(np.array([[1, 10], [2, 20], [4, 40]]), np.array([9, 3, 9]))
    array([[ 2, 20],
           [ 5, 50]])
    """
    _, numbers = np.unique(groups, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    return np.add.reduceat(values[order], starts, axis=0)


def check_groups(groups: np.ndarray, n_rows: int) -> np.ndarray:
    """Return groups; require one integer per row and at least one row."""
    if groups.shape != (n_rows,) or groups.dtype.kind not in "ui" or n_rows == 0:
        raise ValueError(
            f"groups must be integers of shape ({n_rows},), at least one, got {groups.dtype} of "
            f"shape {groups.shape}"
        )
    return groups


def _columns(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return columns to add over rows, float64[N,3K]: hits, errors and truth of K = C + 2 scores.

    The scores are F1 of each class, micro F1, and the mean F1 of rows.
    """
    by_row = f1_by_row(y_true, y_pred)[:, None]
    hits = (y_true & y_pred).astype(np.float64)
    errors = (y_true ^ y_pred).astype(np.float64)
    ones = np.ones_like(by_row)
    return np.hstack(
        [
            *(hits, hits.sum(axis=1, keepdims=True), by_row),
            *(errors, errors.sum(axis=1, keepdims=True), 1 - by_row),
            *(y_true, ones, ones),
        ]
    )


def _prior(sums: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    """Return half a hit and half an error of random weight for each score, float64[n,2K].

    They weigh as much as half a group: copies within the groups change no interval.
    """
    hits, errors, _ = np.split(sums, 3, axis=1)
    size = ratio((hits + errors).sum(axis=0), ((hits + errors) > 0).sum(axis=0))
    return random.standard_gamma(0.5, size=(n, 2 * len(size))) * np.tile(size, 2)


def _weights(n_groups: int, n: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the weight of each group, float64[R,G], for `n` replicates in chunks."""
    for start in range(0, n, CHUNK):
        yield random.standard_exponential((min(CHUNK, n - start), n_groups))
