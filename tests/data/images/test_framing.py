"""Framing on the content: the square, its margin, and equal pixels in training and prediction."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hpa.config.params import load_params
from hpa.data.images.decoding import read_image_planes
from hpa.data.images.framing import FramingRules, frame_content, to_tiles
from hpa.data.packed.packed_images import PackedImages
from hpa.data.packing import pack
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS
from support.paths import ROOT
from support.worlds import IDS, draw_pixels, write_image


def cell(top: int, left: int, shape: tuple[int, int] = (96, 64)) -> np.ndarray:
    """Draw a cell of 40 × 20 pixels on black, uint8[H,W,4]."""
    pixels = np.zeros((*shape, 4), np.uint8)
    pixels[top : top + 40, left : left + 20] = draw_pixels(1, 64)[:40, :20] | 64
    return pixels


def test_the_place_of_a_cell_does_not_matter() -> None:
    framed = [
        np.stack(frame_content(list(cv2.split(cell(*place))))) for place in [(0, 0), (56, 44)]
    ]
    assert framed[0].shape == (4, 43, 43)  # 40 and twice 4 %
    assert np.array_equal(*framed)
    content = np.flatnonzero(framed[0].max(axis=(0, 1)))
    assert (content[0], content[-1]) == (11, 30)  # in the middle


def test_a_channel_that_reaches_further_widens_the_frame() -> None:
    pixels = cell(20, 20, (96, 96))
    pixels[10:90, 30, 3] = 255
    assert frame_content(list(cv2.split(pixels)))[0].shape == (86, 86)


def test_traces_of_compression_are_black_and_dim_cells_are_not() -> None:
    traces = cell(20, 20, (96, 96))
    traces[traces == 0] = 2
    assert frame_content(list(cv2.split(traces)))[0].shape == (43, 43)
    dim = cell(20, 20, (96, 96)) // 16
    assert frame_content(list(cv2.split(dim)))[0].shape == (43, 43)


@pytest.mark.parametrize("level", [0, 7, 255])
def test_an_image_without_a_background_stays_whole(level: int) -> None:
    planes = [np.full((32, 32), level, np.uint8)] * 4
    assert frame_content(planes)[0].any() == (level > 0)
    assert len(frame_content(planes)[0]) == (35 if level else 32)


def test_prediction_frames_an_image_exactly_as_packing_did(own_world: Path, tmp_path: Path) -> None:
    for image_id, place in zip(IDS, [(0, 0), (20, 40), (56, 30)], strict=False):
        write_image(own_world / "train", image_id, cell(*place))
    pack(own_world, tmp_path / "p", image_size=32, shard_rows=64, framing="content", n_jobs=1)
    rules = FramingRules(32, framing="content")
    rows = PackedImages(tmp_path / "p").read(np.arange(6))
    for image_id, row in zip(IDS, rows, strict=False):
        planes = read_image_planes(own_world / "train", image_id, CHANNELS.names)
        assert np.array_equal(to_tiles(planes, None, rules)[0], row)
    assert np.array_equal(rows[0], rows[1])  # the same cell elsewhere


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pack.framing": "content"}, "null if pack.framing is 'content': images differ in scale"),
        (
            {"pack.pixel_size_um": 0.5},
            r"null, or the 48 of pack\.image_size and pack\.pixel_size_um",
        ),
        ({"pack.pixel_size_um": 0.5, "pack.framing": "content"}, "null, or the 48 of"),
    ],
)
def test_a_width_of_images_that_cannot_be_is_refused(
    changes: dict[str, Any], expected: str
) -> None:
    side = {"evaluate.image_side_um": 20}
    with pytest.raises(UserError, match=rf"image_side_um: expected {expected}.* received 20"):
        load_params(ROOT / "params.yaml", changes | side)
    load_params(ROOT / "params.yaml", changes)


def test_the_width_that_follows_from_the_pixel_size_may_be_stated() -> None:
    changes = {"pack.pixel_size_um": 0.65, "pack.framing": "content"}
    load_params(ROOT / "params.yaml", changes | {"evaluate.image_side_um": 62.4})  # 96 · 0.65
