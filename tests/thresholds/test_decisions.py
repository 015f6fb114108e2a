"""Decisions: scores against thresholds, and rows without a label."""

from dataclasses import replace

import numpy as np
import pytest

from hpa.thresholds.decisions import Thresholds, decide
from hpa.thresholds.fitting import fit_by_rule
from hpa.vocabulary import hpa2018

N_LABELS = len(hpa2018.LABELS)


def make_thresholds(seed: int = 2) -> Thresholds:
    random = np.random.default_rng(seed)
    y_true = (random.random((50, N_LABELS)) < 0.3).astype(np.uint8)
    return fit_by_rule(
        "sweep", y_true, random.random(y_true.shape), hpa2018.LABELS, fixed=0.5, seed=0
    )


def test_thresholds_of_27_classes_are_refused() -> None:
    thresholds = make_thresholds()
    with pytest.raises(ValueError, match=r"thresholds\.values must have 28 entries, got 27"):
        replace(thresholds, values=thresholds.values[:27])


def test_predict_refuses_a_nan_and_names_its_place() -> None:
    y_prob = np.full((20, N_LABELS), 0.5)
    y_prob[7, 3] = np.nan
    with pytest.raises(ValueError, match=r"y_prob must be .* got nan at row 7, column 3"):
        make_thresholds().predict(y_prob)


def test_a_score_equal_to_the_threshold_is_predicted() -> None:
    thresholds = replace(make_thresholds(), values=np.full(N_LABELS, 0.5))
    y_prob = np.full((1, N_LABELS), 0.5, dtype=np.float32)
    assert thresholds.predict(y_prob).all()
    assert not thresholds.predict(np.nextafter(y_prob, np.float32(0))).any()


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_a_threshold_outside_zero_to_one_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"must lie inside \(0,1\)"):
        replace(make_thresholds(), values=np.full(N_LABELS, value))


def test_an_empty_row_gets_its_most_probable_label_only_on_request() -> None:
    thresholds = replace(make_thresholds(), values=np.full(N_LABELS, 0.5))
    y_prob = np.full((2, N_LABELS), 0.1)
    y_prob[0, 7], y_prob[1, [3, 4]] = 0.4, 0.6
    labels = {
        fill: [
            np.flatnonzero(row).tolist()
            for row in decide(replace(thresholds, fill_empty=fill), y_prob)
        ]
        for fill in (False, True)
    }
    assert labels == {False: [[], [3, 4]], True: [[7], [3, 4]]}
