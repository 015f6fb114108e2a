import cv2
import numpy as np

from hpa.app.advice import advise
from hpa.app.views import Views
from hpa.data.training_range import ORDERS
from support.worlds import draw_pixels

IMAGE_SIZE = 32


def test_whatever_the_training_range_doubts_has_advice(views: Views) -> None:
    """Faults of all kinds, and every order of the channels."""
    good = draw_pixels(3, IMAGE_SIZE)
    noise = np.random.default_rng(0).integers(0, 256, good.shape, dtype=np.uint8)
    images = [
        np.zeros_like(good),
        good // 8,
        np.maximum(good, 200),
        cv2.GaussianBlur(good, (0, 0), 6),
        noise,
        np.repeat(good[..., :1], 4, axis=-1),
        *(draw_pixels(3, IMAGE_SIZE)[..., list(order)] for order in ORDERS),
    ]
    answers = views.classifier.predict(["x"] * len(images), np.stack(images), batch_size=8)
    doubts = {flag for answer in answers for flag in answer.flags}
    for kind in ("nothing", "same picture", "dimmer", "brighter", "blurrier", "sharper"):
        assert [doubt for doubt in doubts if kind in doubt], kind
    assert not [doubt for doubt in doubts if not advise(doubt)]


def test_nothing_is_advised_where_nothing_is_known() -> None:
    assert advise("something else") == ""
