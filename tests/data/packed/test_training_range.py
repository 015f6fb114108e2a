import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.packed.training_range import (
    TrainingRange,
    brightness_and_focus,
    describe,
    fit_training_range,
    measure_training_images,
    orders_of,
)
from hpa.data.splits.splitting import write_split
from hpa.errors import UserError
from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.worlds import draw_pixels


@pytest.fixture(scope="module")
def seen() -> TrainingRange:
    # Channels of different brightness, as stains are: red / 2, blue / 4, yellow / 8.
    return fit_training_range((stained(seed) for seed in range(60)), CHANNELS)


def stained(seed: int) -> np.ndarray:
    return draw_pixels(seed) // np.array([2, 1, 4, 8], np.uint8)


def test_brightness_is_the_mean_and_the_focus_of_a_flat_channel_is_zero() -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4, :, 1] = 100
    brightness, focus = brightness_and_focus(pixels)
    np.testing.assert_array_equal(brightness, [0, 50, 0, 0])  # half of the pixels at 100
    np.testing.assert_array_equal(focus[[0, 2, 3]], 0)  # log((0 + 1) / (0 + 1))


def test_measures_in_each_order_are_those_of_the_reordered_image() -> None:
    pixels = stained(3)
    reordered = pixels[..., [1, 0, 2, 3]]
    swapped = describe(reordered, brightness_and_focus(reordered))[0]
    orders = describe(pixels, brightness_and_focus(pixels))
    assert np.abs(orders - swapped).sum(axis=1).argmin() == 6  # (1, 0, 2, 3)
    np.testing.assert_allclose(orders[6], swapped)


def test_training_images_are_within_their_own_range(seen: TrainingRange) -> None:
    flags = [flag for seed in range(60) for flag in seen.flags(stained(seed))]
    assert len(flags) <= 1  # one of 200 may be flagged as swapped


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p * np.array([1, 0, 1, 1], np.uint8), "the green channel shows nothing"),
        (lambda p: p[..., [0, 1, 0, 3]], "the red and blue channels are the same picture"),
        (lambda p: np.maximum(p, 4 * p), "the yellow channel is brighter than any"),
        (lambda p: p[..., [1, 0, 2, 3]], "channels may be swapped: green looks like red"),
    ],
)
def test_an_unusual_image_is_flagged(seen: TrainingRange, change: object, said: str) -> None:
    assert said in "; ".join(seen.flags(change(stained(99))))  # type: ignore[operator]


def test_the_training_images_of_the_fold_are_measured(packed_world: Path, tmp_path: Path) -> None:
    index, images = read_index(packed_world), PackedImages(packed_world)
    fold = np.arange(len(index)) // 10 % 2
    split = np.where(fold == 0, "val", "train")
    assignment = pd.DataFrame({"Id": index["Id"], "group": 0, "split": split, "fold": fold})
    write_split(tmp_path / "split", index, LABELS, assignment)
    for number in (0, 1):
        rows = np.flatnonzero(fold != number)
        found = measure_training_images(packed_world, tmp_path / "split", number)
        assert found.to_json() == fit_training_range(images.read(rows), CHANNELS).to_json()


def test_the_range_survives_json(seen: TrainingRange) -> None:
    again = TrainingRange.from_json(json.loads(json.dumps(seen.to_json())), CHANNELS)
    for name in ("low", "high", "mean", "precision", "swap_margin", "n_images"):
        np.testing.assert_array_equal(getattr(again, name), getattr(seen, name))


def test_a_range_without_a_key_is_refused(seen: TrainingRange) -> None:
    document = seen.to_json()
    del document["focus"]
    with pytest.raises(UserError, match="KeyError: 'focus'"):
        TrainingRange.from_json(document, CHANNELS)


def any_channels(n_channels: int) -> Channels:
    return Channels(
        tuple(
            Channel(f"c{k}", "protein" if k == 0 else "other", "white") for k in range(n_channels)
        )
    )


@pytest.mark.parametrize("n_channels", [1, 2, 3, 5, 8])
def test_any_number_of_channels_has_a_range_that_survives_json(n_channels: int) -> None:
    channels = any_channels(n_channels)
    dim = np.array([1, 2, 4, 8, 16, 3, 6, 12], np.uint8)[:n_channels]
    images = [draw_pixels(seed, 32, n_channels) // dim for seed in range(40)]
    seen = fit_training_range(images, channels)
    # 3 single measures per channel, and a correlation per pair
    assert len(seen.mean) == 3 * n_channels + n_channels * (n_channels - 1) // 2
    again = TrainingRange.from_json(json.loads(json.dumps(seen.to_json())), channels)
    assert [again.flags(image) for image in images] == [seen.flags(image) for image in images]
    assert sum(bool(seen.flags(image)) for image in images) <= 1
    assert seen.flags(0 * images[0]) == [
        f"the {name} channel shows nothing" for name in channels.names
    ]
    assert seen.flags(0 * images[0], black=channels.names) == []
    assert "the c0 channel is brighter than any training image" in seen.flags(255 - images[0] // 4)


def test_an_exchange_of_two_among_six_channels_is_flagged() -> None:
    channels = any_channels(6)
    dim = np.array([1, 2, 4, 8, 16, 24], np.uint8)
    seen = fit_training_range((draw_pixels(seed, 32, 6) // dim for seed in range(60)), channels)
    image = (draw_pixels(99, 32, 6) // dim)[..., [0, 4, 2, 3, 1, 5]]
    assert "channels may be swapped: c4 looks like c1, c1 looks like c4" in seen.flags(image)


@pytest.mark.parametrize(("n_channels", "n_orders"), [(1, 1), (2, 2), (4, 24), (5, 11), (8, 29)])
def test_orders_are_all_of_four_channels_and_the_exchanges_of_more(
    n_channels: int, n_orders: int
) -> None:
    orders = orders_of(n_channels)
    assert (len(orders), len(set(orders))) == (n_orders, n_orders)  # 1 + 5 · 4 / 2 = 11
    assert orders[0] == tuple(range(n_channels))
    assert all(sorted(order) == list(range(n_channels)) for order in orders)
    if n_channels > 4:
        assert all(sum(k != each for k, each in enumerate(order)) == 2 for order in orders[1:])


def test_the_range_of_other_channels_is_refused(seen: TrainingRange) -> None:
    with pytest.raises(UserError, match="KeyError: 'c0'"):
        TrainingRange.from_json(seen.to_json(), any_channels(4))


def test_the_range_of_an_earlier_version_is_read(seen: TrainingRange) -> None:
    """Its channels stand under their names, in the order of the competition."""
    document = json.loads(json.dumps(seen.to_json()))
    assert list(document["brightness"]) == ["red", "green", "blue", "yellow"]
    assert TrainingRange.from_json(document, CHANNELS).flags(stained(3)) == []
