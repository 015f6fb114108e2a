"""F1, precision and recall: values worked by hand, and scikit-learn as oracle."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from hpa.metrics.counts import Counts, count_outcomes
from hpa.metrics.f1 import best_constant_prediction, f1, macro_f1, micro_f1, precision, recall


def random_pair(n_rows: int, n_classes: int = 28, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed).random((2, n_rows, n_classes)) < 0.3
    return draw[0].astype(np.uint8), draw[1].astype(np.uint8)


def hand_counts() -> Counts:
    """Three classes: mostly true positives, never predicted, neither true nor predicted."""
    return Counts(
        true_positives=np.array([3, 0, 0]),
        false_positives=np.array([1, 0, 0]),
        false_negatives=np.array([2, 4, 0]),
        true_negatives=np.array([4, 6, 10]),
    )


def test_ratios_match_values_worked_by_hand() -> None:
    counts = hand_counts()
    # class 0: precision 3/(3+1), recall 3/(3+2), F1 2*3/(2*3+1+2) = 6/9.
    np.testing.assert_allclose(precision(counts), [3 / 4, 0, 0])
    np.testing.assert_allclose(recall(counts), [3 / 5, 0, 0])
    np.testing.assert_allclose(f1(counts), [6 / 9, 0, 0])
    assert macro_f1(counts) == pytest.approx(6 / 9 / 3)
    # micro: TP 3, FP 1, FN 6, so 2*3/(2*3+1+6) = 6/13.
    assert micro_f1(counts) == pytest.approx(6 / 13)


def test_zero_division_fills_exactly_the_undefined_ratios() -> None:
    counts = hand_counts()
    assert precision(counts, zero_division=1.0).tolist() == [3 / 4, 1.0, 1.0]
    assert recall(counts, zero_division=1.0).tolist() == [3 / 5, 0.0, 1.0]
    assert f1(counts, zero_division=1.0).tolist() == [6 / 9, 0.0, 1.0]


def test_micro_f1_of_nothing_is_the_zero_division() -> None:
    empty = np.zeros((4, 3), dtype=np.uint8)
    counts = count_outcomes(empty, empty)
    assert micro_f1(counts) == 0.0
    assert micro_f1(counts, zero_division=1.0) == 1.0


def degenerate_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    y_true, y_pred = random_pair(40)
    none, every = np.zeros_like(y_true), np.ones_like(y_true)
    return {
        "random": (y_true, y_pred),
        "one row": (y_true[:1], y_pred[:1]),
        "perfect": (y_true, y_true),
        "all wrong": (y_true, 1 - y_true),
        "no truth": (none, y_pred),
        "no prediction": (y_true, none),
        "neither": (none, none),
        "all true": (every, y_pred),
        "all predicted": (y_true, every),
    }


@pytest.mark.parametrize("case", degenerate_pairs())
@pytest.mark.parametrize("zero_division", [0.0, 1.0])
def test_metrics_agree_with_scikit_learn(case: str, zero_division: float) -> None:
    y_true, y_pred = degenerate_pairs()[case]
    counts = count_outcomes(y_true, y_pred)
    for ours, oracle in ((f1, f1_score), (precision, precision_score), (recall, recall_score)):
        expected = oracle(y_true, y_pred, average=None, zero_division=zero_division)
        np.testing.assert_allclose(ours(counts, zero_division), expected, rtol=1e-12)
    for ours_of_all, average in ((macro_f1, "macro"), (micro_f1, "micro")):
        expected = f1_score(y_true, y_pred, average=average, zero_division=zero_division)
        assert ours_of_all(counts, zero_division) == pytest.approx(expected)


def test_macro_f1_is_the_mean_and_not_the_last_class() -> None:
    # A third-place solution returned the loop variable: the F1 of class 27.
    y_true, y_pred = random_pair(200)
    y_pred[:, -1] = y_true[:, -1]
    counts = count_outcomes(y_true, y_pred)
    assert f1(counts)[-1] == 1.0
    assert macro_f1(counts) < 0.5


def test_a_perfect_prediction_scores_one_when_batches_are_added() -> None:
    y_true = np.eye(28, dtype=np.uint8)
    counts = count_outcomes(y_true[:14], y_true[:14]) + count_outcomes(y_true[14:], y_true[14:])
    assert macro_f1(counts) == 1.0


def test_the_best_constant_holds_every_class_with_a_positive() -> None:
    y_true = np.array([[1, 0, 0], [1, 1, 0]], dtype=np.uint8)
    constant = best_constant_prediction(y_true)
    assert constant.tolist() == [1, 1, 0]
    assert constant.dtype == np.uint8


def test_the_best_constant_scores_two_p_over_one_plus_p() -> None:
    y_true = np.array([[1, 0], [1, 0], [0, 0], [0, 1]], dtype=np.uint8)
    counts = count_outcomes(y_true, np.tile(best_constant_prediction(y_true), (4, 1)))
    # p = 2/4: 2*(1/2)/(3/2) = 2/3; p = 1/4: 2*(1/4)/(5/4) = 2/5.
    np.testing.assert_allclose(f1(counts), [2 / 3, 2 / 5])


def test_no_other_constant_beats_the_best_constant() -> None:
    y_true, _ = random_pair(20, n_classes=5)
    y_true[:, 3] = 0
    scores = {
        constant: macro_f1(count_outcomes(y_true, np.tile(np.array(constant), (20, 1))))
        for constant in itertools.product((0, 1), repeat=5)
    }
    assert scores[tuple(best_constant_prediction(y_true).tolist())] == max(scores.values())
