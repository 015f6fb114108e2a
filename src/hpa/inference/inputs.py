"""Input of a network: the tiles of one image, and reasons to distrust its prediction."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Input:
    """A named image as the network sees it.

    Attributes:
        name: of the image.
        tiles: uint8[T,S,S,K]; several if the model was trained on tiles of larger fields.
        flags: reasons to distrust the prediction, in plain words, of the files and their size.
    """

    name: str
    tiles: np.ndarray
    flags: tuple[str, ...] = ()


def batches(inputs: Iterable[Input], n_tiles: int) -> Iterator[list[Input]]:
    """Yield images in batches of at least `n_tiles` tiles, the last one excepted.

    >>> pixels = np.zeros((2, 32, 32, 4), np.uint8)
    >>> given = [Input(name, pixels) for name in "abc"]
    >>> [[each.name for each in batch] for batch in batches(given, 3)]
    [['a', 'b'], ['c']]
    """
    batch: list[Input] = []
    n_found = 0
    for each in inputs:
        batch.append(each)
        n_found += len(each.tiles)
        if n_found >= n_tiles:
            yield batch
            batch, n_found = [], 0
    if batch:
        yield batch
