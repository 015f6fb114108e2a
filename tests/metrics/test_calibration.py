import numpy as np
import pytest
from scipy.special import expit, logit

from hpa.metrics.calibration import (
    METHODS,
    class_calibration_error,
    cross_fitted,
    fit_calibration,
    log_loss,
    reliability,
)


def world(n_rows: int, scale: float, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of known probability, and scores whose logits must be scaled and shifted."""
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
def test_the_order_of_scores_stays(method: str) -> None:
    y_true, y_prob = world(300, scale=2, shift=1)
    calibrated = fit_calibration(y_true, y_prob, method).apply(y_prob)
    for column, raw in zip(calibrated.T, y_prob.T, strict=True):
        assert (np.diff(column[np.argsort(raw)]) >= -1e-12).all()


def test_cross_fitting_mends_what_is_warped_and_harms_little_else() -> None:
    groups = np.arange(3000)
    y_true, warped = world(3000, scale=3, shift=0)
    mended = cross_fitted(y_true, warped, groups, "temperature", seed=1)
    before, after = (class_calibration_error(y_true, each) for each in (warped, mended))
    assert after < 0.4 * before
    y_true, good = world(3000, scale=1, shift=0)
    same = cross_fitted(y_true, good, groups, "platt", seed=1)
    assert log_loss(y_true, same) < log_loss(y_true, good) + 0.001


def test_no_row_is_calibrated_by_its_own_group() -> None:
    y_true, y_prob = world(40, scale=1, shift=0)
    groups = np.repeat([0, 1], 20)
    first = cross_fitted(y_true, y_prob, groups, "platt", seed=1)
    changed = y_true.copy()
    changed[groups == 0] = 1 - changed[groups == 0]
    second = cross_fitted(changed, y_prob, groups, "platt", seed=1)
    np.testing.assert_array_equal(first[groups == 0], second[groups == 0])
    assert not np.allclose(first[groups == 1], second[groups == 1])
