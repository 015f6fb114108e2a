import numpy as np
import pytest
from matplotlib.colors import to_hex

from hpa.gallery import draw_gallery, protein, pseudo_colour
from hpa.labels import LABELS
from hpa.reporting import BLUE, INK, ORANGE

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 4), dtype=np.uint8)


def labels(*numbers: int) -> np.ndarray:
    row = np.zeros(28, np.uint8)
    row[list(numbers)] = 1
    return row


def test_found_missed_and_invented_labels_stand_below_their_image() -> None:
    figure = draw_gallery(PIXELS[:1], np.array([labels(0, 25)]), np.array([labels(0, 7)]))
    texts = {to_hex(text.get_color()): text.get_text() for text in figure.axes[0].texts}
    assert texts == {
        BLUE: f"found: {LABELS[0]}",
        INK: f"missed: {LABELS[25]}",
        ORANGE: f"invented: {LABELS[7]}",
    }


@pytest.mark.parametrize("n_images", [0, 1, 5])
def test_any_number_of_images_is_drawn(n_images: int) -> None:
    y_true = np.zeros((n_images, 28), np.uint8)
    figure = draw_gallery(PIXELS[:n_images], y_true, y_true)
    assert sum(bool(axes.images) for axes in figure.axes) == n_images


def test_each_channel_shows_in_its_own_colour() -> None:
    image = np.zeros((4, 4, 4), np.uint8)
    for place in range(4):
        image[place, place, place] = 255
    rgb = pseudo_colour(image)
    # red microtubules, green protein, blue nucleus, yellow endoplasmic reticulum at 0.6
    expected = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (153, 153, 0)]
    assert [tuple(rgb[place, place]) for place in range(4)] == expected
    assert [tuple(protein(image)[1, 1]), tuple(protein(image)[0, 0])] == [(255,) * 3, (0,) * 3]


def test_a_black_image_stays_black() -> None:
    assert pseudo_colour(np.zeros((4, 4, 4), np.uint8)).max() == 0
