"""Simulated images to try the page with, drawn by a fixed seed."""

from dataclasses import dataclass

import cv2
import numpy as np

from hpa.data.images.rendering import pseudo_colour
from hpa.data.synthesis.microscope import draw_image
from hpa.labels import CHANNELS, LABELS

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


def draw_examples(image_size: int) -> list[SampleImage]:
    """Draw all examples; takes a second at 256 pixels."""
    examples = []
    for number, (index, names) in enumerate(CHOSEN, start=1):
        pixels = _draw(index, names, image_size)
        examples.append(_example(f"simulated-{number}", " and ".join(names), pixels))
    swapped = _draw(*CHOSEN[3], image_size)[..., [0, 1, 3, 2]]
    fault = "With a fault: blue and yellow swapped"
    return [*examples, _example(f"simulated-{len(CHOSEN) + 1}", fault, swapped)]


def _draw(index: int, names: tuple[str, ...], image_size: int) -> np.ndarray:
    labels = tuple(sorted(map(LABELS.index, names)))
    return draw_image(labels, seed=SEED, index=index, image_size=image_size)


def _example(name: str, title: str, pixels: np.ndarray) -> SampleImage:
    files = {
        channel: cv2.imencode(".png", pixels[..., number])[1].tobytes()
        for number, channel in enumerate(CHANNELS)
    }
    small = cv2.resize(pixels, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    picture = cv2.cvtColor(pseudo_colour(small), cv2.COLOR_RGB2BGR)
    thumbnail = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return SampleImage(name, title, files, thumbnail)
