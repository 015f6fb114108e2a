"""Cross-fitting: no row is decided, scored or calibrated by its own group."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, f1_score

from hpa.metrics.calibration import class_calibration_error, log_loss
from hpa.metrics.ranking import rank_scores, sweep
from hpa.thresholds.cross_fitting import (
    cross_fitted_calibration,
    cross_fitted_decisions,
    cross_fitted_f1,
    stratified_folds,
    two_fold_macro_f1,
    validation_metrics,
)
from hpa.thresholds.rules import RULES, swept
from hpa.vocabulary import hpa2018

N_LABELS = len(hpa2018.LABELS)


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
    metrics = validation_metrics(y_true, y_prob)
    assert metrics["macro_average_precision"] == pytest.approx(np.mean(expected), rel=1e-12)


def test_each_fold_is_decided_by_the_thresholds_of_the_other() -> None:
    # Class 0, positives first: .9 (fold 0), .5 (fold 1), then negatives .4 (fold 0), .1 (fold 1).
    # Fold 0 cuts at (.9+.4)/2 = .65: in fold 1, .5 is a false negative. Fold 1 cuts at
    # (.5+.1)/2 = .3: in fold 0, .9 is a true and .4 a false positive.
    # F1 = 2·1 / (2·1 + 1 + 1) = .5; other classes have 0.
    y_true = np.zeros((4, N_LABELS), np.uint8)
    y_prob = np.full((4, N_LABELS), 0.2, np.float32)
    y_true[:2, 0] = 1
    y_prob[:, 0] = [0.9, 0.5, 0.4, 0.1]
    assert two_fold_macro_f1(y_true, y_prob) == pytest.approx(0.5 / N_LABELS)


def test_the_optimistic_macro_f1_uses_thresholds_fitted_to_the_same_rows() -> None:
    y_true, y_prob = scores(300)
    values, _ = sweep(rank_scores(y_true, y_prob))
    metrics = validation_metrics(y_true, y_prob)
    expected = f1_score(y_true, y_prob >= values, average="macro")
    assert metrics["macro_f1_optimistic"] == pytest.approx(expected)
    assert metrics["macro_f1"] < metrics["macro_f1_optimistic"]


def test_random_scores_have_a_two_fold_macro_f1_near_chance() -> None:
    random = np.random.default_rng(1)
    y_true = (random.random((400, N_LABELS)) < 0.02).astype(np.uint8)
    y_prob = random.random(y_true.shape).astype(np.float32)
    metrics = validation_metrics(y_true, y_prob)
    assert metrics["macro_f1"] < 0.06  # predicting all rows gives 2·.02/1.02 = .04
    assert metrics["macro_f1_optimistic"] > 1.5 * metrics["macro_f1"]


def test_the_cross_fitted_f1_of_a_fixed_threshold_is_its_plain_f1() -> None:
    ranking = rank_scores(*scores(103))
    fixed = RULES["fixed"]
    np.testing.assert_allclose(
        cross_fitted_f1(ranking, fixed, seed=3), ranking.f1_at(fixed(ranking))
    )


def test_random_scores_have_a_cross_fitted_f1_below_the_fitted_one() -> None:
    # At a rate of 0.04 predicting all gives F1 2 * 0.04 / 1.04 = 0.077; the sweep overfits.
    random = np.random.default_rng(1)
    y_true = (random.random((500, N_LABELS)) < 0.04).astype(np.uint8)
    ranking = rank_scores(y_true, random.random(y_true.shape))
    assert sweep(ranking)[1].mean() > 0.1
    assert cross_fitted_f1(ranking, RULES["sweep"], seed=0).mean() < 0.08


def test_copies_in_one_group_do_not_raise_the_cross_fitted_f1() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(125), 4)
    y_true = (random.random((125, N_LABELS)) < 0.04).astype(np.uint8)[groups]
    y_prob = random.random((125, N_LABELS))[groups]
    estimates = [
        cross_fitted_f1(rank_scores(y_true, y_prob, given), RULES["sweep"], seed=0).mean()
        for given in (groups, None)
    ]
    assert estimates[0] < 0.09  # chance, as above
    assert estimates[1] > 0.12  # copies in other folds leak


def test_folds_are_stratified_and_keep_groups_together() -> None:
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(50), 2)
    truth = np.repeat(random.random((4, 50)) < [[0.1], [0.2], [0.3], [0.5]], 2, axis=1).astype(int)
    folds = stratified_folds(truth, groups, random)
    np.testing.assert_array_equal(folds[:, ::2], folds[:, 1::2])
    for positive, fold in zip(truth, folds, strict=True):
        assert np.bincount(fold).tolist() == [20] * 5
        assert np.ptp(np.bincount(fold[positive == 1], minlength=5)) <= 2  # one group of two rows


def test_no_row_is_decided_by_its_own_group() -> None:
    y_true, y_prob = scores(60)
    groups = np.repeat([0, 1], 30)
    first = cross_fitted_decisions(y_true, y_prob, groups, swept, seed=0)
    changed = y_true.copy()
    changed[groups == 0] = 1 - changed[groups == 0]
    second = cross_fitted_decisions(changed, y_prob, groups, swept, seed=0)
    np.testing.assert_array_equal(first[groups == 0], second[groups == 0])
    assert (first[groups == 1] != second[groups == 1]).any()


def calibration_world(n_rows: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels of known probability, and scores whose logits need the given scale."""
    random = np.random.default_rng(0)
    prob = expit(random.normal(-1, 1.5, (n_rows, N_LABELS)))
    y_true = (random.random(prob.shape) < prob).astype(np.uint8)
    return y_true, expit(logit(prob) / scale).astype(np.float32)


def test_cross_fitting_corrects_distorted_scores_and_hardly_changes_calibrated_ones() -> None:
    groups = np.arange(3000)
    y_true, distorted = calibration_world(3000, scale=3)
    corrected = cross_fitted_calibration(y_true, distorted, groups, "temperature", seed=1)
    before, after = (class_calibration_error(y_true, each) for each in (distorted, corrected))
    assert after < 0.4 * before
    y_true, good = calibration_world(3000, scale=1)
    same = cross_fitted_calibration(y_true, good, groups, "platt", seed=1)
    assert log_loss(y_true, same) < log_loss(y_true, good) + 0.001


def test_no_row_is_calibrated_by_its_own_group() -> None:
    y_true, y_prob = calibration_world(40, scale=1)
    groups = np.repeat([0, 1], 20)
    first = cross_fitted_calibration(y_true, y_prob, groups, "platt", seed=1)
    changed = y_true.copy()
    changed[groups == 0] = 1 - changed[groups == 0]
    second = cross_fitted_calibration(changed, y_prob, groups, "platt", seed=1)
    np.testing.assert_array_equal(first[groups == 0], second[groups == 0])
    assert not np.allclose(first[groups == 1], second[groups == 1])
