"""PNG files have the same bytes on every machine, and hold the pixels."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from hpa.data.images.decoding import read_channel
from hpa.data.sources.png_files import write_png

GOLDEN = {
    (32, 1): "22be305822393ff33353895c94b0899c455a0f8b395a0ba9ec2befc889529f89",
    (96, 1): "c3720bcfc4df4f450535ca710df19e0958a7bbf522aa004179f79193c26e9988",
    (192, 40): "fe9afc5ccd33e307bcdfc75f05ca920a687e87493a85c6223b5df4d19ec0eb51",
    (512, 40): "641ac767f942454aaacdff807de2a1817d4cf2e56c1920d9f622f0cef916dbe8",
    (192, 0): "81eabbb5537787257484feec425f163877e552d5c1fc5489be7004e052cde3af",
}
"""SHA-256 by side and number of blobs, written on x86-64 with and without AVX-512."""


def draw(side: int, n_blobs: int) -> np.ndarray:
    """Draw smooth blobs over noise, by integers alone; without blobs, black."""
    random = np.random.default_rng(side)
    plane = np.zeros((side, side), np.int64)
    for _ in range(n_blobs):
        y, x = random.integers(0, side, 2).tolist()
        plane[y : y + side // 5, x : x + side // 6] += int(random.integers(20, 90))
    for _ in range(3):
        plane = (plane + np.roll(plane, 1, 0) + np.roll(plane, 1, 1) + np.roll(plane, 3, 1)) // 4
    noise = random.integers(0, 6, plane.shape) if n_blobs else 0
    return np.minimum(plane + noise, 255).astype(np.uint8)


@pytest.mark.parametrize(("side", "n_blobs"), GOLDEN)
def test_the_bytes_are_those_that_another_machine_wrote(
    side: int, n_blobs: int, tmp_path: Path
) -> None:
    """If this fails after an update of Pillow, every `data/raw` must be fetched again."""
    pixels = draw(side, n_blobs)
    write_png(tmp_path / "a.png", pixels)
    assert np.array_equal(read_channel(tmp_path / "a.png"), pixels)
    assert hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest() == GOLDEN[side, n_blobs]
