"""Bootstrap: groups are drawn whole, and the coverage of intervals is right."""

import numpy as np
import pytest

from hpa.metrics.bootstrap import bootstrap_f1, group_sums, percentile_interval
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import f1_by_row, macro_f1, micro_f1, weighted_f1


def random_pair(n_rows: int, n_classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_true = (random.random((n_rows, n_classes)) < 0.4).astype(np.uint8)
    wrong = random.random(y_true.shape) < 0.2
    return y_true, np.where(wrong, 1 - y_true, y_true).astype(np.uint8)


def test_group_sums_match_a_table_worked_by_hand() -> None:
    values = np.array([[1.0, 10], [2, 20], [4, 40]])
    assert group_sums(values, np.array([9, 3, 9])).tolist() == [[2, 20], [5, 50]]


def test_replicates_of_a_single_group_are_all_the_set_itself() -> None:
    y_true, y_pred = random_pair(30)
    drawn = bootstrap_f1(y_true, y_pred, np.zeros(30, int), seed=1, n=7)
    counts = count_outcomes(y_true, y_pred)
    np.testing.assert_allclose(drawn.macro, macro_f1(counts))
    np.testing.assert_allclose(drawn.micro, micro_f1(counts))
    np.testing.assert_allclose(drawn.weighted, weighted_f1(counts))
    np.testing.assert_allclose(drawn.sample, f1_by_row(y_true, y_pred).mean())


def test_copies_in_the_same_group_leave_the_interval_and_copies_apart_narrow_it() -> None:
    y_true, y_pred = random_pair(60)
    groups = np.arange(60)
    once = bootstrap_f1(y_true, y_pred, groups, seed=1, n=400)
    four = [np.tile(each, (4, 1)) for each in (y_true, y_pred)]
    together = bootstrap_f1(*four, np.tile(groups, 4), seed=1, n=400)
    np.testing.assert_allclose(together.macro, once.macro)
    apart = bootstrap_f1(*four, np.arange(240), seed=1, n=400)
    # four times the independent rows: half the spread
    assert 0.35 < apart.macro.std() / once.macro.std() < 0.65


def test_the_interval_covers_the_true_value_in_about_95_percent_of_samples() -> None:
    population = random_pair(4000, seed=9)
    truth = micro_f1(count_outcomes(*population))
    random, covered = np.random.default_rng(4), 0
    for _ in range(200):
        rows = random.integers(4000, size=150)
        sample = [each[rows] for each in population]
        low, high = percentile_interval(bootstrap_f1(*sample, np.arange(150), seed=1, n=200).micro)
        covered += low <= truth <= high
    assert 180 <= covered <= 200  # binomial(200, .95) has 190 and a standard deviation of 3


def test_a_class_absent_from_a_draw_is_left_out_of_its_mean() -> None:
    y_true = np.zeros((20, 2), np.uint8)
    y_true[:, 0] = 1
    y_true[0, 1] = 1
    drawn = bootstrap_f1(y_true, y_true, np.arange(20), seed=1, n=300)
    assert np.isnan(drawn.by_class[:, 1]).any()
    np.testing.assert_allclose(drawn.macro, 1)


def test_a_class_without_positives_counts_as_zero_as_in_macro_f1() -> None:
    y_true = np.array([[1, 0], [1, 0]], np.uint8)
    assert set(bootstrap_f1(y_true, y_true, np.arange(2), seed=1, n=9).macro) == {0.5}


def test_groups_of_another_length_are_refused() -> None:
    y_true, y_pred = random_pair(5)
    with pytest.raises(ValueError, match=r"groups must be .*shape \(5,\).*shape \(4,\)"):
        bootstrap_f1(y_true, y_pred, np.arange(4), seed=1, n=9)
