"""How far a number may be luck: the bootstrap over groups.

Images of one group (duplicates, one antibody) are no independent evidence, so whole groups are
drawn with replacement. Counts of a replicate are a sum of the groups' counts, weighted by how often
each was drawn: one matrix product for many replicates, and no image is counted twice.

A class that has positives, but none in a replicate, says nothing there: it is left out of that
replicate's macro F1. (Counted as 0 it would pull the interval below the score itself, the more so
the rarer the class.) A class without any positive keeps its F1 of 0.0 throughout.

Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentiles).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpa.errors import UserError
from hpa.metrics.counts import check_indicators, check_same_shape
from hpa.metrics.f1 import f1_by_row
from hpa.seeds import stream

LEVEL = 0.95
"""Share of replicates that an interval holds."""

CHUNK = 256
"""Replicates drawn at once: 6,000 groups then need 6 MB."""


@dataclass(frozen=True, eq=False)
class Replicates:
    """F1 of R replicates.

    Attributes:
        by_class: float64[R,C]; NaN where a class with positives has none in the replicate.
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
    """Judge `n` replicates of the rows, drawn by groups; equal groups and seed give equal draws.

    Args:
        y_true, y_pred: uint8[N,C].
        groups: integers [N]: equal numbers were drawn together.
        seed: of `hpa.seeds`, purpose "bootstrap".
        n: replicates.

    Raises:
        UserError: no rows, an array of another shape, or fewer than one replicate.
    """
    sums = group_sums(_columns(y_true, y_pred), check_groups(groups, len(y_true)))
    if n < 1:
        raise UserError(
            "there is nothing to draw",
            expected="at least one replicate",
            received=f"n = {n}",
            remedy="ask for some 1,000",
        )
    random, n_classes = stream(seed, "bootstrap"), y_true.shape[1]
    drawn = np.concatenate([w @ sums for w in _weights(len(sums), n, random)])
    found, support, predicted = np.split(drawn[:, : 3 * n_classes], 3, axis=1)
    by_class = _ratio(2 * found, support + predicted)
    lacking = (support == 0) & (y_true.sum(axis=0) > 0)
    known = np.where(lacking, 0.0, by_class)
    return Replicates(
        by_class=np.where(lacking, np.nan, by_class),
        macro=_ratio(known.sum(axis=1), (~lacking).sum(axis=1)),
        micro=_ratio(2 * found.sum(axis=1), (support + predicted).sum(axis=1)),
        weighted=_ratio((support * known).sum(axis=1), support.sum(axis=1)),
        sample=drawn[:, -2] / drawn[:, -1],
    )


def percentile_interval(replicates: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the middle `level` of replicates float64[R], NaN left out; NaN twice where all are."""
    known = replicates[~np.isnan(replicates)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def group_sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Add the rows of float64[N,K] that share a group, one row a group in order of its number."""
    _, numbers = np.unique(groups, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    return np.add.reduceat(values[order], starts, axis=0)


def check_groups(groups: np.ndarray, n_rows: int) -> np.ndarray:
    """Refuse groups that are not one integer a row, or no rows at all."""
    if groups.shape != (n_rows,) or groups.dtype.kind not in "ui" or n_rows == 0:
        raise UserError(
            "groups do not fit the rows",
            expected=f"integers of shape ({n_rows},), at least one",
            received=f"{groups.dtype} of shape {groups.shape}",
            remedy="take them from data/split/assignment.csv, in the order of the rows",
        )
    return groups


def _columns(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return what adds up over rows, float64[N,3C+2]: found, true, predicted, row F1, one."""
    check_indicators("y_true", y_true)
    check_indicators("y_pred", y_pred)
    check_same_shape("y_true", y_true, "y_pred", y_pred)
    by_row = f1_by_row(y_true, y_pred)[:, None]
    columns = [y_true & y_pred, y_true, y_pred, by_row, np.ones_like(by_row)]
    return np.hstack(columns).astype(np.float64)


def _weights(n_groups: int, n: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield how often each group was drawn, float64[r,G], until `n` replicates are made."""
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        drawn = random.integers(n_groups, size=(size, n_groups))
        drawn += n_groups * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups) * 1.0


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.asarray(numerator / np.where(denominator > 0, denominator, 1))
