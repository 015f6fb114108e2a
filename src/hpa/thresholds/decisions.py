"""Thresholds, one per class, and the label sets they give."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass, field

import numpy as np

from hpa.metrics.counts import check_same_shape
from hpa.metrics.predictions import check_probabilities
from hpa.thresholds.shown import ShownScale
from hpa.vocabulary.labels import Labels


@dataclass(frozen=True, eq=False)
class PlainRule:
    """Thresholds of a plain rule on the same fit set, for comparison.

    Attributes:
        values: float64[C], strictly inside (0,1).
        fit_macro_f1: on the fit set, optimistic.
        cross_fitted_macro_f1: each row decided by thresholds fitted without it.
    """

    values: np.ndarray
    fit_macro_f1: float
    cross_fitted_macro_f1: float

    def __post_init__(self) -> None:
        _check_values(self.values)

    def predict(self, y_prob: np.ndarray) -> np.ndarray:
        """Return y_pred uint8[N,C] for y_prob floating [N,C] in [0,1]."""
        return _predict(y_prob, self.values)


@dataclass(frozen=True, eq=False)
class Thresholds:
    """One threshold per class, with its evidence.

    Attributes:
        values: float64[C], strictly inside (0,1); a class is predicted if y_prob >= value.
        rule: rule of each value: a name of `hpa.thresholds.rules`, or the blend in words.
        support: positives of the fit set, int64[C].
        fit_f1: F1 on the fit set, float64[C], optimistic; 0.0 for a class without positives.
        cross_fitted_f1: F1 with each row decided by thresholds fitted without it, the choice of
            the rule included, float64[C]: an estimate for new rows.
        flags: quality flags of each class, often none.
        plain: the plain rules on the same rows, by name: "fixed", "global", "sweep".
        labels: of the classes.
        fill_empty: whether a row without a label gets its most probable one.
        shown_scale: calibration of the probabilities that people see.
    """

    values: np.ndarray
    rule: tuple[str, ...]
    support: np.ndarray
    fit_f1: np.ndarray
    cross_fitted_f1: np.ndarray
    flags: tuple[tuple[str, ...], ...]
    plain: Mapping[str, PlainRule]
    labels: Labels
    fill_empty: bool = False
    shown_scale: ShownScale = field(default_factory=ShownScale)

    def __post_init__(self) -> None:
        for name in ("values", "rule", "support", "fit_f1", "cross_fitted_f1", "flags"):
            self._check_length(name, getattr(self, name))
        for name, rule in self.plain.items():
            self._check_length(f"plain.{name}", rule.values)
        _check_values(self.values)

    def _check_length(self, name: str, column: Sized) -> None:
        if len(column) != len(self.labels):
            raise ValueError(
                f"thresholds.{name} must have {len(self.labels)} entries, got {len(column)}"
            )

    @property
    def fit_macro_f1(self) -> float:
        """Macro F1 on the fit set, optimistic."""
        return float(self.fit_f1.mean())

    @property
    def cross_fitted_macro_f1(self) -> float:
        """Macro F1 to expect on new rows of the same kind."""
        return float(self.cross_fitted_f1.mean())

    @property
    def shown_values(self) -> np.ndarray:
        """Thresholds of shown probabilities, float64[C], strictly inside (0,1)."""
        scaled = self.shown_scale.apply(self.values)
        return np.clip(scaled, np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0))

    def predict(self, y_prob: np.ndarray) -> np.ndarray:
        """Return y_pred uint8[N,C] for y_prob floating [N,C] in [0,1]; rows may be empty."""
        return _predict(y_prob, self.values)

    def shown(self, y_prob: np.ndarray) -> np.ndarray:
        """Return the probabilities that people see, float64[N,C].

        They reach `shown_values` exactly where y_prob reaches `values`, whatever the rounding.
        """
        limits, scaled = self.shown_values, self.shown_scale.apply(y_prob.astype(np.float32))
        above, below = np.maximum(scaled, limits), np.minimum(scaled, np.nextafter(limits, 0.0))
        return np.where(self.predict(y_prob), above, below)


def decide(thresholds: Thresholds, y_prob: np.ndarray) -> np.ndarray:
    """Return y_pred uint8[N,C] for scores y_prob: the decisions of every report and program."""
    y_pred = thresholds.predict(y_prob)
    return fill_empty_rows(y_pred, y_prob) if thresholds.fill_empty else y_pred


def fill_empty_rows(y_pred: np.ndarray, y_prob: np.ndarray) -> np.ndarray:
    """Give each row of uint8[N,C] without a label its most probable one, the first of tied.

    Every real image carries a label, so an empty row is surely wrong.

    >>> y_pred = np.array([[0, 0, 0], [1, 0, 0]], np.uint8)
    >>> fill_empty_rows(y_pred, np.array([[0.1, 0.3, 0.2], [0.6, 0.9, 0.1]])).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    check_same_shape("y_pred", y_pred, "y_prob", y_prob)
    filled = y_pred.copy()
    empty = np.flatnonzero(~y_pred.any(axis=1))
    filled[empty, y_prob[empty].argmax(axis=1)] = 1
    return filled


def _predict(y_prob: np.ndarray, values: np.ndarray) -> np.ndarray:
    check_probabilities("y_prob", y_prob, n_classes=len(values))
    return (y_prob.astype(np.float32) >= values).astype(np.uint8)


def _check_values(values: np.ndarray) -> None:
    if not ((values > 0) & (values < 1)).all():
        raise ValueError(f"thresholds.values must lie inside (0,1), got {values}")
