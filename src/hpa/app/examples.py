"""Simulated images to try the page with, drawn by a fixed seed."""

from dataclasses import dataclass

import cv2
import numpy as np

from hpa.data.images.rendering import pseudo_colour
from hpa.data.synthesis.microscope import draw_image
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS

SEED = 2018
THUMBNAIL_PX = 160
CHOSEN: tuple[tuple[int, tuple[str, ...]], ...] = (
    (5, ("Nucleoli",)),
    (3, ("Mitochondria",)),
    (6, ("Nucleoplasm", "Plasma membrane")),
    (4, ("Microtubules",)),
    (5, ("Nuclear speckles",)),
    (2, ("Golgi apparatus",)),
)
"""Index of the cells, and labels of the protein; fields with few cells are easier to read."""
FAULTY = CHOSEN[3]
"""The image that is also shown with a fault."""


@dataclass(frozen=True, eq=False)
class SampleImage:
    """A simulated image.

    Attributes:
        name: image name.
        title: labels of the protein, or the fault of the image.
        files: by channel, the bytes of a greyscale PNG.
        thumbnail: the bytes of a pseudo-colour JPEG.
    """

    name: str
    title: str
    files: dict[str, bytes]
    thumbnail: bytes


def draw_examples(image_size: int, vocabulary: Vocabulary) -> list[SampleImage]:
    """Draw the examples whose labels a model knows; takes a second at 256 pixels.

    There are none for a model of other channels than the simulated ones.
    """
    roles = [(each.name, each.role) for each in vocabulary.channels.channels]
    if roles != [(each.name, each.role) for each in CHANNELS.channels]:
        return []
    chosen = [each for each in CHOSEN if set(each[1]) <= set(vocabulary.labels.names)]
    images = [(" and ".join(names), _draw(index, names, image_size)) for index, names in chosen]
    if FAULTY in chosen:
        swapped = _draw(*FAULTY, image_size)[..., [0, 1, 3, 2]]
        images.append(("With a fault: blue and yellow swapped", swapped))
    return [
        _example(f"simulated-{number}", title, pixels)
        for number, (title, pixels) in enumerate(images, start=1)
    ]


def _draw(index: int, names: tuple[str, ...], image_size: int) -> np.ndarray:
    labels = tuple(sorted(map(LABELS.column, names)))
    return draw_image(labels, seed=SEED, index=index, image_size=image_size)


def _example(name: str, title: str, pixels: np.ndarray) -> SampleImage:
    files = {
        channel: encoded(".png", pixels[..., number])
        for number, channel in enumerate(CHANNELS.names)
    }
    small = cv2.resize(pixels, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    picture = cv2.cvtColor(pseudo_colour(small, CHANNELS), cv2.COLOR_RGB2BGR)
    return SampleImage(name, title, files, encoded(".jpg", picture, cv2.IMWRITE_JPEG_QUALITY, 85))


def encoded(suffix: str, pixels: np.ndarray, *options: int) -> bytes:
    """Return the bytes of an image file."""
    return cv2.imencode(suffix, pixels, options)[1].tobytes()
