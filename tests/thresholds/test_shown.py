"""Shown probabilities: calibrated where it helps, with every decision as before."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from hpa.metrics.calibration import reliability
from hpa.thresholds.decisions import Thresholds, decide
from hpa.thresholds.fitting import fit_by_rule
from hpa.thresholds.shown import ShownScale, fit_shown_scale
from hpa.vocabulary import hpa2018

N_LABELS = len(hpa2018.LABELS)

ONE = np.float32(1)
EDGES = np.array(
    [0, 1e-45, 1e-38, 1e-7, 1e-6, 0.25, 0.5, np.nextafter(np.float32(0.5), ONE), 0.75, 1 - 6e-8, 1],
    dtype=np.float32,
)


def world(seed: int, n_rows: int = 400, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return truth drawn from probabilities, and these with their logits divided by `scale`."""
    random = np.random.default_rng(seed)
    prob = expit(random.normal(-1, 2, (n_rows, N_LABELS)))
    y_true = (random.random(prob.shape) < prob).astype(np.uint8)
    return y_true, expit(logit(prob) / scale).astype(np.float32)


def make_thresholds(values: np.ndarray, scale: float) -> Thresholds:
    y_true, y_prob = world(0, 50)
    thresholds = fit_by_rule("fixed", y_true, y_prob, hpa2018.LABELS, fixed=0.5, seed=0)
    return replace(thresholds, values=values, shown_scale=ShownScale(scale))


@pytest.mark.parametrize("scale", [0.02, 0.4, 1.0, 1.9, 50.0])
def test_shown_probabilities_reach_shown_thresholds_exactly_where_scores_reach_theirs(
    scale: float,
) -> None:
    random = np.random.default_rng(1)
    inside = [np.nextafter(0.0, 1.0), 1e-8, 0.5, np.nextafter(1.0, 0.0), *EDGES[2:-1]]
    values = random.choice(np.array(inside, dtype=np.float64), N_LABELS)
    y_prob = random.choice(EDGES, (500, N_LABELS))
    y_prob[:200] = values.astype(np.float32)  # ties
    y_prob[200:300] = np.nextafter(values.astype(np.float32), np.float32(0))
    thresholds = make_thresholds(values, scale)
    shown = thresholds.shown(y_prob)
    np.testing.assert_array_equal(shown >= thresholds.shown_values, decide(thresholds, y_prob))
    assert ((shown >= 0) & (shown <= 1)).all()
    assert ((thresholds.shown_values > 0) & (thresholds.shown_values < 1)).all()


def test_the_most_probable_label_stays_the_most_probable() -> None:
    y_prob = world(3)[1]
    thresholds = make_thresholds(np.full(N_LABELS, 0.5), 1.9)
    shown = thresholds.shown(y_prob)
    np.testing.assert_array_equal(shown.argmax(axis=1), y_prob.argmax(axis=1))


def test_overconfident_scores_are_corrected_on_other_images() -> None:
    shown = fit_shown_scale(*world(1, scale=0.5), None, seed=0)
    assert shown.scale == pytest.approx(0.5, rel=0.05)
    assert shown.error_after < shown.error_before / 3
    y_true, y_prob = world(2, scale=0.5)
    assert reliability(y_true, shown.apply(y_prob)).error < 0.02


def test_calibrated_scores_are_shown_as_they_are_or_hardly_changed() -> None:
    shown = fit_shown_scale(*world(4, 3000), None, seed=0)
    assert shown.scale == pytest.approx(1, abs=0.02)


def test_a_temperature_that_does_not_help_on_other_groups_is_not_used() -> None:
    """All images of a group are right, or all wrong: fits on other groups mislead."""
    y_prob = np.full((4, N_LABELS), 0.6, np.float32)
    y_true = np.zeros((4, N_LABELS), np.uint8)
    y_true[:2] = 1
    shown = fit_shown_scale(y_true, y_prob, np.array([0, 0, 1, 1]), seed=0)
    assert shown.method == "none"
    assert shown.error_after > shown.error_before
    np.testing.assert_array_equal(shown.apply(y_prob), y_prob)


def test_a_single_group_gives_no_calibration() -> None:
    y_true, y_prob = world(5)
    assert fit_shown_scale(y_true, y_prob, np.zeros(len(y_true), int), seed=0) == ShownScale()
