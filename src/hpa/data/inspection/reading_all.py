"""Measurement of all images, in processes if it would take long."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import cv2
import joblib
import numpy as np

from hpa.data.images.framing import frame_content
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.reading import ReadingRules, read_planes
from hpa.data.inspection.measuring import Measured, measure
from hpa.system.progress import progress

N_SAMPLED = 24
"""Images that are looked at first, evenly spaced, to tell cells on black from whole fields."""
FRAMED_SHARE = 0.7
"""Images are cut out on black if the box around their content takes less of half of them."""
BLACK_LEVELS, MIN_BLACK = 2, 0.25
"""Grey levels up to which a pixel is black, as JPEG leaves traces; the share that must be so."""
ALONE_S, WORTH_S = 2.0, 4.0
"""Seconds after which the rest is estimated, and from which it is read in several processes."""
CHUNK = 16
Sources = Mapping[str, Path]


def measure_all(
    images: Mapping[str, Sources], rules: ReadingRules, *, framed: bool, n_jobs: int = -1
) -> list[Measured]:
    """Measure the images, in their order, with progress; memory holds one image per process."""
    left = iter(images.items())
    measured: list[Measured] = []
    start = time.monotonic()
    with progress(what="read", total=len(images)) as bar:
        for name, sources in left:
            measured.append(measure(name, sources, rules, framed=framed))
            bar.update()
            spent = time.monotonic() - start
            if spent > ALONE_S and spent / len(measured) * (len(images) - len(measured)) > WORTH_S:
                break
        chunks = iter(lambda: list(islice(left, CHUNK)), [])
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
        if len(measured) < len(images):
            tasks = (joblib.delayed(_measure_chunk)(each, rules, framed) for each in chunks)
            for part in parallel(tasks):
                measured += part
                bar.update(len(part))
    return measured


def _measure_chunk(
    images: Sequence[tuple[str, Sources]], rules: ReadingRules, framed: bool
) -> list[Measured]:
    cv2.setNumThreads(1)
    return [measure(name, sources, rules, framed=framed) for name, sources in images]


def are_cut_out(images: Mapping[str, Sources], rules: ReadingRules) -> bool:
    """Tell whether most images are cells cut out on black, by a sample."""
    shares = list(_content_shares(_sampled(images), rules))
    return len(shares) > 0 and float(np.median(shares)) < FRAMED_SHARE


def _sampled(images: Mapping[str, Sources]) -> list[Sources]:
    names = list(images)
    places = np.linspace(0, len(names) - 1, min(len(names), N_SAMPLED)).astype(int)
    return [images[names[place]] for place in dict.fromkeys(places.tolist())]


def _content_shares(images: Sequence[Sources], rules: ReadingRules) -> Iterator[float]:
    """Yield the share of each image that the square around its content takes."""
    for sources in images:
        try:
            planes = read_planes(sources, rules).planes
        except (InvalidImageError, OSError):
            continue
        yield content_share(planes)


def content_share(planes: list[np.ndarray]) -> float:
    """Return the share of K uint8[H,W] that the square around their content takes.

    1 if less than a quarter is black: a dim background is no cut.
    """
    if np.mean(np.max(planes, axis=0) <= BLACK_LEVELS) < MIN_BLACK:
        return 1.0
    return frame_content(planes)[0].size / planes[0].size
