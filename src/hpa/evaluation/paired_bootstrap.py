"""Paired bootstrap: compare two models on the same draws of test images."""

from dataclasses import dataclass

import numpy as np

from hpa.metrics.bootstrap import bootstrap_f1, interval, too_few
from hpa.metrics.counts import check_same_shape, count_outcomes
from hpa.metrics.f1 import f1, macro_f1
from hpa.vocabulary.labels import Labels


@dataclass(frozen=True, eq=False)
class PairedComparison:
    """F1 of two predictions for the same images, and the uncertainty of their difference.

    Differences are B minus A, with 95 % intervals. `better` is the share of replicates in which B
    is ahead, ties by half: 0.5 is undecided, 0.975 is a clear yes.

    Attributes:
        macro_f1: of A and of B.
        difference: of macro F1.
        interval: of the difference, low and high; NaN if `too_few` is not empty.
        better: in [0,1]; NaN if `too_few` is not empty.
        class_f1: float64[2,C], A and B.
        class_interval: float64[2,C], low and high; NaN for a class without positives.
        class_better: float64[C]; NaN for a class without positives.
        support: int64[C], images that carry each class.
        n_images, n_groups: size of the test split.
        labels: of the classes.
        too_few: why macro F1 has no interval; "" if it has one.
    """

    macro_f1: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    better: float
    class_f1: np.ndarray
    class_interval: np.ndarray
    class_better: np.ndarray
    support: np.ndarray
    n_images: int
    n_groups: int
    labels: Labels
    too_few: str


def compare(
    y_true: np.ndarray,
    groups: np.ndarray,
    pred_a: np.ndarray,
    pred_b: np.ndarray,
    labels: Labels,
    seed: int,
    n: int,
) -> PairedComparison:
    """Compare two predictions for the same rows by `n` paired draws of whole groups.

    `better` has a standard error of at most 0.5 / sqrt(n).
    """
    check_same_shape("pred_a", pred_a, "pred_b", pred_b)
    counts = [count_outcomes(y_true, pred) for pred in (pred_a, pred_b)]
    drawn = [bootstrap_f1(y_true, pred, groups, seed=seed, n=n) for pred in (pred_a, pred_b)]
    differences = drawn[1].by_class - drawn[0].by_class
    support = counts[0].support
    differences[:, support == 0] = np.nan
    macro = macro_f1(counts[0]), macro_f1(counts[1])
    class_f1 = np.stack([f1(each) for each in counts])
    macro_differences = drawn[1].macro - drawn[0].macro
    return PairedComparison(
        macro_f1=macro,
        difference=macro[1] - macro[0],
        interval=interval(macro[1] - macro[0], macro_differences, lowest=-1),
        better=_share_ahead(macro_differences),
        class_f1=class_f1,
        class_interval=np.transpose(
            [
                interval(*each, lowest=-1)
                for each in zip(np.diff(class_f1, axis=0)[0], differences.T, strict=True)
            ]
        ),
        class_better=np.array([_share_ahead(each) for each in differences.T]),
        support=support,
        n_images=len(y_true),
        n_groups=len(np.unique(groups)),
        labels=labels,
        too_few=too_few(y_true, groups),
    )


def _share_ahead(differences: np.ndarray) -> float:
    known = differences[~np.isnan(differences)]
    if not len(known):
        return float("nan")
    return float(np.mean(known > 0) + 0.5 * np.mean(known == 0))
