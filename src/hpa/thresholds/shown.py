"""Probabilities as people see them: calibrated by one temperature, where val shows that it helps.

Scores and thresholds stay as they are, and decisions are made on them. One temperature for all
classes keeps the order of all scores of an image, so that the most probable label stays so.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from hpa.metrics.calibration import fit_calibration, log_loss, reliability
from hpa.thresholds.cross_fitting import cross_fitted_calibration


@dataclass(frozen=True)
class ShownScale:
    """Factor of the logits of shown probabilities, with its evidence.

    Attributes:
        scale: 1 / temperature, above 0; 1.0 shows the scores themselves.
        error_before, error_after: expected calibration error on val of the scores and of the
            scaled ones, cross-fitted over groups; None if unknown.
        log_loss_before, log_loss_after: likewise.
    """

    scale: float = 1.0
    error_before: float | None = None
    error_after: float | None = None
    log_loss_before: float | None = None
    log_loss_after: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"scale must be positive, got {self.scale}")

    @property
    def method(self) -> str:
        """Name of the calibration in `hpa.metrics.calibration`."""
        return "none" if self.scale == 1.0 else "temperature"

    def apply(self, y_prob: np.ndarray) -> np.ndarray:
        """Return scaled probabilities, float64 of the same shape.

        >>> ShownScale(2.0).apply(np.array([0.0, 0.75, 1.0]))  # odds of 3 squared: 9 / 10
        array([0. , 0.9, 1. ])
        """
        exact = y_prob.astype(np.float64)
        return exact if self.scale == 1.0 else np.asarray(expit(self.scale * logit(exact)))


def fit_shown_scale(
    y_true: np.ndarray, y_prob: np.ndarray, groups: np.ndarray | None, *, seed: int
) -> ShownScale:
    """Fit the temperature to val; keep the scores unless error and log loss fall on other groups.

    >>> y_true = np.tile(np.array([[1], [0], [0], [0]], np.uint8), (10, 5))
    >>> shown = fit_shown_scale(y_true, np.full(y_true.shape, 0.45), None, seed=0)
    >>> shown.method, float(shown.apply(np.array(0.45)).round(2))  # one in four
    ('temperature', 0.25)
    """
    rows = np.arange(len(y_true)) if groups is None else groups
    if len(np.unique(rows)) < 2:
        return ShownScale()
    after = cross_fitted_calibration(y_true, y_prob, rows, "temperature", seed=seed)
    errors = reliability(y_true, y_prob).error, reliability(y_true, after).error
    losses = log_loss(y_true, y_prob), log_loss(y_true, after)
    helps = errors[1] < errors[0] and losses[1] < losses[0]
    scale = float(fit_calibration(y_true, y_prob, "temperature").scale[0]) if helps else 1.0
    return ShownScale(scale, *errors, *losses)
