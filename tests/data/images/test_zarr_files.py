from pathlib import Path

import numpy as np
import pytest

from hpa.data.images.opening import open_image
from support.zarr_images import write_ome_zarr, zipped


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
