"""Intervals and comparisons: groups are drawn whole, pairs are drawn together."""

import numpy as np
import pytest

from hpa.errors import UserError
from hpa.evaluation.paired_bootstrap import compare
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


def test_a_single_group_leaves_nothing_to_chance() -> None:
    y_true, y_pred = random_pair(30)
    drawn = bootstrap_f1(y_true, y_pred, np.zeros(30, int), seed=1, n=7)
    counts = count_outcomes(y_true, y_pred)
    np.testing.assert_allclose(drawn.macro, macro_f1(counts))
    np.testing.assert_allclose(drawn.micro, micro_f1(counts))
    np.testing.assert_allclose(drawn.weighted, weighted_f1(counts))
    np.testing.assert_allclose(drawn.sample, f1_by_row(y_true, y_pred).mean())


def test_copies_in_one_group_widen_nothing_and_copies_apart_narrow() -> None:
    y_true, y_pred = random_pair(60)
    groups = np.arange(60)
    once = bootstrap_f1(y_true, y_pred, groups, seed=1, n=400)
    four = [np.tile(each, (4, 1)) for each in (y_true, y_pred)]
    together = bootstrap_f1(*four, np.tile(groups, 4), seed=1, n=400)
    np.testing.assert_allclose(together.macro, once.macro)
    apart = bootstrap_f1(*four, np.arange(240), seed=1, n=400)
    # four times the independent rows: half the spread
    assert 0.35 < apart.macro.std() / once.macro.std() < 0.65


def test_the_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    everyone = random_pair(4000, seed=9)
    truth = micro_f1(count_outcomes(*everyone))
    random, covered = np.random.default_rng(4), 0
    for _ in range(200):
        rows = random.integers(4000, size=150)
        sample = [each[rows] for each in everyone]
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


def test_a_class_that_never_occurs_counts_as_zero_as_in_macro_f1() -> None:
    y_true = np.array([[1, 0], [1, 0]], np.uint8)
    assert set(bootstrap_f1(y_true, y_true, np.arange(2), seed=1, n=9).macro) == {0.5}


def test_groups_of_another_length_are_refused() -> None:
    y_true, y_pred = random_pair(5)
    with pytest.raises(UserError, match=r"groups do not fit(.|\n)*shape \(4,\)"):
        bootstrap_f1(y_true, y_pred, np.arange(4), seed=1, n=9)


def test_a_run_against_itself_is_a_tie() -> None:
    y_true, y_pred = random_pair(50)
    tie = compare(y_true, np.arange(50), y_pred, y_pred, 1, 200)
    assert (tie.difference, tie.interval, tie.better) == (0, (0, 0), 0.5)


def test_comparing_the_other_way_round_mirrors_the_answer() -> None:
    y_true, pred_a = random_pair(50)
    pred_b = random_pair(50, seed=3)[1]
    one = compare(y_true, np.arange(50), pred_a, pred_b, 1, 200)
    other = compare(y_true, np.arange(50), pred_b, pred_a, 1, 200)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert one.better == pytest.approx(1 - other.better)


def test_pairing_sees_a_small_gain_that_two_separate_intervals_hide() -> None:
    y_true, pred_a = random_pair(300)
    pred_b = pred_a.copy()
    pred_b[:12] = y_true[:12]  # B mends a few of A's mistakes and makes none
    found = compare(y_true, np.arange(300), pred_a, pred_b, 1, 500)
    assert found.interval[0] > 0
    assert found.better > 0.98
    apart = [
        percentile_interval(bootstrap_f1(y_true, each, np.arange(300), seed=1, n=500).macro)
        for each in (pred_a, pred_b)
    ]
    assert apart[0][1] > apart[1][0]
