"""One image gives the same planes whatever the format, the layout and the depth of its files."""

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from hpa.data.images.reading import ReadImage, ReadingRules, read_planes
from hpa.vocabulary.hpa2018 import CHANNELS
from support.worlds import draw_pixels
from support.zarr_images import write_ome_zarr, zipped

NAMES = CHANNELS.names
RULES = ReadingRules(CHANNELS)
UM = 0.108
UNITS = {"PhysicalSizeX": UM, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": UM,
         "PhysicalSizeYUnit": "µm"}  # fmt: skip
Sources = Mapping[str, Path]


@pytest.fixture(scope="module", params=["simulated", "real"])
def planes(request: pytest.FixtureRequest) -> np.ndarray:
    """uint8[4,H,W] of one image."""
    if request.param == "simulated":
        return np.ascontiguousarray(draw_pixels(5).transpose(2, 0, 1))
    folder = request.getfixturevalue("real_data") / "sample48" / "train"
    first = min(folder.glob("*_green.png")).name.removesuffix("_green.png")
    read = [cv2.imread(str(folder / f"{first}_{name}.png"), -1) for name in NAMES]
    return np.stack(read)


def pictures(folder: Path, planes: np.ndarray) -> Sources:
    files = {name: folder / f"x_{name}.png" for name in NAMES}
    for path, plane in zip(files.values(), planes, strict=True):
        cv2.imwrite(str(path), plane)
    return files


def one(path: Path) -> Sources:
    return dict.fromkeys(NAMES, path)


def ome_tiff(folder: Path, planes: np.ndarray) -> Sources:
    metadata = {"axes": "CYX", "Channel": {"Name": list(NAMES)}, **UNITS}
    path = folder / "x.ome.tif"
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata)
    return one(path)


def imagej_stack(folder: Path, planes: np.ndarray) -> Sources:
    tifffile.imwrite(
        folder / "x.tif",
        planes,
        imagej=True,
        resolution=(1 / UM, 1 / UM),
        metadata={"axes": "CYX", "unit": "um", "Labels": list(NAMES)},
    )
    return one(folder / "x.tif")


def planar_tiff(folder: Path, planes: np.ndarray) -> Sources:
    path = folder / "x.tif"
    tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="separate")
    return one(path)


def contiguous_tiff(folder: Path, planes: np.ndarray) -> Sources:
    pixels = np.ascontiguousarray(planes.transpose(1, 2, 0))
    path = folder / "x.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
    return one(path)


def ome_zarr_0_4(folder: Path, planes: np.ndarray) -> Sources:
    return one(write_ome_zarr(folder / "x.ome.zarr", planes, labels=NAMES, pixel_size=UM))


def ome_zarr_0_5(folder: Path, planes: np.ndarray) -> Sources:
    path = folder / "x.zarr"
    return one(write_ome_zarr(path, planes, version=3, labels=NAMES, pixel_size=UM))


def zarr_in_a_zip(folder: Path, planes: np.ndarray) -> Sources:
    return one(zipped(next(iter(ome_zarr_0_4(folder, planes).values()))))


FORMATS = {
    each.__name__: each
    for each in (
        pictures, ome_tiff, imagej_stack, planar_tiff, contiguous_tiff, ome_zarr_0_4, ome_zarr_0_5,
        zarr_in_a_zip,
    )
}  # fmt: skip
SAY_SIZE = ("ome_tiff", "imagej_stack", "ome_zarr_0_4", "ome_zarr_0_5", "zarr_in_a_zip")
IN_TWELVE_BITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "stretched to 4095": lambda planes: np.round(planes * (4095 / 255)).astype(np.uint16),
    "times 16": lambda planes: planes.astype(np.uint16) * 16,
    "in the upper bits": lambda planes: np.round(planes * (4095 / 255)).astype(np.uint16) * 16,
    "of 16 bits": lambda planes: planes.astype(np.uint16) * 257,
    "as float32 up to 1": lambda planes: (planes / 255).astype(np.float32),
    "as float64 up to 4095": lambda planes: planes * (4095 / 255),
    "as float32 up to 255": lambda planes: planes.astype(np.float32),
}


def require_same(read: ReadImage, planes: np.ndarray) -> None:
    np.testing.assert_array_equal(np.stack(read.planes), planes)
    assert read.absent == ()


@pytest.mark.parametrize("kind", FORMATS)
def test_planes_are_equal_in_every_format(kind: str, planes: np.ndarray, tmp_path: Path) -> None:
    sources = FORMATS[kind](tmp_path, planes)
    read = read_planes(sources, RULES)
    require_same(read, planes)
    assert read.pixel_size_um == (pytest.approx(UM, rel=1e-4) if kind in SAY_SIZE else None)


@pytest.mark.parametrize("kind", [each for each in FORMATS if not each.startswith("ome_zarr")])
def test_bytes_are_read_as_files_are(kind: str, planes: np.ndarray, tmp_path: Path) -> None:
    contents: dict[Path, bytes] = {}
    sources = {
        name: contents.setdefault(path, path.read_bytes())
        for name, path in FORMATS[kind](tmp_path, planes).items()
    }
    require_same(read_planes(sources, RULES), planes)


@pytest.mark.parametrize("deeper", IN_TWELVE_BITS)
@pytest.mark.parametrize("kind", ["ome_tiff", "contiguous_tiff", "ome_zarr_0_5"])
def test_planes_are_equal_in_every_depth_by_the_default_rule(
    deeper: str, kind: str, planes: np.ndarray, tmp_path: Path
) -> None:
    sources = FORMATS[kind](tmp_path, IN_TWELVE_BITS[deeper](planes))
    require_same(read_planes(sources, RULES), planes)


@pytest.mark.parametrize("order", ["big", "little"])
def test_the_order_of_bytes_makes_no_difference(
    order: str, planes: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "x.tif"
    deep = IN_TWELVE_BITS["stretched to 4095"](planes)
    byteorder = {"big": ">", "little": "<"}[order]
    tifffile.imwrite(path, deep, photometric="minisblack", byteorder=byteorder)
    require_same(read_planes(one(path), RULES), planes)
