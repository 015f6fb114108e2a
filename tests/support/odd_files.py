"""Image files of every kind that is read, and ways to damage them or to make their metadata lie."""

import io
import random
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from hpa.data.images.opened import InvalidImageError
from hpa.data.images.opening import open_image

Draw = random.Random
Files = dict[str, bytes]
"""The files of an image by name; the first is opened, the others lie beside it."""
NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    43,
    255,
    256,
    4096,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
FOUR = np.random.default_rng(1).integers(0, 4096, (4, 48, 40)).astype(np.uint16)
OME = {"axes": "CYX", "Channel": {"Name": ["red", "green", "blue", "yellow"]}, "PhysicalSizeX": 0.1}


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    """Encode a TIFF by tifffile."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def picture(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    """Encode a picture by Pillow."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def whole_files() -> dict[str, Files]:
    """Return files that are read, by what they are."""
    eight, color = (FOUR >> 4).astype(np.uint8), np.moveaxis(FOUR[:3] >> 4, 0, -1).astype(np.uint8)
    contig, exif = np.moveaxis(FOUR, 0, -1), Image.Exif()
    exif[0x0112] = 6
    grey = {"photometric": "minisblack"}
    singles = {
        "OME-TIFF": tiff(FOUR, ome=True, metadata=OME),
        "OME-TIFF, BigTIFF, tiles, zlib": tiff(
            FOUR,
            ome=True,
            metadata=OME,
            bigtiff=True,
            tile=(16, 16),
            compression="zlib",
            predictor=2,
        ),
        "OME-TIFF of slices": tiff(
            np.stack([FOUR, FOUR + 1]),
            ome=True,
            metadata={"axes": "ZCYX"},
            compression="lzw",
            **grey,
        ),
        "ImageJ hyperstack": tiff(
            np.stack([FOUR, FOUR]),
            imagej=True,
            metadata={"axes": "ZCYX", "Labels": list("abcdefgh")},
        ),
        "ImageJ stack behind one directory": imagej_behind_one_directory(FOUR),
        "planar": tiff(FOUR, planarconfig="separate", rowsperstrip=5, **grey),
        "contiguous": tiff(contig, planarconfig="contig", **grey),
        "contiguous, packbits": tiff(contig, planarconfig="contig", compression="packbits", **grey),
        "pages": tiff(FOUR, metadata=None, **grey),
        "pages, big-endian, zstd": tiff(FOUR, byteorder=">", compression="zstd", **grey),
        "float, LZMA": tiff(FOUR[0].astype(np.float32), compression="lzma", predictor=3, **grey),
        "volume": tiff(FOUR, volumetric=True, tile=(2, 16, 16), **grey),
        "JPEG in tiles": tiff(eight[0], tile=(16, 16), compression="jpeg"),
        "JPEG 2000": tiff(FOUR[0], compression="jpeg2000"),
        "red-green-blue TIFF": tiff(color, photometric="rgb"),
        "turned TIFF": tiff(eight[0], extratags=[(274, 3, 1, 6, True)], **grey),
        "pyramid": pyramid(FOUR[0]),
        "MetaMorph stack": metamorph_stack(FOUR),
        "LSM": lsm(np.stack([FOUR[:3], FOUR[1:]])),
        "PNG": picture(eight[0], "PNG"),
        "PNG of 16 bits": picture(FOUR[0], "PNG"),
        "red-green-blue PNG, turned": picture(color, "PNG", exif=exif),
        "JPEG": picture(eight[0], "JPEG", exif=exif),
        "progressive JPEG": picture(color, "JPEG", progressive=True),
    }
    return {name: {"file": content} for name, content in singles.items()} | {
        "OME-TIFF of two files": ome_set(FOUR[:2]),
        "OME-TIFF with companion": ome_companion(FOUR[:2]),
    }


def imagej_behind_one_directory(planes: np.ndarray, description: str = "") -> bytes:
    """Write as ImageJ does above 4 GB: one directory, and all planes behind it."""
    said = f"ImageJ=1.54f\nimages={len(planes)}\nchannels={len(planes)}\nhyperstack=true\n"
    first = tiff(
        planes[0],
        description=description or said,
        metadata=None,
        software="",
        photometric="minisblack",
    )
    assert first.endswith(planes[0].tobytes())
    return first + planes[1:].tobytes()


def pyramid(plane: np.ndarray) -> bytes:
    """Write a plane with a smaller level in a SubIFD."""
    file = io.BytesIO()
    options: dict[str, Any] = {"tile": (16, 16), "photometric": "minisblack"}
    with tifffile.TiffWriter(file) as writer:
        writer.write(plane, subifds=1, **options)
        writer.write(plane[::2, ::2], subfiletype=1, **options)
    return file.getvalue()


def metamorph_stack(planes: np.ndarray) -> bytes:
    """Write an STK: tags for each plane, one directory, and all planes behind it."""
    values = [number for at in range(len(planes)) for number in (at + 1, 1, 0, at, 0, 0)]
    tags = [
        (33628, 4, 1, struct.pack("<2I", 4, 0), True),  # UIC1: of one entry
        (33629, 4, len(values), values, True),  # UIC2: depth, date and time of each plane
    ]
    options: dict[str, Any] = {"metadata": None, "software": "", "extratags": tags}
    first = tiff(planes[0], photometric="minisblack", **options)
    said, meant = (33629, 4, len(values)), (33629, 5, len(planes))
    first = first.replace(struct.pack("<HHI", *said), struct.pack("<HHI", *meant))
    return first + planes[1:].tobytes()


def lsm(slices: np.ndarray, small_copies: bool = True) -> bytes:
    """Write an LSM of [Z,C,H,W]: samples are channels, each page may have a small copy."""
    n_slices, n_channels, height, width = slices.shape
    sizes = (width, height, n_slices, n_channels, 1)
    info = struct.pack("<II5i12x2d", 67127628, 56, *sizes, 1e-7, 1e-7)
    file = io.BytesIO()
    grey: dict[str, Any] = {"metadata": None, "photometric": "minisblack"}
    with tifffile.TiffWriter(file) as writer:
        for number, planes in enumerate(slices):
            tags = [(34412, 1, len(info), info, True)] if number == 0 else []
            writer.write(planes, planarconfig="separate", extratags=tags, **grey)
            if small_copies:
                writer.write(planes[0, ::4, ::4], subfiletype=1, **grey)
    return file.getvalue()


def ome_xml(planes: np.ndarray, parts: str, **changes: object) -> str:
    """Write OME-XML of channels; `changes` replace attributes of Pixels."""
    said = {
        "DimensionOrder": "XYCZT", "Type": "uint16", "SizeX": planes.shape[-1],
        "SizeY": planes.shape[-2], "SizeC": len(planes), "SizeZ": 1, "SizeT": 1,
    } | changes  # fmt: skip
    attributes = " ".join(f'{name}="{value}"' for name, value in said.items())
    channels = "".join(f'<Channel ID="Channel:0:{at}" Name="c{at}"/>' for at in range(len(planes)))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" {attributes}>{channels}{parts}</Pixels></Image>'
        "</OME>"
    )


def ome_set(planes: np.ndarray) -> Files:
    """Write an OME-TIFF of one file per channel; each names all."""
    parts = "".join(
        f'<TiffData IFD="0" FirstC="{at}" PlaneCount="1">'
        f'<UUID FileName="c{at}.ome.tif">urn:uuid:{at}</UUID></TiffData>'
        for at in range(len(planes))
    )
    text = ome_xml(planes, parts)
    options: dict[str, Any] = {"metadata": None, "photometric": "minisblack"}
    return {
        f"c{at}.ome.tif": tiff(
            plane, description=text.replace('UUID="urn:uuid:0"', f'UUID="urn:uuid:{at}"'), **options
        )
        for at, plane in enumerate(planes)
    }


def ome_companion(planes: np.ndarray) -> Files:
    """Write an OME-TIFF whose description stands in a file beside it."""
    parts = '<TiffData IFD="0" PlaneCount="2"><UUID FileName="x.tif">urn:uuid:0</UUID></TiffData>'
    short = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:0"/></OME>'
    )
    content = tiff(planes, description=short, metadata=None, photometric="minisblack")
    return {"x.tif": content, "x.companion.ome": ome_xml(planes, parts).encode()}


def lying_files() -> dict[str, Files]:
    """Return files whose metadata contradict their pixels."""
    found = {}
    sizes = (0, -1, 2, 5, 1_000, 10**9, 10**30, "x", "", "NaN")
    for name in ("SizeX", "SizeY", "SizeC", "SizeZ", "SizeT", "SignificantBits"):
        for size in sizes:
            found[f"OME {name}={size}"] = ome_xml(FOUR, "<TiffData/>", **{name: size})
    for size in ("NaN", "inf", "-1", "0", "1e400", "x", "9" * 5_000):
        said = {"PhysicalSizeX": size, "PhysicalSizeY": size}
        found[f"OME PhysicalSize={size[:5]}"] = ome_xml(FOUR, "<TiffData/>", **said)
    parts = {
        "a page that is not there": '<TiffData IFD="4" FirstC="0" PlaneCount="4"/>',
        "a page before the first": '<TiffData IFD="-1" FirstC="0" PlaneCount="4"/>',
        "too few planes": '<TiffData IFD="0" PlaneCount="2"/>',
        "too many planes": '<TiffData IFD="0" PlaneCount="1000000000"/>',
        "a channel that is not there": '<TiffData IFD="0" FirstC="9"/>',
        "a missing file": '<TiffData><UUID FileName="gone.tif">urn:uuid:8</UUID></TiffData>'
        '<TiffData FirstC="1"><UUID FileName="too.tif">urn:uuid:9</UUID></TiffData>',
        "another folder": '<TiffData><UUID FileName="../../etc/passwd">urn:uuid:8</UUID></TiffData>'
        '<TiffData FirstC="1"><UUID FileName="/dev/zero">urn:uuid:9</UUID></TiffData>',
        "depth": "<a>" * 50_000 + "</a>" * 50_000,
        "elements": "<TiffData/>" * 200_000,
        "samples": '<Channel SamplesPerPixel="0"/>',
        "many samples": '<Channel SamplesPerPixel="1000000"/>',
    }
    found |= {f"OME with {name}": ome_xml(FOUR, each) for name, each in parts.items()}
    found["OME cut"] = ome_xml(FOUR, "<TiffData/>")[:-40]
    found["OME of nothing"] = "<OME></OME>"
    found["OME with entities"] = (
        '<!DOCTYPE a [<!ENTITY b "cccccccccc"><!ENTITY d "' + "&b;" * 1000 + '">]>'
        "<OME><Image>" + "&d;" * 1000 + "</Image></OME>"
    )
    for line in (
        "images=0", "images=-1", "images=8", "images=1000000000", "channels=3", "channels=1000000",
        "slices=4", "slices=4\nchannels=4", "frames=999999999999999999999", "hyperstack=maybe",
        "images=4\nslices=2\nchannels=3", "order=zzz\nchannels=4", "images=x", "unit=\\u00B5m",
    ):  # fmt: skip
        found[f"ImageJ {line!r}"] = f"ImageJ=1.54f\n{line}\n"
    for said in (
        '"shape": [0]', '"shape": []', '"shape": [1000000000, 48, 40]', '"shape": "x"',
        '"shape": null',
        '"shape": [4, 48, 40], "axes": 7', '"shape": [2, 2, 48, 40], "axes": "CCYX"',
        '"shape": [4, 48, 40], "axes": "CYX", "Channel": 3', '"shape": ' + "[" * 100_000,
    ):  # fmt: skip
        found[f"JSON {said[:40]}"] = "{" + said + "}"
    grey: dict[str, Any] = {"metadata": None, "photometric": "minisblack"}
    return {
        name: {"file": tiff(FOUR, description=text.encode(), **grey)}
        for name, text in found.items()
    }


def flip(draw: Draw, content: bytes) -> bytes:
    """Flip up to eight bits, most of them near the start or the end, where the tags stand."""
    damaged = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        near = min(len(damaged), 600)
        place = draw.choice([draw.randrange(near), len(damaged) - 1 - draw.randrange(near)])
        place = draw.randrange(len(damaged)) if draw.random() < 0.3 else place
        damaged[place] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(draw: Draw, content: bytes) -> bytes:
    """Cut off the end, or a piece within."""
    start = draw.randrange(len(content))
    return content[:start] + (
        content[start + draw.randint(1, 64) :] if draw.random() < 0.5 else b""
    )


def duplicate(draw: Draw, content: bytes) -> bytes:
    """Copy a region to another place, over what stands there or between."""
    start, size, place = (
        draw.randrange(len(content)),
        draw.randint(1, 512),
        draw.randrange(len(content)),
    )
    region = content[start : start + size]
    return content[:place] + region + content[place + draw.choice([0, len(region)]) :]


def zero(draw: Draw, content: bytes) -> bytes:
    """Overwrite a region with zeros or with ones."""
    start, size = draw.randrange(len(content)), draw.randint(1, 512)
    byte = draw.choice([b"\0", b"\xff"])
    return content[:start] + byte * len(content[start : start + size]) + content[start + size :]


def replace_number(draw: Draw, content: bytes) -> bytes:
    """Overwrite two, four or eight bytes with a number that tags may have."""
    damaged = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        size, order = draw.choice([2, 4, 4, 8]), draw.choice(["little", "big"])
        number = draw.choice(NUMBERS) % 256**size
        place = draw.randrange(max(1, min(len(damaged), draw.choice([400, 10**9])) - size))
        damaged[place : place + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
    return bytes(damaged)


def change_digits(draw: Draw, content: bytes) -> bytes:
    """Replace a number that stands as text."""
    places = [each.span() for each in re.finditer(rb"\d+", content)]
    start, end = draw.choice(places or [(0, 0)])
    text = draw.choice([b"0", b"9", b"-1", b"1000000", b"9" * 20, b"NaN", b"1e9", b""])
    text = text[: end - start].rjust(end - start, b"0") if draw.random() < 0.7 else text
    return content[:start] + text + content[end:]


DAMAGES: tuple[Callable[[Draw, bytes], bytes], ...] = (
    flip, cut, duplicate, zero, replace_number, change_digits,
)  # fmt: skip


def damage(draw: Draw, files: Files) -> Files:
    """Damage one of the files of an image, once to three times."""
    name = draw.choice(list(files))
    content = files[name]
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        content = draw.choice(DAMAGES)(draw, content) or b"\0"
    return files | {name: content}


def read_everything(files: Files, folder: Path) -> str:
    """Read all planes of an image; return "pixels", or why it is refused.

    Any other error than `InvalidImageError` is raised.
    """
    source: Path | bytes = next(iter(files.values()))
    if len(files) > 1:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        source = folder / next(iter(files))
    try:
        with open_image(source) as image:
            said = image.description
            shape = (said.height_px, said.width_px, *([3] if said.is_color_picture else []))
            for channel in range(min(8, len(said.channel_names))):
                for z in {0, said.n_slices // 2, said.n_slices - 1}:
                    plane = image.read(channel, z)
                    assert plane.shape == shape, "the description has another shape"
                    assert plane.dtype == said.dtype, "the description has another type"
    except InvalidImageError as error:
        return str(error)
    return "pixels"
