from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpa.data.images import vendor_files
from hpa.data.images.depth import DepthRule
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.opening import open_image
from hpa.data.images.reading import ReadingRules, read_planes
from hpa.vocabulary.hpa2018 import CHANNELS
from support.microscope_files import write_czi, write_lif, write_nd2
from support.zarr_images import write_ome_zarr

NAMES = ["DAPI", "GFP", "Cy5"]


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 4096, shape).astype(np.uint16)


def czi(path: Path) -> np.ndarray:
    """Write two scenes of three channels and two slices; return the second."""
    planes = pixels(3, 2, 30, 40)
    write_czi(path, planes, NAMES, pixel_size_um=0.2, n_scenes=2, tile_px=16)
    return planes + 1


def nd2(path: Path) -> np.ndarray:
    positions = pixels(2, 2, 3, 30, 40)
    write_nd2(path, positions, NAMES)
    return positions[1].swapaxes(0, 1)


def lossless_nd2(path: Path) -> np.ndarray:
    positions = pixels(2, 2, 3, 30, 40)
    write_nd2(path, positions, NAMES, is_lossless=True)
    return positions[1].swapaxes(0, 1)


def lif(path: Path) -> np.ndarray:
    tiles = pixels(2, 1, 2, 3, 30, 40)
    write_lif(path, {"field": tiles}, NAMES, bits=12)
    return tiles[1, 0].swapaxes(0, 1)


WRITERS = pytest.mark.parametrize("write", [czi, nd2, lossless_nd2, lif])


@WRITERS
def test_planes_of_a_microscopes_file_are_read_from_a_path_and_from_memory(
    tmp_path: Path, write: Callable[[Path], np.ndarray]
) -> None:
    path = tmp_path / "a.file"
    second = write(path)
    with open_image(path.with_name("a.file#2")) as opened:
        found = opened.description
        for channel, z in ((0, 0), (2, 1)):
            np.testing.assert_array_equal(opened.read(channel, z), second[channel, z])
    assert (found.height_px, found.width_px, found.dtype) == (30, 40, np.uint16)
    assert (found.channel_names, found.n_slices, found.n_times) == (tuple(NAMES), 2, 1)
    assert (found.n_scenes, round(found.pixel_size_um or 0, 6)) == (2, 0.2)
    assert found.bits == (None if write is czi else 12)
    with open_image(path.read_bytes()) as opened:
        assert opened.description == found
        assert opened.read(1).shape == (30, 40)


def test_an_image_is_the_same_in_every_format(tmp_path: Path) -> None:
    planes = pixels(4, 1, 30, 40)
    channels = CHANNELS
    write_czi(tmp_path / "a.czi", planes, channels.names)
    write_nd2(tmp_path / "a.nd2", planes.swapaxes(0, 1)[None], channels.names)
    write_lif(tmp_path / "a.lif", {"a": planes.swapaxes(0, 1)[None, None]}, channels.names)
    write_ome_zarr(tmp_path / "a.zarr", planes[:, 0], labels=channels.names)
    rules = ReadingRules(channels, depth=DepthRule.of(4095))
    found = [
        read_planes(dict.fromkeys(channels.names, tmp_path / name), rules).planes
        for name in ("a.czi", "a.nd2", "a.lif", "a.zarr")
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    np.testing.assert_array_equal(
        found[0][2], np.floor(planes[2, 0].astype(int) * 255 / 4095 + 0.5)
    )


@WRITERS
def test_a_scene_that_is_not_in_the_file_is_refused(
    tmp_path: Path, write: Callable[[Path], np.ndarray]
) -> None:
    write(tmp_path / "a.file")
    with pytest.raises(InvalidImageError, match=r"of 2 .*: none has number 3"):
        open_image(tmp_path / "a.file#3")


@WRITERS
def test_a_file_of_more_pixels_than_allowed_is_refused_before_they_are_read(
    tmp_path: Path, write: Callable[[Path], np.ndarray]
) -> None:
    write(tmp_path / "a.file")
    with pytest.raises(InvalidImageError, match=r"40×30 pixels \(at most 39×39\)"):
        open_image(tmp_path / "a.file", max_size_px=39)


@WRITERS
def test_without_its_package_the_extra_and_the_command_are_named(
    tmp_path: Path, write: Callable[[Path], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.file")
    monkeypatch.setattr(vendor_files, "find_spec", lambda _: None)
    with pytest.raises(InvalidImageError, match=r"`microscopes`: run `make setup`.*pip install"):
        open_image(tmp_path / "a.file")


@WRITERS
@pytest.mark.parametrize("share", [0.05, 0.6])
def test_a_file_cut_short_is_refused(
    tmp_path: Path, write: Callable[[Path], np.ndarray], share: float
) -> None:
    path = tmp_path / "a.file"
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InvalidImageError, match=r"cut or damaged|has no pixels|none has number"):
        read_all(tmp_path / "a.file#2")


def read_all(path: Path) -> None:
    with open_image(path) as opened:
        for channel, z in np.ndindex(3, 2):
            opened.read(channel, z)


def test_a_frame_that_an_nd2_file_lacks_is_not_read_as_black(tmp_path: Path) -> None:
    path = write_nd2(tmp_path / "a.nd2", pixels(1, 2, 1, 30, 40))
    content = path.read_bytes().replace(b"ImageDataSeq|1!", b"ImageDataSeq|9!")
    with open_image(content) as opened:
        opened.read(0, 0)
        with pytest.raises(InvalidImageError, match="lacks frame 2: copy it again"):
            opened.read(0, 1)


def test_a_plane_that_a_czi_file_lacks_is_not_read_as_black(tmp_path: Path) -> None:
    from pylibCZIrw import czi as library

    path = tmp_path / "a.czi"
    with library.create_czi(str(path)) as file:
        for c, z in ((0, 0), (0, 1), (1, 0)):
            file.write(pixels(30, 40, 1), plane={"C": c, "Z": z})
    with open_image(path) as opened:
        opened.read(1, 0)
        with pytest.raises(InvalidImageError, match="without a plane of channel 2"):
            opened.read(1, 1)


def test_a_frame_that_decompresses_to_more_than_it_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nd2"
    write_nd2(path, np.zeros((1, 1, 1, 4000, 4000), np.uint16), is_lossless=True)
    content = path.read_bytes()
    for number in (b'value="4000"', b'value="8000"'):  # height, width and bytes of a row
        content = content.replace(number, b'value="0030"' if b"4" in number else b'value="0060"')
    with open_image(content) as opened, pytest.raises(InvalidImageError, match="cut or damaged"):
        opened.read(0)


def damaged_czi(path: Path, offset: int, value: int) -> bytes:
    """Write a CZI file and change a byte of the first entry of its directory of tiles."""
    czi(path)
    content = bytearray(path.read_bytes())
    content[content.find(b"ZISRAWDIRECTORY") + 160 + offset] = value
    return bytes(content)


def test_a_file_that_crashes_the_library_of_its_maker_is_refused(tmp_path: Path) -> None:
    content = damaged_czi(tmp_path / "a.czi", 28, 62)  # 62 dimensions
    with pytest.raises(InvalidImageError, match="cut or damaged: it crashes, stalls or overloads"):
        open_image(content)


def test_a_file_of_billions_of_channels_is_refused(tmp_path: Path) -> None:
    content = damaged_czi(tmp_path / "a.czi", 119, 127)
    with pytest.raises(InvalidImageError, match=r"\d{10} channels \(at most 1000\)"):
        open_image(content)


def test_a_file_that_stalls_the_library_of_its_maker_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor_files, "TIMEOUT_S", 0.01)
    czi(tmp_path / "a.czi")
    with pytest.raises(InvalidImageError, match="cut or damaged: it crashes, stalls or overloads"):
        open_image(tmp_path / "a.czi#1")


@pytest.mark.slow
@WRITERS
def test_damaged_bytes_are_read_or_refused(
    tmp_path: Path, write: Callable[[Path], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor_files, "TIMEOUT_S", 10)
    write(tmp_path / "a.file")
    whole = (tmp_path / "a.file").read_bytes()
    random = np.random.default_rng(7)
    n_refused = 0
    for _ in range(15):
        content = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 40)):
            content[place] ^= 1 << random.integers(8)
        try:
            with open_image(bytes(content)) as opened:
                opened.read(0)
        except InvalidImageError:
            n_refused += 1
    assert n_refused
