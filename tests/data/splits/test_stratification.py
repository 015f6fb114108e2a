"""Labels keep their rates, and rare labels are in every part."""

import numpy as np
import pytest

from hpa.data.splits.stratification import divide, divide_evenly, rate_errors


def random_counts(seed: int, n_groups: int = 60, n_labels: int = 9) -> np.ndarray:
    """Generate groups of one to four images; the rarest label has three groups."""
    random = np.random.default_rng(seed)
    counts = np.zeros((n_groups, n_labels), dtype=int)
    for label in range(n_labels):
        members = random.choice(n_groups, 3 + 2 * label, replace=False)
        counts[members, label] = random.integers(1, 5, len(members))
    counts[counts.sum(axis=1) == 0, n_labels - 1] = 1
    return counts


@pytest.mark.parametrize("seed", range(20))
def test_labels_of_three_groups_are_selected_once_and_left_twice(seed: int) -> None:
    counts = random_counts(seed)
    part = divide(counts, counts.max(axis=1), 0.15, (2, 1), np.ones(9, dtype=bool), seed)
    assert 0.1 < part.mean() < 0.35
    assert ((counts[part == 1] > 0).sum(axis=0) >= 1).all()
    assert ((counts[part == 0] > 0).sum(axis=0) >= 2).all()


def test_label_rates_are_those_of_images_not_of_groups() -> None:
    """Groups of 1 to 9 images and four labels, 15 % of each."""
    random = np.random.default_rng(0)
    n_images = random.integers(1, 10, 200)
    counts = n_images[:, None] * (random.integers(0, 4, 200)[:, None] == np.arange(4))
    part = divide(counts, n_images, 0.15, (1, 1), np.ones(4, dtype=bool), 0)
    share = counts[part == 1].sum(axis=0) / counts.sum(axis=0)
    assert share == pytest.approx([0.15] * 4, abs=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_even_parts_each_contain_the_labels_of_as_many_groups(seed: int) -> None:
    counts = random_counts(seed)
    part = divide_evenly(counts, counts.max(axis=1), 5, seed)
    held = np.array([(counts[part == number] > 0).sum(axis=0) for number in range(5)])
    frequent = (counts > 0).sum(axis=0) >= 5
    assert frequent.sum() == 8
    assert (held[:, frequent] >= 1).all()
    assert np.bincount(part).min() >= 6


@pytest.mark.parametrize("seed", range(10))
def test_groups_that_no_part_can_spare_are_exchanged(seed: int) -> None:
    """Two labels, each of a group of 9 and one of 1: both labels and ten images in each part."""
    n_images = np.array([9, 1, 9, 1])
    part = divide_evenly(
        n_images[:, None] * np.array([[1, 0], [1, 0], [0, 1], [0, 1]]), n_images, 2, seed
    )
    assert part.tolist() in ([0, 1, 1, 0], [1, 0, 0, 1])


@pytest.mark.parametrize("seed", range(10))
def test_at_least_one_group_is_selected_and_one_left_per_part(seed: int) -> None:
    """Of three groups of 40, 30 and 30 images, 15 of 100 are nearest to one of 30."""
    n_images = np.array([40, 30, 30])
    counts = n_images[:, None] * np.array([1, 0])
    part = divide(counts, n_images, 0.15, (2, 1), np.ones(2, dtype=bool), seed)
    assert part.tolist() in ([0, 1, 0], [0, 0, 1])


def test_rate_errors_are_relative_to_the_overall_rate() -> None:
    """Label 0: 5 of 50 is .1 in all; 2 of 10 is .2, twice that; 3 of 40 is .075, a quarter less."""
    errors = rate_errors(np.array([[2, 0], [3, 0]]), np.array([10, 40]))
    assert errors[:, 0] == pytest.approx([1.0, -0.25])
    assert np.isnan(errors[:, 1]).all()
