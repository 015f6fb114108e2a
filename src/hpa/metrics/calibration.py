"""Does .8 mean eight times in ten? Reliability, and two ways to mend it.

A calibration maps the logit z of a probability to scale * z + shift: one scale for all classes
(temperature scaling; Guo et al., "On calibration of modern neural networks", ICML 2017, section 4),
or a scale and a shift a class (Platt, "Probabilistic outputs for support vector machines", 1999).
Both keep the order of a class's scores, so average precision stays as it is. Fitted on validation
scores alone and judged there by cross-fitting over groups.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from hpa.metrics.bootstrap import check_groups
from hpa.metrics.ranking import rank_scores
from hpa.seeds import stream

N_BINS = 10
N_FOLDS = 5
SMALLEST = 1e-6
"""Probabilities nearer to 0 or 1 than this count as this near, so that logits are finite."""

METHODS = ("none", "temperature", "platt")


@dataclass(frozen=True, eq=False)
class Calibration:
    """A straight line a class in logits: scale and shift, float64[C] each."""

    scale: np.ndarray
    shift: np.ndarray

    def apply(self, y_prob: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, float64[N,C]."""
        return np.asarray(expit(self.scale * _logits(y_prob) + self.shift))


@dataclass(frozen=True, eq=False)
class Reliability:
    """Ten equally wide bins of probability over all decisions (images times classes).

    Attributes:
        n: decisions in each bin, int64[10].
        predicted: mean probability, float64[10]; NaN in an empty bin.
        observed: share that is true, float64[10]; NaN in an empty bin.
    """

    n: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean |observed - predicted|, bins weighed by decisions."""
        gaps = np.nan_to_num(np.abs(self.observed - self.predicted))
        return float(gaps @ self.n / max(1, self.n.sum()))


def reliability(y_true: np.ndarray, y_prob: np.ndarray) -> Reliability:
    """Sort decisions into bins (Guo et al. 2017, section 2); any shape, the same for both."""
    truth, prob = np.ravel(y_true), np.ravel(y_prob).astype(np.float64)
    bins = np.minimum((prob * N_BINS).astype(np.int64), N_BINS - 1)
    n = np.bincount(bins, minlength=N_BINS)
    sums = [np.bincount(bins, weights=each, minlength=N_BINS) for each in (prob, truth)]
    means = [np.where(n > 0, each / np.maximum(n, 1), np.nan) for each in sums]
    return Reliability(n, *means)


def class_calibration_error(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return the mean over classes of each class's expected calibration error.

    The rare classes weigh as much as the common ones, as in macro F1.
    Source: Kull et al., "Beyond temperature scaling", NeurIPS 2019, equation 3 (one bin set each).
    """
    pairs = zip(y_true.T, y_prob.T, strict=True)
    return float(np.mean([reliability(truth, prob).error for truth, prob in pairs]))


def log_loss(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return the mean over images and classes of -log(probability of what is true), in nats."""
    return float(_losses(y_true, _logits(y_prob)).mean())


def fit_calibration(y_true: np.ndarray, y_prob: np.ndarray, method: str) -> Calibration:
    """Fit `none`, `temperature` or `platt` by least log loss.

    Platt's lines are held towards the identity by a weak pull of (scale - 1)^2 / 2 + shift^2 / 2
    against the summed losses: a class of three positives hardly moves, one of 100 moves freely, and
    one of none stays finite.

    Raises:
        UserError: the arrays do not fit together, or hold no truth or no probabilities.
    """
    rank_scores(y_true, y_prob)  # the door: refuses what is no truth or no score
    fits = {"none": _identity, "temperature": _fit_temperature, "platt": _fit_platt}
    return fits[method](y_true, _logits(y_prob))


def cross_fitted(
    y_true: np.ndarray, y_prob: np.ndarray, groups: np.ndarray, method: str, *, seed: int
) -> np.ndarray:
    """Return float64[N,C]: each row calibrated by a fit that saw no row of its group.

    Groups fall into five folds at random: `hpa.seeds`, purpose "calibration".
    """
    _, numbers = np.unique(check_groups(groups, len(y_true)), return_inverse=True)
    n_groups = int(numbers.max()) + 1
    n_folds = min(N_FOLDS, n_groups)
    folds = (stream(seed, "calibration").permutation(n_groups) % n_folds)[numbers]
    calibrated = y_prob.astype(np.float64)
    for fold in range(n_folds):
        inside = folds == fold
        if not inside.all():
            calibration = fit_calibration(y_true[~inside], y_prob[~inside], method)
            calibrated[inside] = calibration.apply(y_prob[inside])
    return calibrated


def _identity(y_true: np.ndarray, logits: np.ndarray) -> Calibration:
    n_classes = logits.shape[1]
    return Calibration(np.ones(n_classes), np.zeros(n_classes))


def _fit_temperature(y_true: np.ndarray, logits: np.ndarray) -> Calibration:
    def loss(log_scale: np.ndarray) -> tuple[float, np.ndarray]:
        scale = np.exp(log_scale[0])
        slope = ((expit(scale * logits) - y_true) * logits).mean() * scale
        return float(_losses(y_true, scale * logits).mean()), np.array([slope])

    fit = minimize(loss, np.zeros(1), jac=True, method="L-BFGS-B", bounds=[(-4, 4)])
    n_classes = logits.shape[1]
    return Calibration(np.full(n_classes, np.exp(fit.x[0])), np.zeros(n_classes))


def _fit_platt(y_true: np.ndarray, logits: np.ndarray) -> Calibration:
    n_classes = logits.shape[1]

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        scale, shift = np.split(line, 2)
        calibrated = scale * logits + shift
        wrong = expit(calibrated) - y_true
        pull = np.sum((scale - 1) ** 2 + shift**2) / 2
        slopes = np.concatenate(
            [(wrong * logits).sum(axis=0) + scale - 1, wrong.sum(axis=0) + shift]
        )
        n_rows = len(logits)
        return float(_losses(y_true, calibrated).sum() + pull) / n_rows, slopes / n_rows

    start = np.repeat([1.0, 0.0], n_classes)
    bounds = [(0.01, 20.0)] * n_classes + [(-50.0, 50.0)] * n_classes
    fit = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 1000, "ftol": 1e-12},
    )
    return Calibration(*np.split(fit.x, 2))


def _losses(y_true: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.asarray(-np.where(y_true == 1, log_expit(logits), log_expit(-logits)))


def _logits(y_prob: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(y_prob.astype(np.float64), SMALLEST, 1 - SMALLEST)))
