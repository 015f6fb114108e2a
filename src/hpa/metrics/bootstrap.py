"""Confidence intervals by the bootstrap over groups.

Images of one group (duplicates, one antibody) are not independent, so whole groups are drawn with
replacement. The counts of a replicate are the sum of the groups' counts, weighted by how often each
was drawn: one matrix product for many replicates.

A class with positives, but none in a replicate, is left out of that replicate's macro F1. (Counted
as 0 it would pull the interval below the score itself, the more so the rarer the class.) A class
without any positive keeps its F1 of 0.0 throughout.

Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentiles).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpa.metrics.f1 import f1_by_row, ratio
from hpa.seeds import stream

LEVEL = 0.95  # share of replicates inside an interval
CHUNK = 256  # replicates drawn at once: 6,000 groups need 6 MB


@dataclass(frozen=True, eq=False)
class Replicates:
    """F1 of R replicates.

    Attributes:
        by_class: float64[R,C]; NaN for a class with positives, but none in the replicate.
        macro, micro, weighted, sample: float64[R] each.
    """

    by_class: np.ndarray
    macro: np.ndarray
    micro: np.ndarray
    weighted: np.ndarray
    sample: np.ndarray


def bootstrap_f1(
    y_true: np.ndarray, y_pred: np.ndarray, groups: np.ndarray, *, seed: int, n: int
) -> Replicates:
    """Return F1 of `n` replicates of uint8[N,C]; rows of one group are drawn together.

    Equal groups and seed (`hpa.seeds`, purpose "bootstrap") give equal draws.

    >>> y_true, y_pred = np.array([[1], [1], [0]]), np.array([[1], [0], [1]])
    >>> bootstrap_f1(y_true, y_pred, np.zeros(3, int), seed=0, n=2).macro  # one group: 2 / (2 + 2)
    array([0.5, 0.5])
    """
    sums = group_sums(_columns(y_true, y_pred), check_groups(groups, len(y_true)))
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    random, n_classes = stream(seed, "bootstrap"), y_true.shape[1]
    drawn = np.concatenate([w @ sums for w in _weights(len(sums), n, random)])
    true_positives, support, predicted = np.split(drawn[:, : 3 * n_classes], 3, axis=1)
    by_class = ratio(2 * true_positives, support + predicted)
    lacking = (support == 0) & (y_true.sum(axis=0) > 0)
    known = np.where(lacking, 0.0, by_class)
    return Replicates(
        by_class=np.where(lacking, np.nan, by_class),
        macro=ratio(known.sum(axis=1), (~lacking).sum(axis=1)),
        micro=ratio(2 * true_positives.sum(axis=1), (support + predicted).sum(axis=1)),
        weighted=ratio((support * known).sum(axis=1), support.sum(axis=1)),
        sample=drawn[:, -2] / drawn[:, -1],
    )


def percentile_interval(replicates: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the middle `level` of replicates float64[R] without NaN; NaN twice if all are NaN.

    >>> percentile_interval(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    known = replicates[~np.isnan(replicates)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


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
    """Return columns to add over rows, float64[N,3C+2]: hits, truth, predictions, row F1, 1."""
    by_row = f1_by_row(y_true, y_pred)[:, None]
    columns = [y_true & y_pred, y_true, y_pred, by_row, np.ones_like(by_row)]
    return np.hstack(columns).astype(np.float64)


def _weights(n_groups: int, n: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the number of draws of each group, float64[R,G], for `n` replicates in chunks."""
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        drawn = random.integers(n_groups, size=(size, n_groups))
        drawn += n_groups * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups) * 1.0
