"""Counts first, ratios last: how often each class was found, invented and missed over a whole set.

Macro F1 averaged over batches is wrong (a perfect model scores 0.558 at batch 32, because a class
absent from a batch scores 0). Counts of batches add up to the counts of the set; ratios do not.
"""

from dataclasses import dataclass, fields

import numpy as np

from hpa.errors import UserError


@dataclass(frozen=True, eq=False)
class Counts:
    """Outcomes of every class over the rows counted so far, each int64[C]; add them with `+`."""

    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray
    true_negatives: np.ndarray

    @property
    def support(self) -> np.ndarray:
        """Rows that truly carry the class, int64[C]."""
        support: np.ndarray = self.true_positives + self.false_negatives
        return support

    @property
    def predicted(self) -> np.ndarray:
        """Rows for which the class was predicted, int64[C]."""
        predicted: np.ndarray = self.true_positives + self.false_positives
        return predicted

    def __add__(self, other: "Counts") -> "Counts":
        n_classes, n_other = len(self.true_positives), len(other.true_positives)
        if n_classes != n_other:
            raise UserError(
                "counts of different classes cannot be added",
                expected=f"{n_classes} classes on both sides",
                received=f"{n_other} classes on the right",
                remedy="count both with the same label list",
            )
        sums = (getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        return Counts(*sums)


def count_outcomes(y_true: np.ndarray, y_pred: np.ndarray) -> Counts:
    """Count the outcomes of predictions; zero rows give zero counts.

    Args:
        y_true: truth, 0 or 1, integer or bool [N,C].
        y_pred: decisions (not probabilities), 0 or 1, integer or bool [N,C].

    Raises:
        UserError: an array is not [N,C], holds something else than 0 and 1, or shapes differ.
    """
    check_indicators("y_true", y_true)
    check_indicators("y_pred", y_pred)
    check_same_shape("y_true", y_true, "y_pred", y_pred)
    truth, decision = y_true.astype(bool), y_pred.astype(bool)
    true_positives = np.count_nonzero(truth & decision, axis=0)
    support, predicted = np.count_nonzero(truth, axis=0), np.count_nonzero(decision, axis=0)
    return Counts(
        true_positives=true_positives,
        false_positives=predicted - true_positives,
        false_negatives=support - true_positives,
        true_negatives=len(truth) - support - predicted + true_positives,
    )


def check_indicators(name: str, array: np.ndarray) -> None:
    """Refuse anything but a two-dimensional integer or bool array of zeros and ones."""
    if array.ndim != 2:
        raise UserError(
            f"{name} has the wrong shape",
            expected="two dimensions [N,C]",
            received=f"shape {array.shape}",
            remedy="give one row an image and one column a label",
        )
    if array.dtype.kind not in "bui":
        raise UserError(
            f"{name} holds no decisions",
            expected="integers or bools",
            received=f"{array.dtype}",
            remedy="apply thresholds first if these are probabilities",
        )
    valid = (array == 0) | (array == 1)
    if not valid.all():
        row, column = np.argwhere(~valid)[0]
        raise UserError(
            f"{name} is no indicator matrix",
            expected="0 or 1",
            received=f"{array[row, column]} at row {row}, column {column}",
            remedy="write 1 where the image carries the label and 0 elsewhere",
        )


def check_same_shape(name: str, array: np.ndarray, other_name: str, other: np.ndarray) -> None:
    """Refuse two arrays that do not speak of the same rows and classes."""
    if array.shape != other.shape:
        raise UserError(
            f"{name} and {other_name} do not fit together",
            expected="equal shapes",
            received=f"{array.shape} and {other.shape}",
            remedy="take both from the same rows of one split",
        )
