"""Label sets keep the competition's frequencies and co-occurrences."""

from collections import Counter

import numpy as np
import pytest

from hpa.data.synthesis.label_sets import (
    draw_label_sets,
    label_counts,
    minimum_count,
    pair_counts,
)
from hpa.vocabulary.hpa2018 import LABELS

REAL_COUNTS = label_counts().sum(axis=1)
IMAGES_BY_SET_SIZE = np.array([15126, 12485, 3160, 299, 2])
N_REAL = IMAGES_BY_SET_SIZE.sum()


def counts_of(label_sets: list[tuple[int, ...]]) -> np.ndarray:
    return np.bincount([label for labels in label_sets for label in labels], minlength=len(LABELS))


def test_the_counts_are_those_of_the_competition_and_agree_with_each_other():
    # A set of k labels is counted once for each of its k labels.
    by_size = label_counts().sum(axis=0)
    assert (by_size == IMAGES_BY_SET_SIZE * np.arange(1, 6)).all()
    assert N_REAL == 31072
    # ... and contains k (k - 1) / 2 pairs: 12485 + 3 * 3160 + 6 * 299 + 10 * 2 = 23779.
    assert (pair_counts() == pair_counts().T).all()
    assert np.triu(pair_counts()).sum() == 23779
    assert not pair_counts().diagonal().any()


def test_tempering_0_gives_the_real_frequencies():
    label_sets = draw_label_sets(N_REAL // 4, tempering=0.0, seed=1)
    expected = np.maximum(REAL_COUNTS / 4, 4)
    # Within 5 % and two images.
    assert (np.abs(counts_of(label_sets) - expected) <= 0.05 * expected + 2).all()


def test_tempering_0_gives_the_real_numbers_of_labels_per_image():
    label_sets = draw_label_sets(N_REAL // 4, tempering=0.0, seed=1)
    n_by_size = np.bincount([len(labels) for labels in label_sets], minlength=6)[1:]
    fraction = n_by_size / len(label_sets)
    assert np.abs(fraction - IMAGES_BY_SET_SIZE / N_REAL).max() < 0.02


def test_the_commonest_pairs_are_the_real_ones():
    label_sets = draw_label_sets(N_REAL // 4, tempering=0.0, seed=1)
    together = Counter((a, b) for labels in label_sets for a in labels for b in labels if a < b)
    for first, second in [(0, 25), (0, 2), (0, 21), (0, 7)]:
        expected = pair_counts()[first, second] / 4
        assert abs(together[first, second] - expected) < 0.2 * expected


def test_only_pairs_that_really_occur_are_drawn():
    real = pair_counts()
    for labels in draw_label_sets(2000, tempering=0.6, seed=2):
        assert all(real[a, b] > 0 for a in labels for b in labels if a != b)


@pytest.mark.parametrize("tempering", [0.0, 0.5, 1.0])
def test_lysosomes_never_occur_without_endosomes(tempering):
    label_sets = draw_label_sets(800, tempering=tempering, seed=3)
    lysosomal = [labels for labels in label_sets if 10 in labels]
    assert lysosomal
    assert all(9 in labels for labels in lysosomal)


@pytest.mark.parametrize("tempering", [0.0, 0.5, 1.0])
def test_labels_10_15_and_17_are_never_alone(tempering):
    label_sets = draw_label_sets(800, tempering=tempering, seed=4)
    assert not {(10,), (15,), (17,)} & set(label_sets)


@pytest.mark.parametrize("n_images", [28, 56, 112, 300, 1500])
@pytest.mark.parametrize("tempering", [0.0, 0.35, 0.7, 1.0])
def test_every_label_occurs_as_often_as_promised(n_images, tempering):
    label_sets = draw_label_sets(n_images, tempering=tempering, seed=5)
    assert len(label_sets) == n_images
    assert counts_of(label_sets).min() >= minimum_count(n_images, tempering)


def test_at_tempering_07_the_rarest_label_has_two_images_in_a_hundred():
    # 3 % * 0.7 * 1500 = 31.5 images.
    assert minimum_count(1500, 0.7) == 31
    assert counts_of(draw_label_sets(1500, tempering=0.7, seed=6)).min() >= 30


def test_the_same_seed_gives_the_same_sets_and_another_seed_others():
    first = draw_label_sets(200, tempering=0.5, seed=7)
    assert first == draw_label_sets(200, tempering=0.5, seed=7)
    assert first != draw_label_sets(200, tempering=0.5, seed=8)


def test_each_set_is_sorted_and_holds_each_label_once():
    for labels in draw_label_sets(500, tempering=0.8, seed=9):
        assert labels
        assert list(labels) == sorted(set(labels))


@pytest.mark.parametrize("n_images", [0, 1, 5])
def test_a_handful_of_images_can_be_asked_for(n_images):
    assert len(draw_label_sets(n_images, tempering=0.3, seed=10)) == n_images


def test_tempering_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"tempering 1\.5"):
        draw_label_sets(10, tempering=1.5, seed=0)
