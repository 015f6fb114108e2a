"""Groups of near-duplicate images, found without comparing all pairs."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def duplicate_groups(hashes: Sequence[str], max_distance: int) -> np.ndarray:
    """Number the groups of images linked by hashes that differ in at most `max_distance` bits.

    The result is exact. With the bits split into `max_distance` + 1 bands, two such hashes are
    equal in at least one band, so only images that share a band are compared. The bits that vary
    most are distributed evenly, so that a blank channel does not make a band equal for all.

    Args:
        hashes: N hexadecimal hashes of one length.
        max_distance: largest number of different bits of the same picture.

    Returns:
        int[N], equal for images of one group. Links are transitive: a chain is one group.

    Source: Manku, Jain, Das Sarma, "Detecting near-duplicates for web crawling", WWW 2007.

    >>> duplicate_groups(["00", "01", "ff"], max_distance=1).tolist()
    [0, 0, 1]
    """
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(len(hashes), -1)
    words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
    bits = np.unpackbits(packed, axis=1)
    dealt = np.argsort(np.abs(bits.mean(axis=0) - 0.5), kind="stable")
    links = [np.empty((0, 2), dtype=np.int64)]
    for first in range(max_distance + 1):
        links += _links_within(words, bits[:, dealt[first :: max_distance + 1]], max_distance)
    pairs = np.concatenate(links)
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(hashes), len(hashes)))
    return connected_components(graph, directed=False)[1]


def _links_within(words: np.ndarray, band: np.ndarray, max_distance: int) -> Iterator[np.ndarray]:
    """Yield links int[L,2] between images that are near in `words` and equal in `band`.

    A bucket of images is linked through its distinct hashes, so a thousand copies of one
    picture need a thousand links, not half a million.
    """
    packed = np.ascontiguousarray(np.packbits(band, axis=1))
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], keys[order][1:] != keys[order][:-1]]))
    sizes = np.diff(np.concatenate([starts, [len(order)]]))
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        members = order[start : start + size]
        distinct, first, copy_of = np.unique(
            words[members], axis=0, return_index=True, return_inverse=True
        )
        yield np.stack([members, members[first][copy_of]], axis=1)
        for row in range(len(distinct) - 1):
            distance = np.bitwise_count(distinct[row + 1 :] ^ distinct[row]).sum(axis=1)
            near = np.flatnonzero(distance <= max_distance)
            ends = members[first[row + 1 + near]]
            yield np.stack([np.full(len(near), members[first[row]]), ends], axis=1)
