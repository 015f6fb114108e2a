"""Oversampling repeats rare labels, keeps every image and depends on seed and epoch alone."""

import numpy as np
import pytest

from hpa.config.params import load_params
from hpa.config.sections import Train
from hpa.data.batches.oversampling import (
    epoch_length,
    epoch_order,
    repeat_factors,
    square_root_factors,
)
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import LABELS
from support.paths import ROOT

PARAMS = ROOT / "params.yaml"


def train(**values: object) -> Train:
    return load_params(PARAMS, {f"train.{key}": value for key, value in values.items()}).train


def labels(n_images: int, **carriers: int) -> np.ndarray:
    """Label `label_3=5` on the first five images, and so on."""
    y_true = np.zeros((n_images, 28), np.uint8)
    for name, n in carriers.items():
        y_true[:n, int(name.removeprefix("label_"))] = 1
    return y_true


def test_square_root_factors_are_those_of_lvis() -> None:
    factors = square_root_factors(labels(100, label_0=50, label_1=4, label_2=1), 0.16)
    # sqrt(.16/.50) = .57, so 1; sqrt(.16/.04) = 2; sqrt(.16/.01) = 4; no images: 1
    np.testing.assert_allclose(factors[:4], [1, 2, 4, 1])


def test_an_image_takes_the_largest_factor_of_its_labels() -> None:
    y_true = labels(100, label_0=50, label_1=4, label_2=1)
    factors = repeat_factors(
        train(oversampling="square_root", oversampling_threshold=0.16), y_true, LABELS
    )
    np.testing.assert_allclose(factors[:5], [4, 2, 2, 2, 1])
    assert (factors[5:] == 1).all()  # label 0 alone, or none at all


def test_stated_repeats_are_used_and_the_others_are_one() -> None:
    y_true = labels(10, label_27=1, label_15=3)
    stated = repeat_factors(train(oversampling="stated", repeats="27x8 15x4"), y_true, LABELS)
    assert stated.tolist() == [8, 4, 4, *[1] * 7]
    assert (repeat_factors(train(oversampling="none"), y_true, LABELS) == 1).all()


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"oversampling": "stated"}, "expected a text if train.oversampling is 'stated'"),
        ({"repeats": "27x8"}, "else null, received '27x8'"),
        ({"oversampling": "stated", "repeats": "27:8"}, "such as '27x8 15x4' .* received '27:8'"),
        ({"oversampling": "stated", "repeats": "27x0"}, "received '27x0'"),
        ({"oversampling": "stated", "repeats": "27x2 27x3"}, "at most once.* received '27x2 27x3'"),
    ],
)
def test_invalid_repeats_are_refused(values: dict[str, str], match: str) -> None:
    with pytest.raises(UserError, match=match):
        train(**values)


FACTORS = np.array([1, 1, 2.5, 1.25, 3, 1, 1.75, 1])  # 11 whole ones, fractions 1.5: 13 per epoch


def test_every_epoch_is_equally_long_and_holds_every_image() -> None:
    assert epoch_length(FACTORS) == 13
    for epoch in range(50):
        counts = np.bincount(epoch_order(FACTORS, 7, epoch), minlength=8)
        assert counts.sum() == 13
        assert (counts >= np.floor(FACTORS)).all()
        assert (counts[FACTORS % 1 == 0] == FACTORS[FACTORS % 1 == 0]).all()


def test_fractions_are_met_on_average() -> None:
    """11 + 2 images: the fractions .5, .25, .75 share 2, so each occurs 2/1.5 times as often."""
    counts = sum(np.bincount(epoch_order(FACTORS, 7, epoch)) for epoch in range(2000)) / 2000
    expected = np.floor(FACTORS) + (FACTORS % 1) * 2 / 1.5
    np.testing.assert_allclose(counts, expected, atol=0.05)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    orders = {(s, e): epoch_order(FACTORS, s, e).tolist() for s in range(3) for e in range(3)}
    assert len({tuple(order) for order in orders.values()}) == 9
    assert all(epoch_order(FACTORS, s, e).tolist() == order for (s, e), order in orders.items())


def test_factors_of_one_give_a_permutation() -> None:
    assert sorted(epoch_order(np.ones(100), 7, 3)) == list(range(100))
