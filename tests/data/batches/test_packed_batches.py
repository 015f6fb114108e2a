"""Batches are a function of seed and step alone."""

import json
import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

from hpa.config.sections import Augment
from hpa.data.batches.augmentation import draw_changes
from hpa.data.batches.packed_batches import ScoringBatches, TrainingBatches
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.vocabulary.hpa2018 import LABELS
from support.feeding import brightness_in_fit
from support.interpreters import python_with
from support.paths import PYTHONPATH

OFF = Augment(turn=False, rotation=0.0, zoom=0.0, blur=0.0, contrast=0.0)
ALL = Augment(turn=True, rotation=10.0, zoom=0.1, blur=0.5, contrast=0.2)
ROWS = np.array([3, 1, 40, 17, 16, 15, 30, 31, 32, 8, 9])  # of all three shards


@pytest.fixture(scope="module")
def images(packed_world: Path) -> PackedImages:
    return PackedImages(packed_world)


@pytest.fixture(scope="module")
def y_true(packed_world: Path) -> np.ndarray:
    return LABELS.indicators(read_index(packed_world)["Target"])[ROWS]


def walk(
    images: PackedImages, y_true: np.ndarray, first: int, end: int, seed: int = 7,
    batch_size: int = 4, augment: Augment = OFF,
    repeat_factors: np.ndarray | None = None,
) -> TrainingBatches:  # fmt: skip
    return TrainingBatches(
        images,
        ROWS,
        y_true,
        batch_size=batch_size,
        seed=seed,
        augment=augment,
        repeat_factors=repeat_factors,
        first=first,
        end=end,
    )


def order(batches: TrainingBatches, first: int, end: int) -> list[int]:
    return [int(place) for step in range(first, end) for place in batches.chosen(step)]


@pytest.mark.parametrize("batch_size", [1, 4, 11, 12, 30])
def test_each_epoch_is_a_permutation(
    images: PackedImages, y_true: np.ndarray, batch_size: int
) -> None:
    places = order(walk(images, y_true, 0, 99, batch_size=batch_size), 0, 99)
    n_epochs = len(places) // len(ROWS)
    epochs = np.array(places[: n_epochs * len(ROWS)]).reshape(n_epochs, len(ROWS))
    assert (np.sort(epochs, axis=1) == np.arange(len(ROWS))).all()
    assert n_epochs < 3 or len({tuple(epoch) for epoch in epochs}) > 1


def test_an_interrupted_training_reads_the_batches_of_an_uninterrupted_one(
    images: PackedImages, y_true: np.ndarray
) -> None:
    factors = np.linspace(1, 3, len(ROWS))
    uncut = walk(images, y_true, 0, 20, augment=ALL, repeat_factors=factors)
    for first, end in ((0, 1), (3, 9), (9, 20), (19, 20)):
        cut = walk(images, y_true, first, end, augment=ALL, repeat_factors=factors)
        assert len(cut) == end - first
        for index in range(len(cut)):
            (inputs, labels), (expected, expected_labels) = cut[index], uncut[first + index]
            assert np.array_equal(labels, expected_labels)
            assert list(inputs) == list(expected) == ["images", "turn", "warp", "blur", "gamma"]
            for name in inputs:
                assert np.array_equal(inputs[name], expected[name])


def test_steps_can_be_read_in_any_order(images: PackedImages, y_true: np.ndarray) -> None:
    forward = [walk(images, y_true, 0, 9).chosen(step).tolist() for step in range(9)]
    backward = [walk(images, y_true, 0, 9).chosen(step).tolist() for step in reversed(range(9))]
    assert forward == backward[::-1]


def test_another_seed_gives_another_order(images: PackedImages, y_true: np.ndarray) -> None:
    orders = {tuple(order(walk(images, y_true, 0, 9, seed=seed), 0, 9)) for seed in range(5)}
    assert len(orders) == 5


def test_a_batch_holds_the_packed_rows_and_their_labels(
    images: PackedImages, y_true: np.ndarray
) -> None:
    batches = walk(images, y_true, 0, 6)
    for step in range(6):
        inputs, labels = batches[step]
        pixels, chosen = inputs["images"], batches.chosen(step)
        assert list(inputs) == ["images"]
        assert np.array_equal(pixels, images.read(ROWS[chosen]))
        assert np.array_equal(labels, y_true[chosen])
        assert (pixels.dtype, labels.dtype) == (np.uint8, np.float32)
        assert labels.shape == (4, 28)


def test_the_augmentation_of_a_step_is_drawn_with_it_and_leaves_its_pixels(
    images: PackedImages, y_true: np.ndarray
) -> None:
    plain, changed = (walk(images, y_true, 0, 6, augment=each) for each in (OFF, ALL))
    for step in range(6):
        inputs, _ = changed[step]
        assert np.array_equal(inputs["images"], plain[step][0]["images"])
        for name, numbers in draw_changes(ALL, 7, step, 4, 4).items():
            assert np.array_equal(inputs[name], numbers)


def test_images_occur_as_often_as_their_factor(images: PackedImages, y_true: np.ndarray) -> None:
    factors = np.where(np.arange(len(ROWS)) == 3, 5.0, 1.0)  # 15 images per epoch
    batches = walk(images, y_true, 0, 6, batch_size=5, repeat_factors=factors)
    for epoch in range(2):
        counts = np.bincount(order(batches, 3 * epoch, 3 * epoch + 3))
        assert counts.tolist() == factors.tolist()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_fit_takes_the_batches_in_their_order(packed_world: Path, workers: int) -> None:
    steps, fit = brightness_in_fit(packed_world, workers=workers)
    assert len(set(steps)) == len(steps)
    np.testing.assert_allclose(fit, steps, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "numbers_of_devices"), [("tensorflow", "2"), ("jax", "1 2"), ("torch", "1")]
)
def test_fit_takes_the_batches_in_their_order_on_any_backend(
    packed_world: Path, backend: str, numbers_of_devices: str
) -> None:
    numbers = numbers_of_devices.split()
    done = subprocess.run(
        [python_with(backend), "-m", "support.feeding", str(packed_world), *numbers],
        env={**os.environ, "PYTHONPATH": PYTHONPATH, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = np.array(json.loads(done.stdout.splitlines()[-1]))
    assert found.shape == (len(numbers), 2, 12)
    for steps, fit in found:
        np.testing.assert_allclose(fit, steps, rtol=1e-3)


def test_predict_takes_the_batches_in_their_order(images: PackedImages, y_true: np.ndarray) -> None:
    """A model that returns its input shows the order in which Keras takes the batches."""
    inputs = keras.Input((32, 32, 4), dtype="uint8", name="images")
    mirror = keras.Model({"images": inputs}, keras.layers.Identity()(inputs))
    expected = images.read(ROWS[order(walk(images, y_true, 5, 25), 5, 25)])
    for batches in (walk(images, y_true, 5, 25).feed(), walk(images, y_true, 5, 25)):
        assert np.array_equal(mirror.predict(batches, verbose=0), expected)


def test_tf_data_does_not_autotune(images: PackedImages, y_true: np.ndarray) -> None:
    """Its tuning thread would delay the end of each `fit` by up to a minute."""
    for batches in (walk(images, y_true, 0, 3), ScoringBatches(images, ROWS, batch_size=4)):
        assert batches.feed().options().autotune.enabled is False


@pytest.mark.parametrize(("batch_size", "n_batches"), [(1, 11), (4, 3), (11, 1), (64, 1)])
def test_scoring_reads_in_order_and_pads_the_last_batch(
    images: PackedImages, batch_size: int, n_batches: int
) -> None:
    batches = ScoringBatches(images, ROWS, batch_size=batch_size)
    assert len(batches) == n_batches
    read = [batches[index][0] for index in range(n_batches)]
    assert {len(batch) for batch in read} == {batch_size}
    whole = np.concatenate(read)
    assert np.array_equal(whole[: len(ROWS)], images.read(ROWS))
    assert (whole[len(ROWS) :] == images.read(ROWS[-1:])).all()
