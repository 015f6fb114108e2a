import numpy as np
import pytest
from scipy.special import expit, logit

from hpa.metrics.calibration import (
    METHODS,
    fit_calibration,
    log_loss,
    reliability,
)


def world(n_rows: int, scale: float, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of known probability, and scores that need the given scale and shift in logits."""
    random = np.random.default_rng(seed)
    prob = expit(random.normal(-1, 1.5, (n_rows, 28)))
    y_true = (random.random(prob.shape) < prob).astype(np.uint8)
    return y_true, expit((logit(prob) - shift) / scale).astype(np.float32)


def test_bins_match_values_worked_by_hand() -> None:
    bins = reliability(np.array([1, 0, 1, 1]), np.array([0.15, 0.05, 0.85, 0.95]))
    assert bins.n.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 1, 1]
    # gaps .05, .85, .15, .05, each of one decision in four: 1.10 / 4
    assert bins.error == pytest.approx(0.275)


def test_log_loss_matches_a_value_worked_by_hand() -> None:
    expected = -(np.log(0.8) + np.log(0.6)) / 2
    assert log_loss(np.array([[1, 0]]), np.array([[0.8, 0.4]])) == pytest.approx(expected)


def test_temperature_finds_the_scale() -> None:
    fit = fit_calibration(*world(4000, scale=2.5, shift=0), "temperature")
    np.testing.assert_allclose(fit.scale, 2.5, rtol=0.03)
    assert (fit.shift == 0).all()


def test_platt_finds_scale_and_shift_of_each_class() -> None:
    fit = fit_calibration(*world(8000, scale=2, shift=-0.7), "platt")
    np.testing.assert_allclose(fit.scale, 2, atol=0.35)
    np.testing.assert_allclose(fit.shift, -0.7, atol=0.25)


def test_a_class_without_positives_keeps_a_finite_line() -> None:
    y_true, y_prob = world(500, scale=2, shift=0)
    y_true[:, 5] = 0
    fit = fit_calibration(y_true, y_prob, "platt")
    assert np.isfinite([fit.scale, fit.shift]).all()


@pytest.mark.parametrize("method", METHODS)
def test_calibration_keeps_the_order_of_scores(method: str) -> None:
    y_true, y_prob = world(300, scale=2, shift=1)
    calibrated = fit_calibration(y_true, y_prob, method).apply(y_prob)
    for column, raw in zip(calibrated.T, y_prob.T, strict=True):
        assert (np.diff(column[np.argsort(raw)]) >= -1e-12).all()
