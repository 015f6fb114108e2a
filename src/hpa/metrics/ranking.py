"""Every cut of every class at once, and the best of them: the exact sweep.

Macro F1 is separable by class, so the best cut of every class is found by itself and exactly: sort
the scores, and cumulative sums give F1 of every possible cut. No joint search can beat it on the
fit set; the score there is optimistic (by .033 at 6,000 rows), so judge on other rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hpa.errors import UserError
from hpa.metrics.bootstrap import check_groups
from hpa.metrics.counts import check_indicators, check_same_shape
from hpa.metrics.predictions import check_probabilities


@dataclass(frozen=True, eq=False)
class Ranking:
    """Every cut of every class at once: sorted once, then any rule reads it.

    Cut k (k = 0 … N-1) predicts the k+1 highest scores of a class; its gap is the interval of
    thresholds that do so, empty where the next score is the same: ties stand or fall together.

    Attributes:
        scores: float64[C,N], descending.
        true_positives: int64[C,N], positives among the k+1 highest.
        support: int64[C].
        groups: int64[C,N], the group of the row at that rank; None where no two rows share one.
    """

    scores: np.ndarray
    true_positives: np.ndarray
    support: np.ndarray
    groups: np.ndarray | None = None

    @cached_property
    def truth(self) -> np.ndarray:
        """1 where the row of that rank carries the class, int64[C,N]."""
        return np.diff(self.true_positives, axis=1, prepend=0)

    @cached_property
    def next_scores(self) -> np.ndarray:
        """The highest score left out by each cut, float64[C,N]; 0 where none is left out."""
        return np.pad(self.scores[:, 1:], ((0, 0), (0, 1)))

    def useful_cuts(self, index: int) -> np.ndarray:
        """Return the cuts of a class that can be best, ascending int64[K]: none without positives.

        They end a run of equal scores above 0 that holds a positive; a cut further down predicts
        more and finds no more.
        """
        scores = self.scores[index]
        positives = np.flatnonzero(np.diff(self.true_positives[index], prepend=0))
        ends = np.unique(np.searchsorted(-scores, -scores[positives], "right") - 1)
        return ends[scores[ends] > 0]

    def subset(self, kept: np.ndarray) -> "Ranking":
        """Return the rows marked in `kept`, bool[C,N].

        A class that keeps fewer than another is filled up with negatives of score 0.
        """
        width = kept.sum(axis=1).max()
        order = np.argsort(~kept, axis=1, kind="stable")[:, :width]

        def pick(values: np.ndarray, filling: int) -> np.ndarray:
            inside = np.take_along_axis(kept, order, axis=1)
            return np.where(inside, np.take_along_axis(values, order, axis=1), filling)

        truth = pick(self.truth, 0)
        groups = None if self.groups is None else pick(self.groups, -1)
        return Ranking(pick(self.scores, 0), np.cumsum(truth, axis=1), truth.sum(axis=1), groups)

    def count_at(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return true positives and rows predicted where score >= value, int64 as `values`.

        Args:
            values: thresholds float64[C,T], T of each class.
        """
        pairs = zip(self.scores, values, strict=True)
        n_predicted = np.array([np.searchsorted(-row, -value, "right") for row, value in pairs])
        found = np.pad(self.true_positives, ((0, 0), (1, 0)))
        return np.take_along_axis(found, n_predicted, axis=1), n_predicted

    def f1_at(self, values: np.ndarray) -> np.ndarray:
        """F1 where score >= value, float64 as `values`, [C] or [C,T]; 0.0 for 0/0."""
        columns = values.reshape(len(values), -1)
        found, n_predicted = self.count_at(columns)
        f1: np.ndarray = 2 * found / np.maximum(n_predicted + self.support[:, None], 1)
        return f1.reshape(values.shape)


def rank_scores(
    y_true: np.ndarray, y_prob: np.ndarray, groups: np.ndarray | None = None
) -> Ranking:
    """Sort each class by score, positives first among equals; the door of every fit.

    The order of rows leaves no trace, not even in ties.
    Scores count as float32, the type in which they are stored: midpoints are then exact in float64.

    Args:
        y_true: uint8[N,28].
        y_prob: floating [N,28] in [0,1].
        groups: integers [N]; rows of one group are no evidence for each other. None: all differ.

    Raises:
        UserError: no rows, shapes differ, y_true is not 0/1, y_prob not finite in [0,1], or groups
            no integer a row.
    """
    check_indicators("y_true", y_true)
    check_probabilities("y_prob", y_prob)
    check_same_shape("y_true", y_true, "y_prob", y_prob)
    if len(y_true) == 0:
        raise UserError(
            "there is nothing to fit thresholds on",
            expected="at least one row",
            received=f"y_true of shape {y_true.shape}",
            remedy="look whether the validation split is empty",
        )
    # The bits of numbers from 0 to 1 sort as the numbers do and leave two free: one for truth.
    bits = np.ascontiguousarray(y_prob.T, dtype=np.float32) + np.float32(0)  # -0.0 becomes 0.0
    keys = (bits.view(np.uint32) << 1) | np.ascontiguousarray(y_true.T, dtype=np.uint32)
    ranked_groups = None
    if groups is None or len(np.unique(check_groups(groups, len(y_true)))) == len(y_true):
        keys.sort(axis=1)
    else:
        spread = np.broadcast_to(groups, keys.shape)
        order = np.lexsort((spread, keys))
        keys, ranked_groups = (np.take_along_axis(a, order, axis=1) for a in (keys, spread))
        ranked_groups = ranked_groups[:, ::-1]
    keys = keys[:, ::-1]
    true_positives = np.cumsum(keys & 1, axis=1, dtype=np.int64)
    scores = (keys >> 1).view(np.float32).astype(np.float64)
    return Ranking(scores, true_positives, true_positives[:, -1], ranked_groups)


def sweep(ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's best threshold and its F1, float64[C] both.

    The threshold is the middle of the best cut's gap. Of equally good cuts the one with the widest
    gap wins, for there a small shift of new scores changes fewest decisions; then the highest.
    (Real scores, 60 half-splits, held out: the highest cut always is .001 better on the strong
    network and .002 worse on the weak one; the lowest, and gaps measured in logits, lose on both.)

    Where no cut helps, F1 is 0.0 and the threshold just above the largest score: the class is
    predicted nowhere here (but where that score is 1), yet a score beyond all that is known to be
    negative counts as evidence, and macro F1 can only gain by it.
    """
    values, best = just_above(ranking.scores[:, 0]), np.zeros(len(ranking.support))
    for index in np.flatnonzero(ranking.support).tolist():
        cuts = ranking.useful_cuts(index)
        if not len(cuts):  # every positive scores 0
            continue
        f1 = 2 * ranking.true_positives[index][cuts] / (cuts + 1 + ranking.support[index])
        best[index] = f1.max()
        upper, lower = ranking.scores[index][cuts], ranking.next_scores[index][cuts]
        cut = np.where(f1 == best[index], upper - lower, -1.0).argmax()
        values[index] = (upper[cut] + lower[cut]) / 2
    return values, best


def just_above(scores: np.ndarray) -> np.ndarray:
    """Return the next float32, as float64, kept below 1 where the score itself is 1."""
    above = np.nextafter(scores.astype(np.float32), np.float32(1)).astype(np.float64)
    return np.minimum(above, np.nextafter(1.0, 0.0))


def best_macro_f1(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return macro F1 of the exact sweep on its own rows: optimistic, and done in milliseconds."""
    return float(sweep(rank_scores(y_true, y_prob))[1].mean())
