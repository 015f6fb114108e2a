from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from hpa.app.advice import advise
from hpa.app.views import Views
from hpa.data.images.depth import DepthRule
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.reading import ReadingRules, read_planes
from hpa.data.packed.training_range import orders_of
from hpa.inference.inputs import Input
from hpa.vocabulary.hpa2018 import CHANNELS
from support.page_forms import bomb, float_tiff, png
from support.worlds import draw_pixels

IMAGE_SIZE = 32


def test_every_flag_of_the_training_range_has_advice(views: Views) -> None:
    """Images with every kind of fault, and every order of the channels."""
    good = draw_pixels(3, IMAGE_SIZE)
    noise = np.random.default_rng(0).integers(0, 256, good.shape, dtype=np.uint8)
    images = [
        np.zeros_like(good),
        good // 8,
        np.maximum(good, 200),
        cv2.GaussianBlur(good, (0, 0), 6),
        noise,
        np.repeat(good[..., :1], 4, axis=-1),
        *(draw_pixels(3, IMAGE_SIZE)[..., list(order)] for order in orders_of(4)),
    ]
    inputs = [Input("x", image[None]) for image in images]
    predictions = views.classifier.predict(inputs, batch_size=8)
    flags = {flag for prediction in predictions for flag in prediction.flags}
    for kind in ("nothing", "same picture", "dimmer", "brighter", "blurrier", "sharper"):
        assert [flag for flag in flags if kind in flag], kind
    assert not [flag for flag in flags if not advise(flag)]


def test_an_unknown_text_has_no_advice() -> None:
    assert advise("something else") == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        png(np.zeros((8, 8), np.uint16)),
        png(np.zeros((8, 8, 3), np.uint16)),
        png(np.zeros((8, 8, 4), np.uint8)),
        png(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)),
        png(np.zeros((8, 8), np.uint8))[:-5],
        float_tiff(),
        bomb(),
    ],
)
def test_every_file_that_is_refused_has_advice(content: bytes) -> None:
    rules = ReadingRules(CHANNELS, depth=DepthRule("refuse"))
    with pytest.raises(InvalidImageError) as refused:
        read_planes({"green": content}, rules)
    assert advise(str(refused.value))


def test_every_flag_of_reading_has_advice(tmp_path: Path) -> None:
    """Deep values without names of channels, hot pixels, too few levels, an absent channel."""
    planes = np.tile(draw_pixels(3, 64).transpose(2, 0, 1), (1, 4, 4)).astype(np.uint16) * 16 + 1
    planes[1, 0, :2] = 60_000
    unnamed, named = tmp_path / "a.tif", tmp_path / "b.ome.tif"
    tifffile.imwrite(unnamed, planes, photometric="minisblack")
    metadata = {"axes": "CYX", "Channel": {"Name": ["green", "red", "DIC", "blue"]}}
    tifffile.imwrite(named, planes, ome=True, photometric="minisblack", metadata=metadata)
    stack = tmp_path / "c.tif"
    tifffile.imwrite(stack, planes, imagej=True, metadata={"axes": "ZYX"})
    rules = ReadingRules(CHANNELS)
    by_number = replace(rules, found_as="red=1; green=2; blue=3; yellow=4")
    of_other_files = replace(rules, found_as="red=C1; green=C2; blue=C3")
    flags = [
        *read_planes(dict.fromkeys(CHANNELS.names, stack), by_number).flags,
        *read_planes(dict.fromkeys(CHANNELS.names, named), of_other_files).flags,
    ]
    for path in (unnamed, named):
        for depth in (DepthRule("camera"), DepthRule("percentile", (0, 50)), DepthRule("bits")):
            rules = ReadingRules(CHANNELS, depth=depth, known_types=("uint8",))
            flags += read_planes(dict.fromkeys(CHANNELS.names, path), rules).flags
    for kind in (
        "trained on",
        "were cut",
        "grey levels",
        "no names",
        "which holds",
        "slices",
        "own",
    ):
        assert [flag for flag in flags if kind in flag], kind
    assert not [flag for flag in flags if not advise(flag)]
