"""Resampled macro F1 of benchmarks/learning.py, worked by hand."""

from types import ModuleType

import numpy as np
import pytest

from support.scripts import load_benchmark


@pytest.fixture(scope="module")
def learning() -> ModuleType:
    return load_benchmark("learning")


def test_macro_f1_of_draws_is_worked_by_hand(learning: ModuleType) -> None:
    y_true, y_pred = np.zeros((2, 3, 28), np.uint8)
    y_true[:, 0] = [1, 1, 0]
    y_pred[:, 0] = [1, 0, 1]
    run = learning.outcome(y_true, y_pred)
    assert run["y_true"] == ["0", "0", ""]
    # each image once: 1 true positive of 2 true and 2 predicted, F1 0.5, and 27 labels at 0
    assert run["macro_f1"] == pytest.approx(0.5 / 28)
    draws = np.array([[1, 1, 1], [3, 0, 0], [2, 0, 1]])
    # the first image three times: F1 1; twice and the third once: 2·2 / (2 + 3)
    expected = np.array([0.5, 1, 0.8]) / 28
    np.testing.assert_allclose(learning.resampled_macro_f1(run, draws), expected)
