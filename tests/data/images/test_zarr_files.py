import zipfile
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from hpa.data.images import zarr_codecs
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.opening import open_image
from support.zarr_images import edit_json, write_ome_zarr, zipped


def pixels(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(3).integers(1, 250, shape).astype(dtype)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("axes", ["yx", "cyx", "czyx", "tczyx", "xyc", "yxzc"])
@pytest.mark.parametrize("dtype", ["uint8", ">u2", "float32"])
def test_planes_of_ome_zarr_are_read_whatever_the_order_of_axes(
    tmp_path: Path, version: int, axes: str, dtype: str
) -> None:
    sizes = {"t": 1, "c": 3, "z": 2, "y": 40, "x": 50}
    image = pixels(*[sizes[axis] for axis in axes], dtype=dtype)
    folder = write_ome_zarr(tmp_path / "a.zarr", image, axes, version=version, pixel_size=0.5)
    with open_image(folder) as opened:
        found = opened.description
        plane = opened.read(*[2 if "c" in axes else 0, 1 if "z" in axes else 0])
    assert (found.height_px, found.width_px, found.pixel_size_um) == (40, 50, 0.5)
    assert len(found.channel_names) == (3 if "c" in axes else 1)
    assert found.n_slices == (2 if "z" in axes else 1)
    at = {"t": 0, "c": 2, "z": 1}
    expected = image[tuple(at.get(axis, slice(None)) for axis in axes)]
    np.testing.assert_array_equal(
        plane, expected if axes.index("y") < axes.index("x") else expected.T
    )
    assert plane.dtype == found.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("prefix", ["", "a.ome.zarr/"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_zip_file_of_ome_zarr_is_read_from_a_path_and_from_memory(
    tmp_path: Path, version: int, prefix: str
) -> None:
    image = pixels(2, 40, 50)
    labels = ["DAPI", "GFP"]
    path = zipped(write_ome_zarr(tmp_path / "a", image, version=version, labels=labels), prefix)
    for source in (path, path.read_bytes()):
        with open_image(source) as opened:
            assert opened.description.channel_names == ("DAPI", "GFP")
            np.testing.assert_array_equal(opened.read(1), image[1])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        (0.25, "micrometer", 0.25),
        (250, "nanometer", 0.25),
        (2.5e-7, "meter", 0.25),
        (0.25, None, None),
        (0.25, "parsec", None),
    ],
)
def test_the_pixel_size_is_in_micrometres_if_its_unit_is_stated(
    tmp_path: Path, version: int, size: float, unit: str | None, expected: float | None
) -> None:
    image = pixels(1, 20, 30)
    folder = write_ome_zarr(tmp_path / "a", image, version=version, pixel_size=size, unit=unit)
    with open_image(folder) as opened:
        found = opened.description.pixel_size_um
    assert found == (pytest.approx(expected) if expected else None)


def test_scales_of_the_level_and_of_all_levels_are_multiplied(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a", pixels(1, 20, 30), pixel_size=0.25)

    def double(document: dict[str, Any]) -> None:
        scale = [{"type": "scale", "scale": [1, 2, 2]}]
        document["multiscales"][0]["coordinateTransformations"] = scale

    edit_json(folder / ".zattrs", double)
    with open_image(folder) as opened:
        assert opened.description.pixel_size_um == 0.5


def test_pixels_that_are_not_square_have_no_size(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a", pixels(1, 20, 30), pixel_size=0.25)

    def stretch(document: dict[str, Any]) -> None:
        level = document["multiscales"][0]["datasets"][0]
        level["coordinateTransformations"][0]["scale"][1] = 0.5

    edit_json(folder / ".zattrs", stretch)
    with open_image(folder) as opened:
        assert opened.description.pixel_size_um is None


@pytest.mark.parametrize("version", [2, 3])
def test_images_of_a_collection_are_scenes(tmp_path: Path, version: int) -> None:
    root = tmp_path / "a.zarr"
    zarr.open_group(str(root), mode="w", zarr_format=version).attrs["bioformats2raw.layout"] = 3
    images = [pixels(1, 20, 30) + n for n in range(3)]
    for n, image in enumerate(images):
        write_ome_zarr(root / str(n), image, version=version)
    with open_image(tmp_path / "a.zarr#3") as opened:
        assert opened.description.n_scenes == 3
        np.testing.assert_array_equal(opened.read(0), images[2][0])
    with pytest.raises(InvalidImageError, match="3 images: none has number 4"):
        open_image(tmp_path / "a.zarr#4")


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate_is_refused_by_the_folders_of_its_fields_which_open(
    tmp_path: Path, version: int
) -> None:
    root = tmp_path / "plate.zarr"
    wells = ["A/1", "A/2", "B/1", "B/2"]
    plate: dict[str, Any] = {"plate": {"wells": [{"path": well} for well in wells]}}
    well = {"well": {"images": [{"path": "0"}, {"path": "1"}]}}
    write_attributes(root, plate, version)
    for name in wells:
        write_attributes(root / name, well, version)
        for field in "01":
            write_ome_zarr(root / name / field, pixels(1, 20, 30), version=version)
    with pytest.raises(InvalidImageError, match=r"a plate of 4 wells .* A/1/0, A/1/1, A/2/0"):
        open_image(root)
    with pytest.raises(InvalidImageError, match=r"a well of a plate .*: 0, 1"):
        open_image(root / "A/1")
    with open_image(root / "A/1/0") as opened:
        assert opened.read(0).shape == (20, 30)


def write_attributes(folder: Path, attributes: dict[str, Any], version: int) -> None:
    group = zarr.open_group(str(folder), mode="a", zarr_format=version)
    group.attrs.update(attributes if version == 2 else {"ome": attributes})


@pytest.mark.parametrize("axes", [["c", "y", "x"], [{"name": "c"}, {"name": "y"}, {"name": "x"}]])
@pytest.mark.parametrize("scale", [None, [], [{"type": "scale", "scale": [2]}], [{"path": "s"}]])
@pytest.mark.parametrize("omero", [None, [], {"channels": None}, {"channels": ["GFP", {}]}])
def test_what_need_not_be_stated_may_be_stated_in_any_way(
    tmp_path: Path, axes: Any, scale: Any, omero: Any
) -> None:
    image = pixels(2, 20, 30)
    folder = write_ome_zarr(tmp_path / "a", image)
    level = {"path": "0", "coordinateTransformations": scale}
    stated = {"multiscales": [{"axes": axes, "datasets": [level]}], "omero": omero}
    edit_json(folder / ".zattrs", lambda document: document.update(stated))
    with open_image(folder) as opened:
        assert opened.description.pixel_size_um is None
        assert opened.description.channel_names == ("", "")
        np.testing.assert_array_equal(opened.read(1), image[1])


def test_every_slice_and_time_point_is_counted(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a", pixels(4, 2, 3, 20, 30), "tczyx")
    with open_image(folder) as opened:
        found = opened.description
    assert (found.n_times, len(found.channel_names), found.n_slices) == (4, 2, 3)


COMPRESSIONS = {
    "blosc": numcodecs.Blosc(cname="lz4"),
    "blosc of zstd": numcodecs.Blosc(cname="zstd", shuffle=numcodecs.Blosc.BITSHUFFLE),
    "zlib": numcodecs.Zlib(),
    "gzip": numcodecs.GZip(),
    "zstd": numcodecs.Zstd(),
    "lz4": numcodecs.LZ4(),
    "bz2": numcodecs.BZ2(),
    "lzma": numcodecs.LZMA(),
    "none": None,
}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_every_common_compression_is_read(tmp_path: Path, name: str) -> None:
    image = pixels(2, 40, 50)
    folder = write_ome_zarr(
        tmp_path / "a", image, compressors=COMPRESSIONS[name], chunks=(1, 16, 16)
    )
    with open_image(folder) as opened:
        np.testing.assert_array_equal(opened.read(1), image[1])


def test_chunks_in_column_order_are_read(tmp_path: Path) -> None:
    image = pixels(1, 40, 50)
    folder = write_ome_zarr(tmp_path / "a", image, order="F", chunks=(1, 16, 16))
    assert '"order": "F"' in (folder / "0/.zarray").read_text()
    with open_image(folder) as opened:
        np.testing.assert_array_equal(opened.read(0), image[0])


@pytest.mark.parametrize("inner", [zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec(checksum=True)])
def test_shards_and_checksums_are_read(tmp_path: Path, inner: Any) -> None:
    image = pixels(2, 60, 70)
    folder = write_ome_zarr(
        tmp_path / "a",
        image,
        version=3,
        chunks=(1, 16, 16),
        shards=(2, 32, 32),
        compressors=[inner, zarr.codecs.Crc32cCodec()],
    )
    for source in (folder, zipped(folder, compression=zipfile.ZIP_DEFLATED).read_bytes()):
        with open_image(source) as opened:
            np.testing.assert_array_equal(opened.read(1), image[1])


def test_chunks_of_several_slices_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pixels(2, 5, 40, 50)
    folder = write_ome_zarr(tmp_path / "a", image, "czyx", chunks=(1, 3, 32, 32))
    decoded = []
    decompress = zarr_codecs.decompress
    monkeypatch.setattr(
        zarr_codecs, "decompress", lambda *args: decoded.append(1) or decompress(*args)
    )
    with open_image(folder) as opened:
        for z in range(5):
            np.testing.assert_array_equal(opened.read(1, z), image[1, z])
    assert len(decoded) == 2 * 4
