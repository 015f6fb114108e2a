import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from hpa.labels import N_LABELS
from hpa.metrics.ranking import rank_scores, sweep
from hpa.thresholds.cross_fitting import cross_fitted_macro_f1, validation_metrics


def scores(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_true = (random.random((n, N_LABELS)) < 0.2).astype(np.uint8)
    y_true[0] = 1
    y_prob = np.clip(0.3 * y_true + random.normal(0.4, 0.2, y_true.shape), 0, 1)
    return y_true, y_prob.round(2).astype(np.float32)  # rounded: many rows have the same score


def test_average_precision_leaves_classes_without_positives_out() -> None:
    y_true, y_prob = scores(200)
    y_true[:, 5:] = 0
    expected = [average_precision_score(y_true[:, c], y_prob[:, c]) for c in range(5)]
    judged = validation_metrics(y_true, y_prob)["macro_average_precision"]
    assert judged == pytest.approx(np.mean(expected), rel=1e-12)


def test_each_half_is_judged_by_the_thresholds_of_the_other() -> None:
    # Class 0, positives first: .9 (half 0), .5 (half 1), then negatives .4 (half 0), .1 (half 1).
    # Half 0 cuts at (.9+.4)/2 = .65: of half 1, .5 is missed. Half 1 cuts at (.5+.1)/2 = .3: of
    # half 0, .9 is found and .4 is wrong. F1 = 2·1 / (2·1 + 1 + 1) = .5; other classes have 0.
    y_true = np.zeros((4, N_LABELS), np.uint8)
    y_prob = np.full((4, N_LABELS), 0.2, np.float32)
    y_true[:2, 0] = 1
    y_prob[:, 0] = [0.9, 0.5, 0.4, 0.1]
    assert cross_fitted_macro_f1(y_true, y_prob) == pytest.approx(0.5 / N_LABELS)


def test_the_optimistic_score_is_that_of_thresholds_fitted_to_the_same_rows() -> None:
    y_true, y_prob = scores(300)
    values, _ = sweep(rank_scores(y_true, y_prob))
    judged = validation_metrics(y_true, y_prob)
    expected = f1_score(y_true, y_prob >= values, average="macro")
    assert judged["macro_f1_optimistic"] == pytest.approx(expected)
    assert judged["macro_f1"] < judged["macro_f1_optimistic"]


def test_scores_that_know_nothing_are_not_flattered() -> None:
    random = np.random.default_rng(1)
    y_true = (random.random((400, N_LABELS)) < 0.02).astype(np.uint8)
    y_prob = random.random(y_true.shape).astype(np.float32)
    judged = validation_metrics(y_true, y_prob)
    assert judged["macro_f1"] < 0.06  # predicting all rows gives 2·.02/1.02 = .04
    assert judged["macro_f1_optimistic"] > 1.5 * judged["macro_f1"]
