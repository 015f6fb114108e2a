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
)
from hpa.data.splits.splitting import write_split
from hpa.errors import UserError
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
