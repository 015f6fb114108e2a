"""All randomness comes from here: one seed of params.yaml, one independent stream a purpose."""

import zlib

import numpy as np


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the random stream of a seed for a purpose, such as `stream(7, "order", epoch)`.

    Streams of different purposes are independent, and asking for one never moves another:
    what is drawn for image 5 does not depend on whether image 4 was drawn.

    Source: numpy.random.SeedSequence, "spawn_key".
    """
    key = [word if isinstance(word, int) else zlib.crc32(word.encode()) for word in purpose]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
