from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpa.config.params import load_params
from hpa.data.batches.packed_batches import TrainingBatches
from hpa.data.packed.packed_images import PackedImages
from hpa.training.epochs import Epochs, epochs_of, planned_epochs
from support.paths import ROOT
from support.trainings import split_in_order

PARAMS = load_params(ROOT / "params.yaml")


def test_the_defaults_are_more_than_three_epochs_of_the_default_data() -> None:
    """6,000 images, .65 of them for train: 640 · 32 / 3,900 = 5.25; ten are 1,218.75 steps."""
    epochs = Epochs(3900, 32, 3900)
    assert epochs.of(640) == pytest.approx(5.2513, abs=1e-4)
    assert epochs.warning(640, "train.n_steps") is None
    assert epochs.steps(10) == 1219


def test_the_defaults_on_the_competitions_data_are_named_too_short() -> None:
    warning = Epochs(20_196, 32, 20_196).warning(640, "train.n_steps")
    assert warning is not None
    assert "train.n_steps 640 is only 1 epochs of these 20,196 images" in warning
    assert "10 epochs are train.n_steps=6312" in warning


def test_an_oversampled_epoch_is_as_long_as_the_batches_walk(packed_world: Path) -> None:
    """Factors 1, 1.5, 2, 3: 7.5 images, rounded up to 8; two batches of 4 visit all of them."""
    factors = np.array([1.0, 1.5, 2.0, 3.0])
    epochs = epochs_of(replace(PARAMS.train, batch_size=4), factors)
    assert (epochs.n_images, epochs.of(2)) == (8, 1.0)
    assert epochs.describe(4).endswith("2.0 epochs of 8 images (4 before oversampling)")
    batches = TrainingBatches(
        PackedImages(packed_world),
        np.arange(4),
        np.zeros((4, 28), np.uint8),
        batch_size=4,
        seed=7,
        augment=PARAMS.augment,
        repeat_factors=factors,
        end=4,
    )
    epoch = np.concatenate([batches.chosen(step) for step in range(2)])
    assert {0, 1, 2, 3} == set(epoch)
    assert np.sum(epoch == 3) == 3


def test_a_plan_counts_the_train_images_of_the_split(packed_world: Path, tmp_path: Path) -> None:
    split_dir = split_in_order(packed_world, tmp_path / "split", n_train=8)
    assert planned_epochs(PARAMS, packed_world, split_dir) == Epochs(8, 32, 8)
