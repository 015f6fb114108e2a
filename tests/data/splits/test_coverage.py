"""Whole groups move until all labels, or as many as possible, are in every part."""

import itertools

import numpy as np
import pytest

from hpa.data.splits.coverage import complete, spread

FANO = [(0, 1, 2), (0, 3, 4), (0, 5, 6), (1, 3, 5), (1, 4, 6), (2, 3, 6), (2, 4, 5)]
"""In any division into two parts, one line is missing in a part."""
ALL = np.ones(28, dtype=bool)


def fano_counts() -> np.ndarray:
    """Seven groups, the points; seven labels, the lines."""
    return np.array([[int(point in line) for line in FANO] for point in range(7)])


def planted_counts(seed: int, n_groups: int, n_rooms: int, n_labels: int = 28) -> np.ndarray:
    """Generate rare labels for which a hidden assignment to rooms covers all."""
    random = np.random.default_rng(seed)
    hidden = np.arange(n_groups) % n_rooms
    counts = np.zeros((n_groups, n_labels), dtype=int)
    for label in range(n_labels):
        for room in range(n_rooms):
            counts[random.choice(np.flatnonzero(hidden == room)), label] = random.integers(1, 5)
    return counts


def held(part: np.ndarray, counts: np.ndarray, n_parts: int) -> np.ndarray:
    return np.array([(counts[part == number] > 0).sum(axis=0) for number in range(n_parts)])


def test_a_missing_label_comes_from_the_smallest_group_of_those_that_can_be_spared() -> None:
    """Label 1 is missing in part 1: group 3 has fewest images of it, but group 4 fewer labels."""
    counts = np.array([[1, 0], [1, 0], [0, 5], [1, 2], [0, 3]])
    part = spread(np.array([0, 1, 0, 0, 0]), counts, np.array([[1, 1], [1, 1]]))
    assert part.tolist() == [0, 1, 0, 0, 1]
    part = spread(np.array([0, 1, 0, 0, 0]), counts, np.array([[1, 2], [1, 1]]))
    assert part.tolist() == [0, 1, 0, 0, 1]


def test_nothing_moves_if_nothing_is_missing() -> None:
    counts = planted_counts(0, n_groups=30, n_rooms=3)
    part = np.arange(30) % 3
    assert np.array_equal(spread(part, counts, np.ones((3, 28), dtype=int)), part)
    assert np.array_equal(complete(part, counts, np.ones(3, dtype=int), ALL), part)


def test_no_part_gives_a_group_that_it_needs() -> None:
    counts = fano_counts()
    for start in range(2**7):
        part = np.array([start >> point & 1 for point in range(7)])
        after = spread(part, counts, np.ones((2, 7), dtype=int))
        assert (held(after, counts, 2) > 0).sum() >= (held(part, counts, 2) > 0).sum()
        assert (held(after, counts, 2) > 0).sum() < 14


@pytest.mark.parametrize("n_rooms", [(1, 1), (2, 1), (1, 1, 1, 1)])
def test_every_label_is_in_every_room_if_possible(n_rooms: tuple[int, ...]) -> None:
    """The two rooms of a part are tested by dividing it in turn."""
    rooms, stuck = np.array(n_rooms), 0
    for seed in range(15):
        counts = planted_counts(seed, n_groups=14, n_rooms=sum(n_rooms))
        start = np.random.default_rng(seed).integers(0, len(rooms), 14)
        stuck += (held(spread(start, counts, np.outer(rooms, ALL)), counts, len(rooms)) == 0).any()
        part = complete(start, counts, rooms, ALL)
        for number, n_own in enumerate(n_rooms):
            own = counts[part == number]
            inner = complete(np.zeros(len(own), dtype=int), own, np.ones(n_own, dtype=int), ALL)
            assert held(inner, own, n_own).min() > 0
    assert stuck  # otherwise the greedy search would suffice


@pytest.mark.parametrize("seed", range(5))
def test_no_other_solution_moves_fewer_images(seed: int) -> None:
    counts = planted_counts(seed, n_groups=9, n_rooms=2, n_labels=12)
    start = np.zeros(9, dtype=int)
    weight = 1 + counts.sum(axis=1)
    ways = [np.array(each) for each in itertools.product([0, 1], repeat=9)]
    least = min(weight @ way for way in ways if held(way, counts, 2).min() > 0)
    assert weight @ complete(start, counts, np.array([1, 1]), ALL[:12]) == least


@pytest.mark.parametrize("favoured", range(7))
def test_favoured_labels_have_priority(favoured: int) -> None:
    counts = fano_counts()
    for start in range(0, 2**7, 25):
        part = np.array([start >> point & 1 for point in range(7)])
        part = complete(part, counts, np.array([1, 1]), np.arange(7) == favoured)
        assert (held(part, counts, 2) > 0).sum() == 13
        assert held(part, counts, 2)[:, favoured].min() > 0


def test_a_part_without_rooms_gives_labels_that_others_lack() -> None:
    counts = np.array([[1, 0], [1, 1], [0, 1], [0, 1]])
    part = complete(np.array([0, 1, 1, 0]), counts, np.array([2, 0]), ALL[:2])
    assert held(part, counts, 2)[0].tolist() == [2, 2]


def test_a_large_set_is_completed_in_seconds_and_its_frequent_labels_stay_everywhere() -> None:
    """Seven labels cannot all be covered, another is missing, and 30,000 groups are free."""
    random = np.random.default_rng(0)
    counts = np.zeros((30_007, 28), dtype=int)
    counts[7:, 7:27] = random.random((30_000, 20)) < 0.1
    counts[:7, :7] = fano_counts()
    counts[[7, 8, 9], 27] = 1
    start = (np.arange(30_007) % 7 == 0).astype(int)
    start[[7, 8, 9]] = 1
    part = complete(start, counts, np.array([1, 1]), ALL)
    assert (held(part, counts, 2)[:, 7:] > 0).all()
    assert (held(part, counts, 2)[:, :7] > 0).sum() == 13
    assert (part != start).sum() < 9
