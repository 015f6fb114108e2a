"""Paired bootstrap: both models are evaluated on the same draws."""

import numpy as np
import pytest

from hpa.evaluation.noninferiority import objections
from hpa.evaluation.paired_bootstrap import compare
from hpa.metrics.bootstrap import bootstrap_f1, interval
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import macro_f1
from hpa.reports.run_comparison import as_text
from hpa.vocabulary import hpa2018
from hpa.vocabulary.labels import Labels

FOUR = Labels.named("abcd")


def random_pair(n_rows: int, n_classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_true = (random.random((n_rows, n_classes)) < 0.4).astype(np.uint8)
    wrong = random.random(y_true.shape) < 0.2
    return y_true, np.where(wrong, 1 - y_true, y_true).astype(np.uint8)


def test_a_model_ties_with_itself() -> None:
    y_true, y_pred = random_pair(50)
    tie = compare(y_true, np.arange(50), y_pred, y_pred, FOUR, 1, 200)
    assert (tie.difference, tie.interval, tie.better) == (0, (0, 0), 0.5)


def test_swapping_the_models_mirrors_the_comparison() -> None:
    y_true, pred_a = random_pair(50)
    pred_b = random_pair(50, seed=3)[1]
    one = compare(y_true, np.arange(50), pred_a, pred_b, FOUR, 1, 200)
    other = compare(y_true, np.arange(50), pred_b, pred_a, FOUR, 1, 200)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert one.better == pytest.approx(1 - other.better)


def test_pairing_detects_a_small_gain_that_two_separate_intervals_miss() -> None:
    y_true, pred_a = random_pair(300)
    pred_b = pred_a.copy()
    pred_b[:12] = y_true[:12]  # B corrects a few errors of A and adds none
    comparison = compare(y_true, np.arange(300), pred_a, pred_b, FOUR, 1, 500)
    assert comparison.interval[0] > 0
    assert comparison.better > 0.98
    apart = [
        interval(
            macro_f1(count_outcomes(y_true, each)),
            bootstrap_f1(y_true, each, np.arange(300), seed=1, n=500).macro,
        )
        for each in (pred_a, pred_b)
    ]
    assert apart[0][1] > apart[1][0]


def test_a_class_found_by_one_model_alone_has_a_difference_inside_its_interval() -> None:
    random = np.random.default_rng(0)
    y_true = (random.random((40, 28)) < 0.3).astype(np.uint8)
    y_true[:, 0] = np.arange(40) == 7
    pred_a, pred_b = y_true.copy(), y_true.copy()
    pred_a[7, 0] = 0
    comparison = compare(y_true, np.arange(40), pred_a, pred_b, hpa2018.LABELS, 1, 200)
    low, high = comparison.class_interval[:, 0]
    assert low <= 1 <= high
    assert low < 0.9  # one image says little
    assert comparison.interval[0] <= comparison.difference <= comparison.interval[1]


def test_a_single_group_gives_no_interval_and_the_reason_reaches_the_text() -> None:
    y_true, pred_a = random_pair(50, n_classes=28)
    comparison = compare(y_true, np.zeros(50, int), pred_a, y_true, hpa2018.LABELS, 1, 200)
    assert np.isnan(comparison.interval).all()
    assert "no interval: all images belong to one group" in as_text(comparison, "a", "b")
    reasons = objections(comparison, macro_margin=0.02, class_margin=0.15, min_support=10)
    assert reasons == ["macro F1 cannot be compared: all images belong to one group"]
