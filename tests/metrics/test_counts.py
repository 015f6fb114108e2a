"""Counts: values worked by hand, sums over batches, rejected arrays."""

from functools import reduce
from operator import add

import numpy as np
import pytest

from hpa.metrics.counts import Counts, count_outcomes


def random_pair(n_rows: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    draw = random.random((2, n_rows, n_classes)) < 0.3
    return draw[0].astype(np.uint8), draw[1].astype(np.uint8)


def as_rows(counts: Counts) -> list[list[int]]:
    return [list(map(int, values)) for values in vars(counts).values()]


def test_counts_match_a_table_worked_by_hand() -> None:
    y_true = np.array([[1, 0], [1, 1], [0, 0], [0, 0]], dtype=np.uint8)
    y_pred = np.array([[1, 0], [0, 1], [1, 1], [0, 1]], dtype=np.uint8)
    # class 0: rows are TP, FN, FP, TN; class 1: rows are TN, TP, FP, FP.
    counts = count_outcomes(y_true, y_pred)
    assert as_rows(counts) == [[1, 1], [1, 2], [1, 0], [1, 1]]
    assert counts.support.tolist() == [2, 1]
    assert counts.predicted.tolist() == [2, 3]


def test_counts_are_int64_whatever_the_input_type() -> None:
    y_true, y_pred = random_pair(300, 5)
    for kind in (bool, np.uint8, np.int32):
        counts = count_outcomes(y_true.astype(kind), y_pred.astype(kind))
        assert all(values.dtype == np.int64 for values in vars(counts).values())
        assert as_rows(counts) == as_rows(count_outcomes(y_true, y_pred))


@pytest.mark.parametrize("batch_size", [1, 7, 32, 100])
def test_counts_of_batches_add_up_to_the_counts_of_the_set(batch_size: int) -> None:
    y_true, y_pred = random_pair(100, 28)
    parts = [
        count_outcomes(y_true[start : start + batch_size], y_pred[start : start + batch_size])
        for start in range(0, 100, batch_size)
    ]
    assert as_rows(reduce(add, parts)) == as_rows(count_outcomes(y_true, y_pred))


def test_row_order_changes_no_count() -> None:
    y_true, y_pred = random_pair(100, 28)
    order = np.random.default_rng(1).permutation(100)
    shuffled = count_outcomes(y_true[order], y_pred[order])
    assert as_rows(shuffled) == as_rows(count_outcomes(y_true, y_pred))


def test_the_four_outcomes_of_a_class_are_all_rows() -> None:
    counts = count_outcomes(*random_pair(57, 28))
    assert (np.sum(list(vars(counts).values()), axis=0) == 57).all()


def test_no_rows_give_zero_counts() -> None:
    empty = np.zeros((0, 3), dtype=np.uint8)
    assert as_rows(count_outcomes(empty, empty)) == [[0, 0, 0]] * 4


def test_a_value_other_than_zero_and_one_is_refused_with_its_place() -> None:
    y_true, y_pred = random_pair(4, 3)
    y_pred[2, 1] = 7
    with pytest.raises(ValueError, match="y_pred must hold 0 and 1, got 7 at row 2, column 1"):
        count_outcomes(y_true, y_pred)


def test_probabilities_are_refused_as_decisions() -> None:
    y_true, y_pred = random_pair(4, 3)
    with pytest.raises(ValueError, match="y_pred must hold integers or bools, got float32"):
        count_outcomes(y_true, y_pred.astype(np.float32))


def test_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match=r"y_true must have shape \[N,C\], got \(3,\)"):
        count_outcomes(np.zeros(3, dtype=np.uint8), np.zeros(3, dtype=np.uint8))


def test_different_numbers_of_rows_are_refused() -> None:
    y_true, y_pred = random_pair(4, 3)
    with pytest.raises(ValueError, match=r"y_true and y_pred .* \(3, 3\) and \(4, 3\)"):
        count_outcomes(y_true[:3], y_pred)


def test_counts_of_different_classes_do_not_add() -> None:
    with pytest.raises(ValueError, match="counts of 2 and 3 classes cannot be added"):
        count_outcomes(*random_pair(4, 2)) + count_outcomes(*random_pair(4, 3))
