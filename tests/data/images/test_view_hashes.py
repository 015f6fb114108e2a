"""Hashes of the eight views of an image: turned and mirrored copies are found, others are not."""

from pathlib import Path

import numpy as np
import pytest

from hpa.data.images.decoding import perceptual_hash, read_image, view_hashes
from hpa.vocabulary.hpa2018 import CHANNELS
from support.worlds import draw_pixels


def views(pixels: np.ndarray) -> list[np.ndarray]:
    turned = [np.rot90(pixels, quarter) for quarter in range(4)]
    return [np.ascontiguousarray(each) for view in turned for each in (view, view[:, ::-1])]


def distances(cell: str, single: str) -> list[int]:
    return [(int(each, 16) ^ int(single, 16)).bit_count() for each in cell.split()]


@pytest.mark.parametrize("size_px", [32, 64, 96, 131])
def test_the_view_hashes_are_the_hashes_of_the_views(size_px: int) -> None:
    """Each in one place, the image as it is first; resizing rounds a few pixels differently."""
    pixels = draw_pixels(1, size_px)
    cell = view_hashes(pixels)
    assert cell.split()[0] == perceptual_hash(pixels)
    found = [distances(cell, perceptual_hash(view)) for view in views(pixels)]
    assert sorted(int(np.argmin(each)) for each in found) == list(range(8))
    assert max(min(each) for each in found) <= (0 if size_px == 32 else 4)


def test_a_turned_real_image_is_near_one_view_and_other_images_near_none(real_data: Path) -> None:
    folder = real_data / "sample48/train"
    ids = sorted(path.name.removesuffix("_red.png") for path in folder.glob("*_red.png"))[:16]
    images = [read_image(folder, image_id, CHANNELS.names, 256) for image_id in ids]
    cells = [view_hashes(pixels) for pixels in images]
    for row, pixels in enumerate(images):
        for view in views(pixels):
            single = perceptual_hash(view)
            assert min(distances(cells[row], single)) <= 4
            others = [min(distances(cell, single)) for n, cell in enumerate(cells) if n != row]
            assert min(others) > 40
