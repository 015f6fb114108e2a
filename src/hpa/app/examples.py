"""Images to try the page with: simulated, so none has to be shipped, and the same each time."""

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
"""Which cells, and what the protein shows in them: fields with few cells are easier to look at."""
FAULT = "With a fault: blue and yellow exchanged"
FAULTY, FAULTY_ORDER = 3, [0, 1, 3, 2]
"""Of which image the last example shows the channels in a wrong order, and which."""


@dataclass(frozen=True, eq=False)
class SampleImage:
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


def draw_examples(image_size: int) -> list[SampleImage]:
    """Draw the examples in uint8[S,S,4]; a second for all at 256 pixels."""
    examples = []
    for number, (index, names) in enumerate(CHOSEN, start=1):
        pixels = _draw(index, names, image_size)
        examples.append(_example(f"simulated-{number}", " and ".join(names), pixels))
    exchanged = _draw(*CHOSEN[FAULTY], image_size)[..., FAULTY_ORDER]
    return [*examples, _example(f"simulated-{len(CHOSEN) + 1}", FAULT, exchanged)]


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
