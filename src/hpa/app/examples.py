"""Images to try the page with: simulated, so none has to be shipped, and the same each time."""

from dataclasses import dataclass

import cv2
import numpy as np

from hpa.data.synthesis.microscope import draw_image
from hpa.gallery import pseudo_colour
from hpa.labels import CHANNELS, LABELS

SEED = 2018
THUMBNAIL_PX = 160
FAULT = "red and blue exchanged"
CHOSEN: tuple[tuple[str, ...], ...] = (
    ("Nucleoli",),
    ("Mitochondria",),
    ("Nucleoplasm", "Plasma membrane"),
    ("Microtubules",),
    ("Nuclear speckles",),
    ("Golgi apparatus",),
)
"""What the protein shows in each; one more image repeats the first with a fault in it."""


@dataclass(frozen=True, eq=False)
class Example:
    """A simulated image.

    Attributes:
        name: as an image's name.
        title: what the protein shows in it, or what is wrong with it.
        files: by channel, the bytes of a grey PNG.
        thumbnail: the bytes of a JPEG in pseudo-colour.
    """

    name: str
    title: str
    files: dict[str, bytes]
    thumbnail: bytes


def draw_examples(image_size: int) -> list[Example]:
    """Draw the examples in uint8[S,S,4]; a second for all at 256 pixels."""
    examples = []
    for number, names in enumerate(CHOSEN):
        labels = tuple(sorted(map(LABELS.index, names)))
        pixels = draw_image(labels, seed=SEED, index=number, image_size=image_size)
        examples.append(_example(f"simulated-{number + 1}", " and ".join(names), pixels))
        if number == 0:
            exchanged = pixels[..., [2, 1, 0, 3]]
    return [*examples, _example(f"simulated-{len(CHOSEN) + 1}", FAULT, exchanged)]


def _example(name: str, title: str, pixels: np.ndarray) -> Example:
    files = {
        channel: cv2.imencode(".png", pixels[..., number])[1].tobytes()
        for number, channel in enumerate(CHANNELS)
    }
    small = cv2.resize(pixels, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    picture = cv2.cvtColor(pseudo_colour(small), cv2.COLOR_RGB2BGR)
    thumbnail = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return Example(name, title, files, thumbnail)
