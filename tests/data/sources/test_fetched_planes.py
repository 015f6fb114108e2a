"""Fetching files of several channels, other depths and stated pixel sizes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from hpa.data.images.decoding import read_channel
from hpa.data.images.depth import DepthRule, to_grey
from hpa.data.images.reading import ReadingRules
from hpa.data.sources.found import Found
from hpa.data.sources.layout import write_layout
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018
from support.worlds import digests, draw_pixels

NAMES = CHANNELS.names
RULES = ReadingRules(CHANNELS)
SIDE = 48
PLANES = {
    number: np.ascontiguousarray(draw_pixels(number, SIDE).transpose(2, 0, 1)) for number in (1, 2)
}


def save(path: Path, planes: np.ndarray, names: tuple[str, ...] = NAMES, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"axes": "CYX", "Channel": {"Name": list(names)}, **more}
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata)
    return path


def sized(um: float) -> dict[str, Any]:
    units = {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    return {"PhysicalSizeX": um, "PhysicalSizeY": um, **units}


def rows(*files: Path | dict[str, Path], **columns: list[str]) -> pd.DataFrame:
    """The table of images `a`, `b`, … of which each has one file, or one per channel."""
    ids = list("abcdef")[: len(files)]
    paths = [each if isinstance(each, dict) else dict.fromkeys(NAMES, each) for each in files]
    table = {"Id": ids, "Target": "0", "group": ids, "labelled": True, "folder": "train"}
    cells = {name: [str(each.get(name, "")) for each in paths] for name in NAMES}
    return pd.DataFrame({**table, **cells, **columns})


def fetch(tmp_path: Path, images: pd.DataFrame, rules: ReadingRules = RULES, **more: Any) -> Found:
    return write_layout(tmp_path / "raw", images, HPA_2018, rules=rules, **{"n_jobs": 1, **more})


def written(tmp_path: Path, image_id: str) -> np.ndarray:
    return np.stack([read_channel(tmp_path / f"raw/train/{image_id}_{name}.png") for name in NAMES])


def table(tmp_path: Path) -> pd.DataFrame:
    return pd.read_csv(tmp_path / "raw/train.csv", dtype=str, keep_default_na=False)


def test_a_file_of_all_channels_becomes_one_picture_per_channel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = save(tmp_path / "own/1.ome.tif", PLANES[1])
    two = save(tmp_path / "own/2.ome.tif", PLANES[2].astype(np.uint16) * 16)
    assert fetch(tmp_path, rows(one, two)) == {"types": ["uint16", "uint8"]}
    for image_id, planes in (("a", PLANES[1]), ("b", PLANES[2])):
        np.testing.assert_array_equal(written(tmp_path, image_id), planes)
    assert list(table(tmp_path)) == ["Id", "Target"]
    assert capsys.readouterr().out.splitlines()[-1] == (
        "converted channels to 8 bits by fetch.depth camera: 4 of 16-bit values; 0 pixels (0.00%) "
        "were cut, 0 of 2 images are left with fewer than 32 grey levels in a channel"
    )


def test_pictures_of_eight_bits_are_copied_beside_files_that_are_converted(tmp_path: Path) -> None:
    first = save(tmp_path / "own/1.ome.tif", PLANES[1])
    fetch(tmp_path, rows(first))
    png = tmp_path / "own/red.png"
    png.write_bytes((tmp_path / "raw/train/a_red.png").read_bytes() + b"trailing bytes")
    files = {**dict.fromkeys(NAMES[1:], first), "red": png}
    fetch(tmp_path, rows(files))
    assert (tmp_path / "raw/train/a_red.png").read_bytes() == png.read_bytes()
    np.testing.assert_array_equal(written(tmp_path, "a")[1:], PLANES[1][1:])


def test_a_channel_that_a_file_lacks_is_black_only_by_explicit_parameter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("red", "green", "blue", "DIC")
    image = rows(save(tmp_path / "own/1.ome.tif", PLANES[1], names))
    with pytest.raises(UserError, match=r"1\.ome\.tif has no channel yellow(.|\n)*found_as, or"):
        fetch(tmp_path, image)
    assert not (tmp_path / "raw").exists()
    fetch(tmp_path, image, may_lack=["yellow"])
    assert not written(tmp_path, "a")[3].any()
    assert "no channel named yellow in the file, which holds red, green, blue, DIC (1 images)" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("names", "shape", "axes", "said"),
    [
        (
            ("a", "b", "c", "d"),
            (4,),
            "CYX",
            r"4 channels \(a, b, c, d\), none(.|\n)*section fetch, .*: found_as: red=…; green=…",
        ),
        (NAMES, (3, 4), "ZCYX", r"3 slices in depth(.|\n)*what to do: set fetch\.z to max"),
        (NAMES, (5, 4), "TCYX", r"time series of 5 time points(.|\n)*what to do: export one time"),
    ],
)
def test_what_cannot_be_read_names_the_file_and_the_line_to_set(
    tmp_path: Path, names: tuple[str, ...], shape: tuple[int, ...], axes: str, said: str
) -> None:
    path = save(tmp_path / "own/x.ome.tif", np.zeros((*shape, 8, 8), np.uint8), names, axes=axes)
    with pytest.raises(UserError, match=rf"{re.escape(str(path))} cannot be read(.|\n)*{said}"):
        fetch(tmp_path, rows(path))


@pytest.mark.parametrize(
    ("planes", "said"),
    [
        (np.full((4, 8, 8), np.nan, np.float32), "red: values that are not numbers.*|NaN Backgr"),
        (np.zeros((64, 64, 5), np.uint16), r"64 pages of 5×64 pixels|channels first, as \[C"),
    ],
)
def test_a_refusal_has_a_way_out_of_its_own(tmp_path: Path, planes: np.ndarray, said: str) -> None:
    tifffile.imwrite(tmp_path / "x.tif", planes, photometric="minisblack")
    with pytest.raises(UserError) as refused:
        fetch(tmp_path, rows(tmp_path / "x.tif"))
    for part in said.split("|"):
        assert re.search(part, str(refused.value))


def test_the_order_of_channels_without_names_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{number}.tif" for number in PLANES]
    for path, planes in zip(paths, PLANES.values(), strict=True):
        tifffile.imwrite(path, planes, photometric="minisblack")
    fetch(tmp_path, rows(*paths))
    np.testing.assert_array_equal(written(tmp_path, "b"), PLANES[2])
    said = "have no names: taken in the order red, green, blue, yellow (2 images)"
    assert capsys.readouterr().out.count(said) == 1


def test_pixel_sizes_are_a_column_where_any_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = save(tmp_path / "own/1.ome.tif", PLANES[1], **sized(0.108333333))
    two = save(tmp_path / "own/2.ome.tif", PLANES[2])
    fetch(tmp_path, rows(one, two))
    assert list(table(tmp_path)["pixel_size_um"]) == ["0.108333", ""]
    assert "1 of 2 images state no pixel size: fetch.pixel_size_um sets it" in (
        capsys.readouterr().out
    )
    fetch(tmp_path, rows(one, two), replace(RULES, pixel_size_um=0.2))
    assert list(table(tmp_path)["pixel_size_um"]) == ["0.108333", "0.2"]
    fetch(tmp_path, rows(two, two, pixel_size_um=["0.3", ""]))
    assert list(table(tmp_path)["pixel_size_um"]) == ["0.3", ""]
    with pytest.raises(UserError, match=r"are not lengths(.|\n)*2: a 0,3, b -1"):
        fetch(tmp_path, rows(two, two, pixel_size_um=["0,3", "-1"]))


def test_channels_of_one_image_that_disagree_in_scale_are_refused(tmp_path: Path) -> None:
    files = {
        name: save(tmp_path / f"own/{name}.ome.tif", PLANES[1][number : number + 1], ("",), **size)
        for number, (name, size) in enumerate(
            zip(NAMES, [sized(0.1), sized(0.1), sized(0.2), {}], strict=True)
        )
    }
    with pytest.raises(UserError, match=r"image a cannot(.|\n)*red 0\.1 µm, green 0\.1 µm, blue"):
        fetch(tmp_path, rows(files))


def deep(scale: float, kind: str = "uint16", offset: float = 0) -> dict[int, np.ndarray]:
    return {
        number: (planes.astype(float) * scale * number + offset).astype(kind)
        for number, planes in PLANES.items()
    }


def by_set(low: float, high: float) -> ReadingRules:
    return replace(RULES, depth=DepthRule("set_percentile", (low, high)))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_percentiles_of_a_set_are_those_of_all_its_images(tmp_path: Path, n_jobs: int) -> None:
    stored = deep(100)
    paths = [save(tmp_path / f"own/{n}.ome.tif", planes) for n, planes in stored.items()]
    found = fetch(tmp_path, rows(*paths), by_set(1, 99.5), n_jobs=n_jobs)
    together = np.stack(list(stored.values()), axis=1).reshape(4, -1)
    limits = {
        name: np.percentile(values, (1, 99.5)).tolist()
        for name, values in zip(NAMES, together, strict=True)
    }
    for name, each in limits.items():
        assert found["limits"][name] == pytest.approx(each)
    rule = DepthRule("set_percentile", limits={name: tuple(each) for name, each in limits.items()})
    grey = to_grey(dict(zip(NAMES, stored[2], strict=True)), rule)
    np.testing.assert_array_equal(
        written(tmp_path, "b"), np.stack([each.pixels for each in grey.values()])
    )


@pytest.mark.parametrize("offset", [0, -40])
def test_percentiles_of_floating_point_values_are_almost_exact_whatever_the_processes(
    tmp_path: Path, offset: float
) -> None:
    stored = deep(0.37, "float32", offset)
    paths = [save(tmp_path / f"own/{n}.ome.tif", planes) for n, planes in stored.items()]
    found = fetch(tmp_path, rows(*paths), by_set(5, 99))
    together = np.stack(list(stored.values()), axis=1).reshape(4, -1)
    for name, values in zip(NAMES, together, strict=True):
        exact = np.percentile(values, (5, 99))
        np.testing.assert_allclose(found["limits"][name], exact, rtol=6e-4, atol=1e-3)
    first = digests(tmp_path / "raw")
    assert fetch(tmp_path, rows(*reversed(paths)), by_set(5, 99), n_jobs=2) == found
    assert digests(tmp_path / "raw") != first  # as the images have changed places
    assert fetch(tmp_path, rows(*paths), by_set(5, 99), n_jobs=2) == found
    assert digests(tmp_path / "raw") == first


def test_percentiles_of_a_set_leave_files_of_eight_bits_as_they_are(tmp_path: Path) -> None:
    one = save(tmp_path / "own/1.ome.tif", PLANES[1])
    assert fetch(tmp_path, rows(one), by_set(1, 50)) == {"types": ["uint8"]}
    two = save(tmp_path / "own/2.ome.tif", deep(16)[2])
    found = fetch(tmp_path, rows(one, two), by_set(0, 100))
    np.testing.assert_array_equal(written(tmp_path, "a"), PLANES[1])
    assert found["limits"]["red"] == [deep(16)[2][0].min(), deep(16)[2][0].max()]


def test_percentiles_of_a_set_need_one_type(tmp_path: Path) -> None:
    one = save(tmp_path / "own/1.ome.tif", deep(16)[1])
    two = save(tmp_path / "own/2.ome.tif", (PLANES[2] / 255).astype(np.float32))
    with pytest.raises(
        UserError, match=r"red channel in several types(.|\n)*16-bit, floating-point"
    ):
        fetch(tmp_path, rows(one, two), by_set(0, 100))


def test_what_is_lost_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ramp = np.tile(np.arange(2304, dtype=np.uint16).reshape(1, SIDE, SIDE), (4, 1, 1))
    path = save(tmp_path / "own/1.ome.tif", ramp)
    fetch(tmp_path, rows(path), replace(RULES, depth=DepthRule.of("percentile", "0 50")))
    assert "percentile (0 and 50): 4 of 16-bit values; 4,608 pixels (50.00%) were cut" in (
        capsys.readouterr().out
    )
    fetch(tmp_path, rows(path), replace(RULES, depth=DepthRule.of(65535)))
    assert "fetch.depth 65535: 4 of 16-bit values" in (said := capsys.readouterr().out)
    assert "0 pixels (0.00%) were cut, 1 of 1 images are left with fewer than 32" in said
