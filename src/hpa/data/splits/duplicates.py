"""Groups of near-duplicate images, turned or not, found without comparing all pairs."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def duplicate_groups(hashes: Sequence[str], max_distance: int) -> np.ndarray:
    """Number the groups of images linked by hashes that differ in at most `max_distance` bits.

    Two images are linked if the hash of one, as it is, is near to that of any view of the other.
    The result is exact. With the bits split into `max_distance` + 1 bands, two such hashes are
    equal in at least one band, so only images that share a band are compared. The bits that vary
    most are distributed evenly, so that a blank channel does not make a band equal for all.

    Images that are already in one group are not compared again, so memory is linear in N, and so
    is time for a thousand near copies.

    Args:
        hashes: N cells, each with the hexadecimal hashes of the views of an image (rotations and
            mirror images), separated by spaces; the first is that of the image as it is.
        max_distance: largest number of different bits of the same picture.

    Returns:
        int[N], equal for images of one group. Links are transitive: a chain is one group.

    Source: Manku, Jain, Das Sarma, "Detecting near-duplicates for web crawling", WWW 2007.

    >>> duplicate_groups(["00", "01", "ff"], max_distance=1).tolist()
    [0, 0, 1]
    >>> duplicate_groups(["00 f0", "33 cc", "f1 1f"], max_distance=1).tolist()
    [0, 1, 0]
    """
    views = [cell.split() for cell in hashes]
    n_views = len(views[0])
    packed = np.frombuffer(bytes.fromhex("".join(each for cell in views for each in cell)), "u1")
    packed = packed.reshape(len(views) * n_views, -1)
    words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
    varied = np.unpackbits(packed[::n_views], axis=1).mean(axis=0)
    dealt = np.argsort(np.abs(varied - 0.5), kind="stable")
    group = np.arange(len(views))
    for first in range(max_distance + 1):
        columns = dealt[first :: max_distance + 1]
        band = np.packbits((packed[:, columns // 8] >> (7 - columns % 8)) & 1, axis=1)
        links = list(_links_within(words, band, group, n_views, max_distance))
        group = _merge(group, np.concatenate([np.empty((0, 2), int), *links]))
    return group


def scaled_distance(hashes: Iterable[str], of_256: int) -> int:
    """Scale a number of bits of 256 to the hashes of another number of channels.

    >>> scaled_distance(["0" * 16, "f" * 16], 6)  # one channel, 64 bits
    2
    """
    n_digits = len(next(iter(hashes)).split()[0])
    return round(of_256 * 4 * n_digits / 256)


def _links_within(
    words: np.ndarray, band: np.ndarray, group: np.ndarray, n_views: int, max_distance: int
) -> Iterator[np.ndarray]:
    """Yield links int[L,2] between groups of images whose views are equal in `band`.

    There are fewer links than views: each one unites two groups of a bucket.
    """
    keys = np.ascontiguousarray(band).view(np.dtype((np.void, band.shape[1]))).ravel()
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], keys[order][1:] != keys[order][:-1]]))
    ends = np.append(starts[1:], len(order))
    owner, upright = group[order // n_views], order % n_views == 0
    several = np.minimum.reduceat(owner, starts) < np.maximum.reduceat(owner, starts)
    for start, end in zip(starts[several], ends[several], strict=True):
        if upright[start:end].any():
            members = order[start:end]
            yield from _links_of_bucket(
                words[members], owner[start:end], upright[start:end], max_distance
            )


def _links_of_bucket(
    words: np.ndarray, group: np.ndarray, upright: np.ndarray, max_distance: int
) -> Iterator[np.ndarray]:
    """Yield links between the groups int[B] of the views in a bucket; `group` is changed."""
    group = group.copy()
    rows = np.flatnonzero(upright)
    for row in rows[np.unique(words[rows], axis=0, return_index=True)[1]]:
        others = np.flatnonzero(group != group[row])
        if not len(others):
            continue
        distance = np.bitwise_count(words[others] ^ words[row]).sum(axis=1)
        near = np.unique(group[others[distance <= max_distance]])
        if len(near):
            yield np.stack([np.full(len(near), group[row]), near], axis=1)
            group[np.isin(group, near)] = group[row]


def _merge(group: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Unite the linked groups, and number them in the order of their first image."""
    graph = coo_array((np.ones(len(links)), links.T), shape=(len(group), len(group)))
    return connected_components(graph, directed=False)[1][group]
