"""Reliability, temperature and Platt scaling.

A calibration maps the logit z of a probability to scale * z + shift: one scale for all classes
(temperature scaling; Guo et al., "On calibration of modern neural networks", ICML 2017, section 4),
or a scale and a shift per class (Platt, "Probabilistic outputs for support vector machines", 1999).
Both keep the order of the scores of a class, so average precision does not change.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from hpa.metrics.ranking import rank_scores

N_BINS = 10
SMALLEST = 1e-6  # probabilities are clipped to [SMALLEST, 1 - SMALLEST]: finite logits


@dataclass(frozen=True, eq=False)
class Calibration:
    """A straight line per class in logits.

    Attributes:
        scale, shift: float64[C] each.
    """

    scale: np.ndarray
    shift: np.ndarray

    def apply(self, y_prob: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, float64[N,C].

        >>> doubled = Calibration(np.array([2.0]), np.array([0.0]))
        >>> doubled.apply(np.array([[0.75]]))  # odds of 3 squared: 9 / 10
        array([[0.9]])
        """
        return np.asarray(expit(self.scale * finite_logits(y_prob) + self.shift))


@dataclass(frozen=True, eq=False)
class Reliability:
    """Reliability in ten equally wide bins of probability over all decisions (images × classes).

    Attributes:
        n: decisions per bin, int64[10].
        predicted: mean probability, float64[10]; NaN in an empty bin.
        observed: fraction of positives, float64[10]; NaN in an empty bin.
    """

    n: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean |observed - predicted|, weighted by decisions."""
        gaps = np.nan_to_num(np.abs(self.observed - self.predicted))
        return float(gaps @ self.n / max(1, self.n.sum()))


def reliability(y_true: np.ndarray, y_prob: np.ndarray) -> Reliability:
    """Sort decisions into bins (Guo et al. 2017, section 2); both arrays of one shape, any.

    >>> bins = reliability(np.array([1, 0, 1, 0]), np.array([0.75, 0.75, 0.25, 0.25]))
    >>> bins.n.tolist(), bins.error  # half of each bin is true: gaps of .25
    ([0, 0, 2, 0, 0, 0, 0, 2, 0, 0], 0.25)
    """
    truth, prob = np.ravel(y_true), np.ravel(y_prob).astype(np.float64)
    bins = np.minimum((prob * N_BINS).astype(np.int64), N_BINS - 1)
    n = np.bincount(bins, minlength=N_BINS)
    sums = [np.bincount(bins, weights=each, minlength=N_BINS) for each in (prob, truth)]
    means = [np.where(n > 0, each / np.maximum(n, 1), np.nan) for each in sums]
    return Reliability(n, *means)


def class_calibration_error(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return the expected calibration error per class, averaged over classes as in macro F1.

    Source: Kull et al., "Beyond temperature scaling", NeurIPS 2019, equation 3.

    >>> y_true = np.array([[1, 1], [0, 1]])
    >>> class_calibration_error(y_true, np.array([[0.5, 0.75], [0.5, 0.75]]))  # (0 + .25) / 2
    0.125
    """
    pairs = zip(y_true.T, y_prob.T, strict=True)
    return float(np.mean([reliability(truth, prob).error for truth, prob in pairs]))


def log_loss(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """Return the mean over images and classes of -log(probability of the truth), in nats.

    >>> round(log_loss(np.array([[1, 0]]), np.array([[0.5, 0.5]])), 3)  # log 2
    0.693
    """
    return float(_losses(y_true, finite_logits(y_prob)).mean())


def fit_calibration(y_true: np.ndarray, y_prob: np.ndarray, method: str) -> Calibration:
    """Fit `none`, `temperature` or `platt` by least log loss.

    Platt's lines have a weak penalty of (scale - 1)^2 / 2 + shift^2 / 2 on the summed losses: a
    class of three positives hardly moves, one of 100 moves freely, one of none stays finite.

    >>> y_true, y_prob = np.ones((4, 5), np.uint8), np.full((4, 5), 0.75)
    >>> y_true[0] = 0  # three in four, as stated: nothing to correct
    >>> fit_calibration(y_true, y_prob, "temperature").scale[0].round(3)
    np.float64(1.0)
    """
    rank_scores(y_true, y_prob)  # checks both arrays
    return METHODS[method](y_true, finite_logits(y_prob))


def _identity(y_true: np.ndarray, logits: np.ndarray) -> Calibration:
    return Calibration(np.ones(logits.shape[1]), np.zeros(logits.shape[1]))


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
        errors = expit(calibrated) - y_true
        penalty = np.sum((scale - 1) ** 2 + shift**2) / 2
        slopes = np.concatenate(
            [(errors * logits).sum(axis=0) + scale - 1, errors.sum(axis=0) + shift]
        )
        n_rows = len(logits)
        return float(_losses(y_true, calibrated).sum() + penalty) / n_rows, slopes / n_rows

    fit = minimize(
        loss,
        np.repeat([1.0, 0.0], n_classes),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.01, 20.0)] * n_classes + [(-50.0, 50.0)] * n_classes,
        options={"maxiter": 1000, "ftol": 1e-12},
    )
    return Calibration(*np.split(fit.x, 2))


METHODS = {"none": _identity, "temperature": _fit_temperature, "platt": _fit_platt}


def _losses(y_true: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.asarray(-np.where(y_true == 1, log_expit(logits), log_expit(-logits)))


def finite_logits(y_prob: np.ndarray) -> np.ndarray:
    """Return the logits float64 of probabilities, of 0 and 1 as of values close to them."""
    return np.asarray(logit(np.clip(y_prob.astype(np.float64), SMALLEST, 1 - SMALLEST)))
