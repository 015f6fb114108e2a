"""Paired bootstrap: both models are evaluated on the same draws."""

import numpy as np
import pytest

from hpa.evaluation.paired_bootstrap import compare
from hpa.metrics.bootstrap import bootstrap_f1, percentile_interval


def random_pair(n_rows: int, n_classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_true = (random.random((n_rows, n_classes)) < 0.4).astype(np.uint8)
    wrong = random.random(y_true.shape) < 0.2
    return y_true, np.where(wrong, 1 - y_true, y_true).astype(np.uint8)


def test_a_model_ties_with_itself() -> None:
    y_true, y_pred = random_pair(50)
    tie = compare(y_true, np.arange(50), y_pred, y_pred, 1, 200)
    assert (tie.difference, tie.interval, tie.better) == (0, (0, 0), 0.5)


def test_swapping_the_models_mirrors_the_comparison() -> None:
    y_true, pred_a = random_pair(50)
    pred_b = random_pair(50, seed=3)[1]
    one = compare(y_true, np.arange(50), pred_a, pred_b, 1, 200)
    other = compare(y_true, np.arange(50), pred_b, pred_a, 1, 200)
    assert one.difference == pytest.approx(-other.difference)
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert one.better == pytest.approx(1 - other.better)


def test_pairing_detects_a_small_gain_that_two_separate_intervals_miss() -> None:
    y_true, pred_a = random_pair(300)
    pred_b = pred_a.copy()
    pred_b[:12] = y_true[:12]  # B corrects a few errors of A and adds none
    comparison = compare(y_true, np.arange(300), pred_a, pred_b, 1, 500)
    assert comparison.interval[0] > 0
    assert comparison.better > 0.98
    apart = [
        percentile_interval(bootstrap_f1(y_true, each, np.arange(300), seed=1, n=500).macro)
        for each in (pred_a, pred_b)
    ]
    assert apart[0][1] > apart[1][0]
