"""The glance into the header of a TIFF: one plane, all channels, or a part of an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from hpa.data.images.tiff_sets import TiffGlance, glance

PLANE = np.zeros((16, 16), np.uint16)


def ome(*images: list[str]) -> str:
    """Return OME-XML of images, each spread over the files of a list."""
    blocks = "".join(
        f'<Image ID="Image:{n}"><Pixels SizeC="{len(files)}">'
        + "".join(
            f'<TiffData FirstC="{k}"><UUID FileName="{name}">urn:uuid:{k}</UUID></TiffData>'
            for k, name in enumerate(files)
        )
        + "</Pixels></Image>"
        for n, files in enumerate(images)
    )
    return f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{blocks}</OME>'


def write(path: Path, pixels: np.ndarray = PLANE, **more: Any) -> Path:
    tifffile.imwrite(path, pixels, **more)
    return path


@pytest.mark.parametrize(
    ("pixels", "more", "expected"),
    [
        (PLANE, {}, TiffGlance(is_one_plane=True)),
        (PLANE, {"imagej": True}, TiffGlance(is_one_plane=True)),
        (PLANE, {"bigtiff": True}, TiffGlance(is_one_plane=True)),
        (np.stack([PLANE] * 3), {"photometric": "minisblack"}, TiffGlance()),
        (np.dstack([PLANE] * 3), {"photometric": "rgb"}, TiffGlance()),
        (np.stack([PLANE] * 3), {"photometric": "rgb", "planarconfig": "separate"}, TiffGlance()),
        (np.stack([PLANE] * 4), {"imagej": True, "metadata": {"axes": "CYX"}},
         TiffGlance(n_channels=4)),
        (np.stack([PLANE] * 4), {"imagej": True, "metadata": {"axes": "ZYX"}}, TiffGlance()),
        (np.stack([PLANE] * 4), {"ome": True, "metadata": {"axes": "CYX"}},
         TiffGlance(n_channels=4)),
    ],
)  # fmt: skip
def test_planes_and_stated_channels_are_told_apart(
    tmp_path: Path, pixels: np.ndarray, more: dict[str, Any], expected: TiffGlance
) -> None:
    assert glance(write(tmp_path / "a.tif", pixels, **more)) == expected


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"no TIFF", b"MM\0*"])
def test_of_a_damaged_file_nothing_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    assert glance(tmp_path / "a.tif") == TiffGlance()
    assert glance(tmp_path / "nowhere.tif") == TiffGlance()


def test_the_files_of_a_spread_image_are_those_that_exist_in_its_order(tmp_path: Path) -> None:
    names = ["a_Z2.ome.tif", "a &amp; b.ome.tif", "a_Z1.ome.tif", "lost.ome.tif"]
    paths = [tmp_path / name.replace("&amp;", "&") for name in names]
    for path in paths[:3]:
        write(path, description=ome(names), metadata=None)
        assert not glance(path).is_one_plane
    assert glance(paths[2]).files == (paths[0], paths[1], paths[2])


@pytest.mark.parametrize(
    "images",
    [
        [["a.ome.tif"]],
        [["a.ome.tif"], ["b.ome.tif"]],  # one file for each position of a stage
        [["before.ome.tif", "its renaming.ome.tif"]],
        [["../a.ome.tif", "a.ome.tif"]],
    ],
)
def test_a_file_of_an_image_of_its_own_is_no_part(tmp_path: Path, images: list[list[str]]) -> None:
    write(tmp_path / "b.ome.tif")
    path = write(tmp_path / "a.ome.tif", description=ome(*images), metadata=None)
    assert glance(path).files == ()


def test_a_file_that_leaves_its_metadata_to_another_is_a_part_of_that(tmp_path: Path) -> None:
    text = '<OME><BinaryOnly MetadataFile="a.ome.tif" UUID="urn:uuid:1"/></OME>'
    part = write(tmp_path / "a_1.ome.tif", description=text, metadata=None)
    assert glance(part).files == ()
    master = write(tmp_path / "a.ome.tif")
    assert glance(part).files == (master, part)
