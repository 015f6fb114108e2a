"""Counts of true and false positives and negatives, per class over a whole set.

Macro F1 averaged over batches is wrong: a perfect model scores 0.558 at batch 32, because a class
absent from a batch scores 0. Counts of batches add up to the counts of the set; ratios do not.
"""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class Counts:
    """Outcomes per class, int64[C] each; add the counts of two batches with `+`."""

    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray
    true_negatives: np.ndarray

    @property
    def support(self) -> np.ndarray:
        """Rows that carry the class, int64[C]."""
        return np.asarray(self.true_positives + self.false_negatives)

    @property
    def predicted(self) -> np.ndarray:
        """Rows for which the class was predicted, int64[C]."""
        return np.asarray(self.true_positives + self.false_positives)

    def __add__(self, other: "Counts") -> "Counts":
        n_classes, n_other = len(self.true_positives), len(other.true_positives)
        if n_classes != n_other:
            raise ValueError(f"counts of {n_classes} and {n_other} classes cannot be added")
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def count_outcomes(y_true: np.ndarray, y_pred: np.ndarray) -> Counts:
    """Count the outcomes of decisions (not probabilities), 0 or 1, integer or bool [N,C].

    >>> y_true = np.array([[1, 0], [1, 1], [0, 0]])
    >>> counts = count_outcomes(y_true, np.array([[1, 0], [0, 1], [1, 0]]))
    >>> counts.true_positives, counts.false_positives, counts.false_negatives
    (array([1, 1]), array([1, 0]), array([1, 0]))
    """
    check_decisions(y_true, y_pred)
    truth, decision = y_true.astype(bool), y_pred.astype(bool)
    true_positives = np.count_nonzero(truth & decision, axis=0)
    support, predicted = np.count_nonzero(truth, axis=0), np.count_nonzero(decision, axis=0)
    return Counts(
        true_positives=true_positives,
        false_positives=predicted - true_positives,
        false_negatives=support - true_positives,
        true_negatives=len(truth) - support - predicted + true_positives,
    )


def check_decisions(y_true: np.ndarray, y_pred: np.ndarray) -> None:
    """Require two arrays of zeros and ones, [N,C] each."""
    check_indicators("y_true", y_true)
    check_indicators("y_pred", y_pred)
    check_same_shape("y_true", y_true, "y_pred", y_pred)


def check_indicators(name: str, array: np.ndarray) -> None:
    """Require an integer or bool array [N,C] of zeros and ones.

    >>> check_indicators("y_pred", np.array([[0, 7]]))
    Traceback (most recent call last):
    ValueError: y_pred must hold 0 and 1, got 7 at row 0, column 1
    """
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape [N,C], got {array.shape}")
    if array.dtype.kind not in "bui":
        raise ValueError(f"{name} must hold integers or bools, got {array.dtype}")
    valid = (array == 0) | (array == 1)
    if not valid.all():
        row, column = np.argwhere(~valid)[0]
        value = array[row, column]
        raise ValueError(f"{name} must hold 0 and 1, got {value} at row {row}, column {column}")


def check_same_shape(name: str, array: np.ndarray, other_name: str, other: np.ndarray) -> None:
    """Require two arrays of equal shape."""
    if array.shape != other.shape:
        raise ValueError(
            f"{name} and {other_name} must have equal shapes, got {array.shape} and {other.shape}"
        )
