"""Near duplicates are found exactly, without comparing all pairs."""

import tracemalloc

import numpy as np
import pytest

from hpa.data.splits.duplicates import duplicate_groups

N_BITS = 256


def random_bits(random: np.random.Generator, n: int) -> np.ndarray:
    return random.integers(0, 2, (n, N_BITS), dtype=np.uint8)


def spell(bits: np.ndarray) -> list[str]:
    return [np.packbits(row).tobytes().hex() for row in bits]


def flip(random: np.random.Generator, row: np.ndarray, n_bits: int) -> np.ndarray:
    flipped = row.copy()
    flipped[random.choice(N_BITS, n_bits, replace=False)] ^= 1
    return flipped


def brute_force(bits: np.ndarray, max_distance: int) -> np.ndarray:
    """Compare all pairs; propagate the smallest number along links until nothing changes."""
    linked = (bits[:, None] != bits[None]).sum(axis=2) <= max_distance
    group = np.arange(len(bits))
    while True:
        spread = np.where(linked, group, len(bits)).min(axis=1)
        if np.array_equal(spread, group):
            return group
        group = spread


def same_partition(first: np.ndarray, second: np.ndarray) -> bool:
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    return len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


@pytest.mark.parametrize("max_distance", [0, 1, 6, 7, 32])
@pytest.mark.parametrize("seed", range(4))
def test_the_groups_are_those_of_comparing_all_pairs(seed: int, max_distance: int) -> None:
    random = np.random.default_rng(seed)
    bits = random_bits(random, 60)
    for _ in range(120):
        origin = bits[random.integers(len(bits))]
        n_bits = int(random.integers(0, max_distance + 3))
        bits = np.concatenate([bits, flip(random, origin, n_bits)[None]])
    bits = bits[random.permutation(len(bits))]
    found = duplicate_groups(spell(bits), max_distance)
    assert same_partition(found, brute_force(bits, max_distance))


@pytest.mark.parametrize("seed", range(3))
def test_turned_images_are_linked_as_by_comparing_all_views(seed: int) -> None:
    """Two images are linked if one, as it is, is near to any of eight views of the other."""
    random = np.random.default_rng(seed)
    views = random.integers(0, 2, (90, 8, N_BITS), dtype=np.uint8)
    for _ in range(40):
        one, other = random.choice(90, 2, replace=False)
        view = int(random.integers(8))
        views[other, 0] = flip(random, views[one, view], int(random.integers(0, 9)))
    upright, every = views[:, 0], views.reshape(-1, N_BITS)
    near = (upright[:, None] != every[None]).sum(axis=2).reshape(90, 90, 8).min(axis=2) <= 6
    linked = near | near.T
    expected = np.arange(90)
    for _ in range(90):
        expected = np.where(linked, expected, 90).min(axis=1)
    cells = [" ".join(spell(image)) for image in views]
    assert same_partition(duplicate_groups(cells, 6), expected)
    assert len(set(expected)) < len(set(duplicate_groups(spell(upright), 6)))


def test_the_position_of_different_bits_does_not_matter() -> None:
    """One flipped bit in each of seven bands still leaves no eighth: distance 6 is the limit."""
    first = np.zeros(N_BITS, np.uint8)
    for step in (1, 16, 37, 42):
        for n_bits, together in ((6, True), (7, False)):
            second = first.copy()
            second[np.arange(n_bits) * step] = 1
            group = duplicate_groups(spell(np.stack([first, second])), 6)
            assert (group[0] == group[1]) == together


def test_a_chain_is_one_group() -> None:
    chain = np.zeros((40, N_BITS), np.uint8)
    for link in range(40):
        chain[link, : 6 * link] = 1  # ends differ in 234 bits, neighbours in 6
    assert len(set(duplicate_groups(spell(chain), 6))) == 1
    assert len(set(duplicate_groups(spell(chain), 5))) == 40


def test_hashes_of_any_length_are_compared() -> None:
    assert duplicate_groups(["00", "01", "ff"], 1).tolist() == [0, 0, 1]
    assert duplicate_groups(["0000000000", "0000000001", "ff00000000"], 1).tolist() == [0, 0, 1]


def test_one_image_is_one_group() -> None:
    assert duplicate_groups(["0" * 64], 6).tolist() == [0]


def test_a_thousand_copies_need_linear_memory() -> None:
    random = np.random.default_rng(0)
    copies = np.repeat(random_bits(random, 3), 1000, axis=0)
    tracemalloc.start()
    group = duplicate_groups(spell(copies), 6)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(set(group)) == 3
    assert peak_bytes < 20e6  # three million pairs a picture would take 24 MB each


@pytest.mark.parametrize("n_bits", [0, 2, 5])
def test_thousands_of_near_copies_need_linear_memory(n_bits: int) -> None:
    """Identical images, and distinct ones of which nearly all pairs are within 6 bits or 10."""
    random = np.random.default_rng(0)
    views = np.repeat(random_bits(random, 8)[None], 3000, axis=0)
    for image in views if n_bits else ():
        image[:, random.choice(N_BITS, n_bits, replace=False)] ^= 1
    hashes = [" ".join(spell(image)) for image in views]
    tracemalloc.start()
    group = duplicate_groups(hashes, 6)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.bincount(group).max() > 2900
    assert peak_bytes < 20e6  # 4.5 million links of 16 bytes would take 72 MB in each band


def test_a_channel_that_is_blank_everywhere_needs_no_memory() -> None:
    """Blank bits are distributed over all bands; one band of them would compare all pairs."""
    bits = random_bits(np.random.default_rng(0), 4000)
    bits[:, 192:] = 0
    hashes = spell(bits)
    tracemalloc.start()
    group = duplicate_groups(hashes, 6)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(set(group)) == 4000
    assert peak_bytes < 40e6  # all pairs' distances would take 128 MB


@pytest.mark.parametrize("n_blank_bits", [0, 64])
def test_a_hundred_thousand_images_are_grouped(n_blank_bits: int) -> None:
    """All pairs would be five thousand million."""
    bits = random_bits(np.random.default_rng(0), 100_000)
    bits[:, N_BITS - n_blank_bits :] = 0
    bits[1::1000] = bits[::1000]
    bits[1::1000, :6] ^= 1
    hashes = np.packbits(bits, axis=1).tobytes().hex()
    group = duplicate_groups([hashes[at : at + 64] for at in range(0, len(hashes), 64)], 6)
    assert len(set(group)) == 100_000 - 100
    assert (group[1::1000] == group[::1000]).all()
