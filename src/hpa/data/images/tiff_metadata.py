"""Metadata of TIFF files without OME-XML: how their pages are arranged.

Programs say it in several ways: ImageJ in lines of the description, tifffile in JSON, Zeiss (LSM)
and MetaMorph (STK) in tags of their own. Without a word, pages of equal size are channels.
"""

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tifffile

from hpa.data.images.ome_xml import MAX_PLANES, micrometres, same_size
from hpa.data.images.opened import InvalidImageError
from hpa.data.images.tiff_directories import DEPTH, HEIGHT, LSM, SAMPLES, WIDTH, Directory
from hpa.data.images.tiff_layouts import Layout, Plane, arrange, contradiction, too_many_planes

PLAUSIBLE_UM = 0.005, 10.0
"""Sizes of a pixel that a microscope has. 300 dots per inch, which programs write that know no
better, are 85 µm."""
MAX_LAST_AXIS = 16
"""Pixels of a side that no image has; so many may be the channels of an array [H,W,C]."""
DIP = 0.02
"""Share of the range by which a palette of grey levels may get darker from a value to the next."""
STK = 33628
LSM_SCALARS = struct.Struct("<8x5i12x2d")
"""Start of the tag: width, height, depth, channels, times; width and height of a pixel in m."""


def layout_of(first: tifffile.TiffPage, directories: Sequence[Directory], n_bytes: int) -> Layout:
    """Arrange the planes of a file without OME-XML.

    Args:
        first: its first page.
        directories: of all pages.
        n_bytes: size of the file.

    Raises:
        InvalidImageError: its pages are not planes of one image, or contradict its metadata.
    """
    pages = [at for at, each in enumerate(directories) if not each.is_extra] or [0]
    _check_equal([directories[at] for at in pages])
    answers = (describe(first, len(pages)) for describe in (_imagej, _lsm, _stk, _tifffile_json))
    said = next((each for each in answers if each is not None), None) or _plain(first, len(pages))
    stored = _stored(first, pages, math.prod(said.sizes.values()), n_bytes)
    size = said.pixel_size_um or _printed_size(first)
    page = directories[pages[0]]
    _check_last_axis(page, math.prod(said.sizes.values()))
    page_names = tuple(dict.fromkeys(directories[at].name for at in pages))
    names = said.channel_names or (page_names if all(page_names) else ())
    return arrange(
        Layout(said.kind, names, {}, pixel_size_um=size, slice_names=said.slice_names),
        stored,
        said.order,
        said.sizes,
        page.number(SAMPLES, 1),
        page.number(DEPTH, 1),
    )


class Said(NamedTuple):
    """Kind of file, order of the axes (C, Z, T; the fastest first) and sizes, from the metadata."""

    kind: str
    order: str
    sizes: dict[str, int]
    channel_names: tuple[str, ...] = ()
    pixel_size_um: float | None = None
    slice_names: tuple[str, ...] = ()


def _check_equal(pages: Sequence[Directory]) -> None:
    if len({page.signature for page in pages}) > 1:
        kinds = list(dict.fromkeys(page.words for page in pages))
        raise InvalidImageError(
            f"{len(pages)} pages of unequal size or type ({'; '.join(kinds[:3])}): "
            "save each image in a file of its own"
        )


def _check_last_axis(page: Directory, n_planes: int) -> None:
    """Refuse an array [H,W,C] whose rows were written as pages of C pixels in width."""
    width, height = page.number(WIDTH, 0), page.number(HEIGHT, 0)
    if width <= MAX_LAST_AXIS < min(height, n_planes):
        raise InvalidImageError(
            f"{n_planes:,} pages of {width}×{height} pixels, as if the {width} channels were the "
            "last axis of an array: save it with the channels first, or as samples of a pixel (in "
            "tifffile: photometric='minisblack', planarconfig='contig')"
        )


def _stored(
    first: tifffile.TiffPage, pages: Sequence[int], n_planes: int, n_bytes: int
) -> list[Plane]:
    """Return the places of the planes: one page each, or all behind the first directory."""
    if n_planes > MAX_PLANES:
        raise too_many_planes(n_planes)
    if n_planes == len(pages):
        return [Plane(page) for page in pages]
    n_there = len(pages)
    if n_there == 1 and first.is_final and first.nbytes:
        n_there = (n_bytes - first.dataoffsets[0]) // first.nbytes
    if len(pages) > 1 or n_there < n_planes:
        raise contradiction(f"metadata that announce {n_planes:,} planes, but {n_there} are there")
    return [Plane(pages[0], skip=at) for at in range(n_planes)]


def _imagej(first: tifffile.TiffPage, n_pages: int) -> Said | None:
    """Read ImageJ's lines (`channels=4`); planes that it does not name are channels."""
    text = first.description
    if not text.startswith("ImageJ="):
        return None
    lines = (line.partition("=") for line in text[:100_000].splitlines())
    said = {name.strip(): value.strip() for name, _, value in lines}
    sizes = {
        axis: _count(said.get(name, "1"))
        for axis, name in (("C", "channels"), ("Z", "slices"), ("T", "frames"))
    }
    n_images = max(_count(said.get("images", "1")), n_pages)
    n_samples, n_others = first.samplesperpixel, sizes["Z"] * sizes["T"]
    if sizes["C"] == n_samples > 1 and n_others == n_images:
        sizes["C"] = 1  # samples of a pixel, declared as channels
    if math.prod(sizes.values()) == 1:
        sizes["C"] = n_images
    order = said.get("order", "czt").upper()
    order = order if sorted(order) == ["C", "T", "Z"] else "CZT"
    unit = said.get("unit", "").replace("\\u00B5", "µ")
    size = same_size(*(micrometres(each, unit) for each in _pixel_widths(first)))
    kind = "ImageJ stack" if math.prod(sizes.values()) > 1 else "ImageJ TIFF"
    names, slices = (_imagej_labels(first, sizes, order, axis) for axis in "CZ")
    return Said(kind, order, sizes, names, size, () if sizes["C"] > 1 else slices)


def _lsm(first: tifffile.TiffPage, n_pages: int) -> Said | None:
    """Read Zeiss' LSM: samples are channels, pages are slices or times."""
    tag = first.tags.get(LSM)
    if tag is None or tag.count < LSM_SCALARS.size:
        return None
    file = first.parent.filehandle
    file.seek(tag.valueoffset)
    _, _, n_slices, _, n_times, x, y = LSM_SCALARS.unpack(file.read(LSM_SCALARS.size))
    sizes = {"C": 1, "Z": max(1, n_slices), "T": max(1, n_times)}
    size = same_size(micrometres(x, "m"), micrometres(y, "m"))
    return Said("Zeiss LSM", "ZTC", sizes, (), size)


def _stk(first: tifffile.TiffPage, n_pages: int) -> Said | None:
    """Read MetaMorph's STK: planes behind one directory, of one channel, in depth or in time."""
    if STK not in first.tags:
        return None
    said = first.parent.stk_metadata or {}
    n_planes = int(said.get("NumberPlanes", 1))
    is_depth = n_planes > 1 and bool(np.all(said.get("ZDistance", 0) != 0))
    sizes = {"C": 1, "Z": n_planes if is_depth else 1, "T": 1 if is_depth else n_planes}
    unit, x, y = (
        said.get(name, "") for name in ("CalibrationUnits", "XCalibration", "YCalibration")
    )
    size = same_size(micrometres(x, str(unit)), micrometres(y, str(unit)))
    return Said("MetaMorph stack", "ZTC", sizes, (), size)


def _tifffile_json(first: tifffile.TiffPage, n_pages: int) -> Said | None:
    """Read tifffile's JSON (`{"shape": [4, 512, 512], "axes": "CYX"}`); other axes are channels."""
    if not first.description.startswith('{"shape"'):
        return None
    said = json.loads(first.description)
    shape, axes = [int(each) for each in said["shape"]], str(said.get("axes", ""))
    n_planes = max(1, math.prod(shape) // math.prod(first.shape))
    if n_planes == 1:
        return None  # each page may have been written as an image of its own
    sizes = {"C": n_planes, "Z": 1, "T": 1}
    outer = [axis for axis in axes[: -first.ndim] if axis in "CZT"]
    if len(axes) == len(shape) and len(outer) == len(shape) - first.ndim == len({*outer}):
        sizes = {"C": 1, "Z": 1, "T": 1} | dict(zip(axes, shape[: len(outer)], strict=False))
        order = "".join(reversed(outer)) + "".join(axis for axis in "CZT" if axis not in outer)
    else:
        order = "CZT"
    names = said.get("Channel", {}).get("Name", ())
    names = tuple(str(each)[:200] for each in names) if isinstance(names, list) else ()
    return Said("TIFF of several pages", order, sizes, names)


def _plain(first: tifffile.TiffPage, n_pages: int) -> Said:
    """Take pages as channels; of MetaMorph's single planes, read the channel and the pixel."""
    sizes = {"C": n_pages, "Z": 1, "T": 1}
    if n_pages > 1:
        return Said("TIFF of several pages", "CZT", sizes)
    if not first.is_metaseries:
        return Said("TIFF", "CZT", sizes)
    said = dict(
        re.findall(r'id="([^"]{1,60})"[^>]{0,60}value="([^"]{0,200})"', first.description[:100_000])
    )
    x, y = (said.get(f"spatial-calibration-{axis}", "") for axis in "xy")
    unit = said.get("spatial-calibration-units", "")
    names = (said.get("_IllumSetting_", "").strip(),)
    size = same_size(micrometres(x, unit), micrometres(y, unit))
    return Said("MetaMorph TIFF", "CZT", sizes, names, size)


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise contradiction(f"metadata that announce {text[:20]!r} planes")
    return int(text)


def _imagej_labels(
    first: tifffile.TiffPage, sizes: Mapping[str, int], order: str, axis: str
) -> tuple[str, ...]:
    """Return ImageJ's labels along an axis, without the parts that all have in common.

    A label may go on in further lines, with facts of the file that the plane is from.
    """
    tag = first.tags.get(50839)
    said = tag.value if tag is not None else None
    labels = said.get("Labels", []) if isinstance(said, dict) else []
    stride = math.prod(sizes[each] for each in order[: order.index(axis)])
    labels = [str(each).partition("\n")[0] for each in labels[: stride * sizes[axis] : stride]]
    if len(labels) != sizes[axis] or len({*labels}) < len(labels) or len(labels) == 1:
        return ()
    return tuple(distinct_parts(labels))


def distinct_parts(labels: Sequence[str]) -> list[str]:
    """Remove words that all labels begin or end with.

    >>> distinct_parts(["plate 7_red.tif", "plate 7_green.tif"])
    ['red', 'green']
    """
    words = [re.split(r"([^0-9A-Za-z]+)", label[:200]) for label in labels]
    for end in (0, -1):
        while len({each[end] for each in words}) == 1 and min(map(len, words)) > 1:
            words = [each[1:] if end == 0 else each[:-1] for each in words]
    return ["".join(each).strip(" _-.:,;") for each in words]


def _printed_size(first: tifffile.TiffPage) -> float | None:
    """Return the size of a pixel by the tags for printers, if a microscope may have it."""
    unit = {2: "in", 3: "cm", 4: "mm", 5: "µm"}.get(int(first.resolutionunit))
    if unit is None:
        return None
    size = same_size(*(micrometres(each, unit) for each in _pixel_widths(first)))
    return size if size and PLAUSIBLE_UM[0] <= size <= PLAUSIBLE_UM[1] else None


def _pixel_widths(first: tifffile.TiffPage) -> tuple[float, float]:
    """Return width and height of a pixel in the file's unit; NaN if it does not tell."""
    widths = []
    for tag in (282, 283):
        value = first.tags.valueof(tag)
        numerator, denominator = value if isinstance(value, tuple) and len(value) == 2 else (0, 0)
        widths.append(denominator / numerator if numerator else math.nan)
    return widths[0], widths[1]


def is_brightness(first: tifffile.TiffPage) -> bool:
    """Return whether a palette only colors grey levels: the larger a value, the brighter.

    Fiji stores 8 bits that it shows in a color of its look-up tables so.
    """
    colors = first.colormap
    if colors is None or np.shape(colors) != (3, 256):
        return False
    light = np.asarray(colors, np.float64).sum(axis=0)
    span = light[-1] - light[0]
    return bool(span > 0 and np.diff(light).min() > -DIP * span)
