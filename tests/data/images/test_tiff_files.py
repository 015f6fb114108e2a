"""Microscopes' TIFF files: what their headers say, and their planes as they were written."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from hpa.data.images.opened import InvalidImageError, OpenedImage
from hpa.data.images.opening import open_image
from support.odd_files import (
    FOUR,
    OME,
    Files,
    imagej_behind_one_directory,
    lsm,
    metamorph_stack,
    ome_companion,
    ome_set,
    ome_xml,
    picture,
    pyramid,
    tiff,
)

GREY = (FOUR[0] >> 4).astype(np.uint8)
COLOR = np.moveaxis(FOUR[:3] >> 4, 0, -1).astype(np.uint8)
MINISBLACK: dict[str, Any] = {"photometric": "minisblack"}


def planes_of(image: OpenedImage) -> np.ndarray:
    """Read all as [channel, slice, H, W]."""
    said = image.description
    return np.array(
        [
            [image.read(channel, z) for z in range(said.n_slices)]
            for channel in range(len(said.channel_names))
        ]
    )


def put(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(files))


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd", "lzma"])
def test_an_ome_tiff_has_the_planes_names_and_pixel_size_that_were_written(
    compression: str | None, tile: tuple[int, int] | None, bigtiff: bool
) -> None:
    metadata = OME | {"PhysicalSizeY": 0.1, "SignificantBits": 12}
    options: dict[str, Any] = {"compression": compression, "tile": tile, "bigtiff": bigtiff}
    if compression in ("zlib", "lzw", "zstd", "lzma"):
        options["predictor"] = 2
    with open_image(tiff(FOUR, ome=True, metadata=metadata, **options)) as image:
        said = image.description
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR)
    assert said.kind == "OME-TIFF"
    assert said.channel_names == ("red", "green", "blue", "yellow")
    assert (said.height_px, said.width_px, said.dtype, said.bits) == (48, 40, np.uint16, 12)
    assert (said.n_slices, said.n_times, said.n_scenes) == (1, 1, 1)
    assert said.pixel_size_um == pytest.approx(0.1)


@pytest.mark.parametrize("compression", ["jpeg2000", "jpegxl", "jpegxr", "png", "lerc"])
def test_rare_compressions_are_decoded_in_a_process_of_its_own(compression: str) -> None:
    content = tiff(FOUR, ome=True, metadata=OME, compression=compression, tile=(16, 16))
    with open_image(content) as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR)


def test_an_unknown_compression_is_refused_with_the_way_out() -> None:
    content = bytearray(tiff(GREY, metadata=None))
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        at = file.pages.first.tags[259].valueoffset
    content[at : at + 2] = (34677).to_bytes(2, "little")
    with pytest.raises(InvalidImageError, match="compressed as SGILOG24: save the file with LZW"):
        open_image(bytes(content))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("CZYX", (2, 3, 6, 5)),
        ("ZCYX", (3, 2, 6, 5)),
        ("TCZYX", (4, 2, 3, 6, 5)),
        ("ZYX", (3, 6, 5)),
    ],
)
@pytest.mark.parametrize("form", ["ome", "imagej", "plain"])
def test_axes_are_told_apart_in_any_order(form: str, axes: str, shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    if form == "imagej":  # it stores TZCYX
        pixels = pixels.swapaxes(-3, -4) if "CZ" in axes else pixels
        axes = axes.replace("CZ", "ZC")
    options: dict[str, Any] = {} if form == "plain" else {form: True}
    if form != "imagej":
        options |= MINISBLACK
    with open_image(tiff(pixels, metadata={"axes": axes}, **options)) as image:
        said = image.description
        sizes = dict(zip(axes, pixels.shape, strict=True))
        assert len(said.channel_names) == sizes.get("C", 1)
        assert (said.n_slices, said.n_times) == (sizes["Z"], sizes.get("T", 1))
        first = pixels[0] if "T" in sizes else pixels
        first = first if "C" in sizes else first[None]
        expected = first if axes.find("C") < axes.find("Z") else first.swapaxes(0, 1)
        np.testing.assert_array_equal(planes_of(image), expected)


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"PhysicalSizeX": 0.08, "PhysicalSizeY": 0.08}, 0.08),
        ({"PhysicalSizeX": 80, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.08}, 0.08),
        ({"PhysicalSizeX": 8e-5, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 0.08}, 0.08),
        ({"PhysicalSizeX": 0.08, "PhysicalSizeY": 0.16}, None),
        ({"PhysicalSizeX": 0.08}, None),
        ({"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 1}, None),
        ({"PhysicalSizeX": "NaN", "PhysicalSizeY": "NaN"}, None),
        ({"PhysicalSizeX": -1, "PhysicalSizeY": -1}, None),
    ],
)
def test_the_pixel_size_of_ome_is_in_micrometres(
    attributes: dict[str, Any], size: float | None
) -> None:
    text = ome_xml(FOUR, "<TiffData/>", **attributes)
    with open_image(tiff(FOUR, description=text, metadata=None, **MINISBLACK)) as image:
        assert image.description.pixel_size_um == (size and pytest.approx(size))


@pytest.mark.parametrize("unit", ["micron", "um", "\\u00B5m", "nm", "inch", "pixel", None])
def test_imagej_counts_pixels_per_unit(unit: str | None) -> None:
    per_unit = {"nm": (1, 100), "inch": (254_000, 1)}.get(str(unit), (10, 1))  # each 0.1 µm
    metadata = {"axes": "CYX"} | ({"unit": unit} if unit else {})
    content = tiff(FOUR, imagej=True, resolution=(per_unit, per_unit), metadata=metadata)
    with open_image(content) as image:
        expected = None if unit in ("pixel", None) else pytest.approx(0.1)
        assert image.description.pixel_size_um == expected


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [
        ((100_000, 100_000), "CENTIMETER", 0.1),
        ((254_000, 254_000), "INCH", 0.1),
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((1200, 1200), "INCH", None),
        ((100_000, 50_000), "CENTIMETER", None),
        ((10, 10), "NONE", None),
    ],
)
def test_printers_tags_count_only_if_a_microscope_has_such_pixels(
    resolution: tuple[int, int], unit: str, size: float | None
) -> None:
    with open_image(tiff(GREY, resolution=resolution, resolutionunit=unit)) as image:
        assert image.description.pixel_size_um == (size and pytest.approx(size, rel=1e-6))


def test_imagej_s_labels_name_the_channels_without_what_they_share() -> None:
    labels = [f"plate 7_{name}.tif" for name in ("red", "green", "blue", "yellow")]
    content = tiff(FOUR, imagej=True, metadata={"axes": "CYX", "Labels": labels})
    with open_image(content) as image:
        assert image.description.kind == "ImageJ stack"
        assert image.description.channel_names == ("red", "green", "blue", "yellow")
    slices = np.stack([FOUR, FOUR])
    content = tiff(slices, imagej=True, metadata={"axes": "ZCYX", "Labels": list("abcdefgh")})
    with open_image(content) as image:
        assert image.description.channel_names == tuple("abcd")


def test_an_array_whose_last_axis_are_channels_is_refused_with_the_way_out() -> None:
    array = np.zeros((48, 40, 5), np.uint16)
    with pytest.raises(InvalidImageError, match=r"48 pages of 5×40 pixels, .* channels first"):
        open_image(tiff(array))


def test_planes_of_imagej_behind_one_directory_are_found() -> None:
    content = imagej_behind_one_directory(FOUR)
    with open_image(content) as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR)
    with pytest.raises(InvalidImageError, match="announce 4 planes, but 3 are there"):
        open_image(content[:-1])


@pytest.mark.parametrize("planarconfig", ["separate", "contig"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("photometric", "n_samples"),
    [("minisblack", 2), ("minisblack", 3), ("minisblack", 5), ("rgb", 4), ("rgb", 5)],
)
def test_samples_are_channels(
    planarconfig: str, photometric: str, compression: str | None, n_samples: int
) -> None:
    pixels = np.concatenate([FOUR, FOUR[:1] + 1])[:n_samples]
    stored = pixels if planarconfig == "separate" else np.moveaxis(pixels, 0, -1)
    content = tiff(
        stored, planarconfig=planarconfig, photometric=photometric, compression=compression,
        rowsperstrip=7,
    )  # fmt: skip
    with open_image(content) as image:
        assert image.description.channel_names == ("",) * n_samples
        assert not image.description.is_color_picture
        np.testing.assert_array_equal(planes_of(image)[:, 0], pixels)


def test_names_of_pages_are_those_of_channels() -> None:
    for names in (("DAPI", "GFP"), ("DAPI", "DAPI"), ("DAPI", "")):
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            for name, plane in zip(names, FOUR, strict=False):
                tags = [(285, 2, None, name, True)] if name else []
                writer.write(plane, metadata=None, extratags=tags, **MINISBLACK)
        with open_image(file.getvalue()) as image:
            is_named = len({*names}) == 2 and all(names)
            assert image.description.channel_names == (names if is_named else ("", ""))


def test_pages_of_equal_shape_are_channels_and_others_are_refused() -> None:
    with open_image(tiff(FOUR, metadata=None, **MINISBLACK)) as image:
        assert image.description.kind == "TIFF of several pages"
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for plane in FOUR:  # each is described as an image of one page
            writer.write(plane, contiguous=False, **MINISBLACK)
    with open_image(file.getvalue()) as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR)
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[:10])]
    content = picture(GREY, "TIFF", save_all=True, append_images=pages)
    with pytest.raises(InvalidImageError, match=r"3 pages of unequal size or type .*40×48.*40×10"):
        open_image(content)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "u8", "f2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_signed_wide_and_floating_point_samples_keep_their_type(byteorder: str, dtype: str) -> None:
    pixels = (FOUR[0].astype(dtype) - 9).astype(dtype)
    with open_image(tiff(pixels, byteorder=byteorder, **MINISBLACK)) as image:
        assert image.description.dtype == pixels.dtype
        decoded = image.read(0)
        assert decoded.dtype == pixels.dtype
        np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize(
    ("pixels", "options", "said"),
    [
        (GREY, {"photometric": "miniswhite"}, "^a negative"),
        (GREY, {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}, "^a palette"),
        (GREY.astype(np.complex64), {}, "^complex values"),
        (GREY > 100, MINISBLACK, "^1 bit per sample"),
        (np.stack([COLOR, COLOR]), {"photometric": "rgb"}, "^several red-green-blue pictures"),
        (np.moveaxis(FOUR, 0, -1), {"photometric": "separated"}, "^inks"),
    ],
)
def test_what_is_no_grey_level_is_refused(
    pixels: np.ndarray, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidImageError, match=said):
        open_image(tiff(pixels, **options))


@pytest.mark.parametrize("form", ["ImageJ", "OME"])
def test_grey_levels_that_fiji_shows_in_a_color_are_grey_levels(form: str) -> None:
    ramp = np.arange(256, dtype=np.uint16) * 257
    green = np.stack([ramp * 0, ramp, ramp * 0])
    eight = (FOUR >> 4).astype(np.uint8)
    description = (
        "ImageJ=1.54f\nimages=4\nchannels=4\n" if form == "ImageJ" else ome_xml(FOUR, "<TiffData/>")
    )
    options: dict[str, Any] = {"description": description, "metadata": None}
    with open_image(tiff(eight, photometric="palette", colormap=green, **options)) as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], eight)
    for other in (green[:, ::-1], np.random.default_rng(0).permuted(green, axis=1)):
        with pytest.raises(InvalidImageError, match=r"^a palette"):
            open_image(tiff(eight, photometric="palette", colormap=other, **options))


def test_a_red_green_blue_tiff_is_a_picture_for_people() -> None:
    for planarconfig, stored in (("contig", COLOR), ("separate", np.moveaxis(COLOR, -1, 0))):
        with open_image(tiff(stored, photometric="rgb", planarconfig=planarconfig)) as image:
            assert image.description.is_color_picture
            assert image.description.channel_names == ("",)
            np.testing.assert_array_equal(image.read(0), COLOR)


def test_twelve_packed_bits_are_told() -> None:
    packed = np.packbits(np.unpackbits(FOUR[0].astype(">u2").view(np.uint8)).reshape(-1, 16)[:, 4:])
    content = bytearray(tiff(FOUR[0], metadata=None, software="", **MINISBLACK))
    content = content[: -FOUR[0].nbytes] + packed.tobytes()
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        bits, counts = (file.pages.first.tags[tag].valueoffset for tag in (258, 279))
    content[bits : bits + 2] = (12).to_bytes(2, "little")
    content[counts : counts + 4] = packed.nbytes.to_bytes(4, "little")
    with open_image(bytes(content)) as image:
        assert image.description.bits == 12
        np.testing.assert_array_equal(image.read(0), FOUR[0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_stands_upright(orientation: int, compression: str | None) -> None:
    content = tiff(
        GREY, extratags=[(274, 3, 1, orientation, True)], compression=compression, **MINISBLACK
    )
    shown = {
        1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1],
        5: GREY.T, 6: np.rot90(GREY, -1), 7: np.rot90(GREY, 2).T, 8: np.rot90(GREY),
    }[orientation]  # fmt: skip
    with open_image(content) as image:
        said = image.description
        assert (said.height_px, said.width_px) == shown.shape
        np.testing.assert_array_equal(image.read(0), shown)


def test_of_a_pyramid_the_full_level_is_read() -> None:
    with open_image(pyramid(FOUR[0])) as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR[:1])
    flat = io.BytesIO()
    with tifffile.TiffWriter(flat) as writer:
        writer.write(FOUR[0], metadata=None, **MINISBLACK)
        writer.write(FOUR[0, ::2, ::2], metadata=None, subfiletype=1, **MINISBLACK)
    with open_image(flat.getvalue()) as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR[:1])


def test_an_ome_tiff_of_several_files_is_read_from_any_of_them(tmp_path: Path) -> None:
    files = ome_set(FOUR[:3])
    put(tmp_path, files)
    for name in files:
        with open_image(tmp_path / name) as image:
            assert image.description.channel_names == ("c0", "c1", "c2")
            np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR[:3])
    (tmp_path / "c0.ome.tif").rename(tmp_path / "c0 (1).ome.tif")
    with open_image(tmp_path / "c0 (1).ome.tif") as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR[:3])


def test_missing_files_of_an_ome_tiff_are_named(tmp_path: Path) -> None:
    path = put(tmp_path, ome_set(FOUR[:3]))
    (tmp_path / "c2.ome.tif").unlink()
    with pytest.raises(InvalidImageError, match=r"3 files of an OME-TIFF, .* 1 .* c2\.ome\.tif"):
        open_image(path)
    with pytest.raises(InvalidImageError, match=r"one of 3 files of an OME-TIFF: save .* one file"):
        open_image(path.read_bytes())
    (tmp_path / "c2.ome.tif").write_bytes(tiff(FOUR[0, :9], metadata=None))
    with open_image(path) as image:
        for _ in range(2):
            with pytest.raises(InvalidImageError, match=r"c2\.ome\.tif: planes of unequal size"):
                image.read(2)


@pytest.mark.parametrize("page", [-1, 1])
def test_a_page_that_another_file_of_the_set_lacks_is_refused(tmp_path: Path, page: int) -> None:
    part = '<TiffData IFD="{}" FirstC="{}"><UUID FileName="c{}.tif">urn:uuid:{}</UUID></TiffData>'
    text = ome_xml(FOUR[:2], part.format(0, 0, 0, 0) + part.format(page, 1, 1, 1))
    path = put(tmp_path, {"c0.tif": tiff(FOUR[0], description=text, metadata=None)})
    put(tmp_path, {"c1.tif": tiff(FOUR[1], metadata=None)})
    with open_image(path) as image, pytest.raises(InvalidImageError, match=r"c1\.tif: has no page"):
        image.read(1)


def test_a_companion_file_describes_an_ome_tiff(tmp_path: Path) -> None:
    path = put(tmp_path, ome_companion(FOUR[:2]))
    with open_image(path) as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR[:2])
    (tmp_path / "x.companion.ome").unlink()
    with pytest.raises(InvalidImageError, match=r"missing beside it: x\.companion\.ome"):
        open_image(path)


def test_files_of_a_set_are_never_looked_for_in_another_folder(tmp_path: Path) -> None:
    put(tmp_path, {"secret.tif": tiff(FOUR[1], metadata=None)})
    other = '<TiffData FirstC="1"><UUID FileName="../secret.tif">urn:uuid:1</UUID></TiffData>'
    parts = '<TiffData IFD="0"/>' + other
    content = tiff(FOUR[0], description=ome_xml(FOUR[:2], parts), metadata=None)
    (tmp_path / "inner").mkdir()
    path = put(tmp_path / "inner", {"a.ome.tif": content})
    with pytest.raises(InvalidImageError, match="missing beside it"):
        open_image(path)


def test_scenes_of_an_ome_tiff_are_counted_and_chosen(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, ome=True) as writer:
        for number in (0, 1):
            writer.write(FOUR + number, metadata={"axes": "CYX"}, **MINISBLACK)
    path = put(tmp_path, {"a.ome.tif": file.getvalue()})
    with open_image(path) as image:
        assert image.description.n_scenes == 2
    with open_image(tmp_path / "a.ome.tif#2") as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR + 1)
    with pytest.raises(InvalidImageError, match="2 images: none has number 3"):
        open_image(tmp_path / "a.ome.tif#3")


def test_a_metamorph_stack_has_its_slices_behind_one_directory() -> None:
    with open_image(metamorph_stack(FOUR)) as image:
        assert image.description.kind == "MetaMorph stack"
        np.testing.assert_array_equal(planes_of(image)[0], FOUR)


def test_an_lsm_has_its_channels_in_samples_and_its_slices_in_pages() -> None:
    slices = np.stack([FOUR[:3], FOUR[1:]])
    with open_image(lsm(slices)) as image:
        said = image.description
        assert (said.kind, said.n_slices, len(said.channel_names)) == ("Zeiss LSM", 2, 3)
        assert said.pixel_size_um == pytest.approx(0.1)
        np.testing.assert_array_equal(planes_of(image), slices.swapaxes(0, 1))
    with open_image(lsm(slices[:1], small_copies=False)) as image:
        np.testing.assert_array_equal(planes_of(image)[:, 0], slices[0])


def test_metamorph_s_single_planes_tell_channel_and_pixel_size() -> None:
    text = (
        "<MetaData><PlaneInfo>"
        '<prop id="spatial-calibration-x" type="float" value="0.65"/>'
        '<prop id="spatial-calibration-y" type="float" value="0.65"/>'
        '<prop id="spatial-calibration-units" type="string" value="um"/>'
        '<prop id="_IllumSetting_" type="string" value="DAPI"/>'
        "</PlaneInfo></MetaData>"
    )
    content = tiff(FOUR[0], description=text, metadata=None, software="MetaSeries", **MINISBLACK)
    with open_image(content) as image:
        assert image.description.channel_names == ("DAPI",)
        assert image.description.pixel_size_um == pytest.approx(0.65)


@pytest.mark.parametrize(
    ("pixels", "compression"),
    [
        *itertools.product([GREY, FOUR[0], COLOR], [None, "zlib", "lzw", "packbits"]),
        (GREY, "jpeg"),
        (COLOR, "jpeg"),
    ],
)
def test_a_tiff_of_one_page_gives_the_pixels_that_pillow_gives(
    pixels: np.ndarray, compression: str | None
) -> None:
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    content = tiff(pixels, compression=compression, photometric=photometric)
    with open_image(content) as image:
        np.testing.assert_array_equal(image.read(0), np.asarray(Image.open(io.BytesIO(content))))


def test_no_plane_is_larger_than_permitted() -> None:
    content = tiff(FOUR, ome=True, metadata=OME)
    with pytest.raises(InvalidImageError, match=r"40×48 pixels \(at most 40×40\)"):
        open_image(content, max_size_px=40)


def test_an_ome_tiff_as_bio_formats_writes_it_may_be_renamed(tmp_path: Path) -> None:
    """With a comment, a namespace, a plane per TiffData in any order, and its former name."""
    parts = "".join(
        f'<OME:TiffData FirstC="{c}" FirstZ="{z}" FirstT="0" IFD="{3 * c + z}" PlaneCount="1">'
        '<OME:UUID FileName="original.ome.tif">urn:uuid:7</OME:UUID></OME:TiffData>'
        for z in (2, 0, 1)
        for c in (1, 0)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><!-- Warning: this comment is an OME-XML block -->'
        '<OME:OME xmlns:OME="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<OME:Image ID="Image:0"><OME:Pixels BigEndian="false" DimensionOrder="XYZCT" SizeC="2" '
        'SizeT="1" SizeX="40" SizeY="48" SizeZ="3" Type="uint16" ID="Pixels:0">'
        '<OME:Channel ID="Channel:0:0" Name="DAPI" SamplesPerPixel="1"/>'
        f'<OME:Channel ID="Channel:0:1" Name="GFP"/>{parts}</OME:Pixels></OME:Image></OME:OME>'
    )
    stored = np.concatenate([FOUR, FOUR[:2] + 9])
    path = tmp_path / "renamed.tif"
    path.write_bytes(tiff(stored, description=text, metadata=None, **MINISBLACK))
    for source in (path, path.read_bytes()):
        with open_image(source) as image:
            assert image.description.channel_names == ("DAPI", "GFP")
            np.testing.assert_array_equal(planes_of(image), stored.reshape(2, 3, 48, 40))


def test_a_file_of_one_field_of_a_set_is_not_taken_for_several(tmp_path: Path) -> None:
    """Acquisition programs describe all positions in each position's file."""
    one = "".join(
        f'<TiffData FirstC="{c}" IFD="{c}" PlaneCount="1">'
        '<UUID FileName="pos1.tif">urn:uuid:1</UUID></TiffData>'
        for c in range(4)
    )
    text = ome_xml(FOUR, one.replace("pos1", "pos0").replace("urn:uuid:1", "urn:uuid:0"))
    image_of_one = ome_xml(FOUR, one).partition("<Image")[2].partition("</OME>")[0]
    text = text.replace('UUID="urn:uuid:0"', 'UUID="urn:uuid:1"').replace(
        "</OME>", f"<Image{image_of_one}</OME>"
    )
    path = tmp_path / "pos1.tif"
    path.write_bytes(tiff(FOUR, description=text, metadata=None, **MINISBLACK))
    with open_image(path) as image:
        assert image.description.n_scenes == 1
        np.testing.assert_array_equal(planes_of(image)[:, 0], FOUR)
