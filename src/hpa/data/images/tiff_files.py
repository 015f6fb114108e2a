"""TIFF files of microscopes: OME-TIFF, ImageJ, several pages or samples, tiles, pyramids.

The file's own directories are checked before anything is decoded, and one plane is read at a time.
Of a pyramid, the full level is read. tifffile parses the tags and decodes strips and tiles; those
of rare compressions in a process of its own (see `tiff_pages.APART`).
"""

import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import tifffile

from hpa.data.images.headers import TIFF_SIGNATURES, DamagedFileError
from hpa.data.images.ome_layouts import beside, ome_layout
from hpa.data.images.ome_xml import Ome, parse_ome
from hpa.data.images.opened import Description, InvalidImageError, OpenedImage, refusing_damage
from hpa.data.images.tiff_directories import (
    BITS,
    MAX_TAG_BYTES,
    ORIENTATION,
    PHOTOMETRIC,
    RGB,
    SAMPLES,
    YCBCR,
    Directory,
    check_page,
    read_directories,
)
from hpa.data.images.tiff_layouts import Layout, Plane
from hpa.data.images.tiff_metadata import is_brightness, layout_of
from hpa.data.images.tiff_pages import APART, PageReader, check_compression
from hpa.data.images.vendor_files import VendorImage

TURNS = {2: "m", 3: "rr", 4: "rrm", 5: "rm", 6: "r", 7: "rrrm", 8: "rrr"}
"""Orientation: turns to the right (r) and a mirror image (m) that let the picture stand upright."""
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it only logs is refused here


class TiffFile:
    """A TIFF file and its pages; use it as a context manager, which closes the file."""

    def __init__(self, source: Path | bytes) -> None:
        self.file: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        try:
            self.n_bytes = self.file.seek(0, io.SEEK_END)
            with refusing_damage(f"{self.n_bytes} bytes"):
                self.directories = read_directories(self.file, self.n_bytes)
                self.file.seek(0)
                is_lsm = None if len(self.directories) > 1 else False  # it asks for a second page
                self.parsed = tifffile.TiffFile(
                    self.file, is_scanimage=False, is_ndpi=False, is_lsm=is_lsm
                )
                self.first = self.parsed.pages.first
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> "TiffFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def page(self, index: int) -> tifffile.TiffPage:
        """Parse the tags of a page."""
        if index == 0:
            return self.first
        if self.parsed.is_lsm:  # it corrects the tags of these
            return cast(tifffile.TiffPage, self.parsed.pages[index])
        self.file.seek(self.directories[index].offset)
        return tifffile.TiffPage(self.parsed, index)


class TiffImage(OpenedImage):
    """An image in a TIFF file, or in several files of a folder that belong together.

    Args:
        source: the file, or its bytes.
        scene: number of the image, from 1; None takes the first.
        max_size_px: larger images are refused.
        is_apart: this process does nothing else, so any compression may be decoded here.
    """

    def __init__(
        self, source: Path | bytes, *, scene: int | None, max_size_px: int, is_apart: bool = False
    ) -> None:
        self._source, self._scene, self._max_size_px = source, scene, max_size_px
        self._path = source if isinstance(source, Path) else None
        self._is_apart = is_apart
        self._worker: VendorImage | None = None
        self._opened = TiffFile(source)
        self._others: dict[str, TiffFile] = {}
        try:
            with refusing_damage(f"{self._opened.n_bytes} bytes"), np.errstate(all="ignore"):
                self._layout = self._arrange(scene)
                own = next(
                    (each for each in self._layout.planes.values() if not each.file), Plane(0)
                )
                self._sample_page = self._opened.directories[own.page]
                self._check_pages()
                self.description = self._describe(self._opened.page(own.page))
        except BaseException:
            self.close()
            raise

    def read(self, channel: int, z: int = 0) -> np.ndarray:
        """Decode a plane; see `OpenedImage.read`."""
        place = self._layout.planes[channel, z]
        opened = self._opened if not place.file else self._other(place.file)
        samples = range(3) if self.description.is_color_picture else [place.sample]
        with refusing_damage(f"{opened.n_bytes} bytes"), np.errstate(all="ignore"):
            page = opened.page(place.page)
            if page.compression in APART and not self._is_apart:
                return self._read_apart(channel, z)
            plane = PageReader(opened.file, opened.n_bytes, page).read(place, samples)
        pixels = np.moveaxis(plane, 0, -1) if len(samples) > 1 else plane[0]
        return _upright(pixels, self._sample_page.number(ORIENTATION, 1))

    def _read_apart(self, channel: int, z: int) -> np.ndarray:
        if self._worker is None:
            self._worker = VendorImage(
                self._source,
                kind="compressed TIFF",
                scene=self._scene,
                max_size_px=self._max_size_px,
                is_apart=True,
            )
        return self._worker.read(channel, z)

    def close(self) -> None:
        """Close the file and the others of its set."""
        if self._worker is not None:
            self._worker.close()
        for each in (self._opened, *self._others.values()):
            each.file.close()

    def _arrange(self, scene: int | None) -> Layout:
        opened = self._opened
        if (ome := _ome(opened.first.description, self._path)) is not None:
            return ome_layout(ome, opened.directories, self._path, scene)
        if (scene or 1) > 1:
            raise InvalidImageError(f"a file of one image: none has number {scene}")
        return layout_of(opened.first, opened.directories, opened.n_bytes)

    def _check_pages(self) -> None:
        pages = {each.page for each in self._layout.planes.values() if not each.file}
        is_shown_in_color = self._layout.kind != "TIFF" and is_brightness(self._opened.first)
        check_page(self._sample_page, self._max_size_px, is_shown_in_color)
        self._check_alike([self._opened.directories[page] for page in pages])

    def _check_alike(self, pages: list[Directory]) -> None:
        for page in pages:
            if page.signature != self._sample_page.signature:
                raise InvalidImageError(
                    f"planes of unequal size or type ({self._sample_page.words}; {page.words})"
                )

    def _describe(self, page: tifffile.TiffPage) -> Description:
        layout, tags = self._layout, self._sample_page
        n_samples, bits = tags.number(SAMPLES, 1), tags.number(BITS, 1)
        is_color = bits == 8 and n_samples == 3 and tags.number(PHOTOMETRIC, 1) in (RGB, YCBCR)
        if is_color and len(layout.planes) > n_samples:
            raise InvalidImageError("several red-green-blue pictures in one file")
        if page.dtype is None or page.shaped[2:4] == (0, 0):
            raise DamagedFileError("samples of an unknown type")
        check_compression(page)
        height, width = page.shaped[2:4]
        is_on_its_side = tags.number(ORIENTATION, 1) in (5, 6, 7, 8)
        whole = 8 * page.dtype.itemsize
        stated = layout.bits or bits
        return Description(
            kind=layout.kind,
            height_px=width if is_on_its_side else height,
            width_px=height if is_on_its_side else width,
            dtype=page.dtype.newbyteorder("="),
            channel_names=("",) if is_color else layout.channel_names,
            n_slices=layout.n_slices,
            n_times=layout.n_times,
            n_scenes=layout.n_scenes,
            bits=stated if page.dtype.kind in "ui" and 0 < stated < whole else None,
            pixel_size_um=layout.pixel_size_um,
            is_color_picture=is_color,
            slice_names=layout.slice_names,
        )

    def _other(self, name: str) -> TiffFile:
        """Open another file of the set, and check its pages."""
        if name not in self._others:
            assert self._path is not None
            try:
                opened = TiffFile(beside(self._path, name))
                self._check_other(opened, name)
            except InvalidImageError as error:
                raise InvalidImageError(f"{name}: {error}") from error
            self._others[name] = opened
        return self._others[name]

    def _check_other(self, opened: TiffFile, name: str) -> None:
        pages = {each.page for each in self._layout.planes.values() if each.file == name}
        try:
            if missing := [page for page in pages if not 0 <= page < len(opened.directories)]:
                raise InvalidImageError(f"has no page {missing[0] + 1}")
            self._check_alike([opened.directories[page] for page in pages])
        except InvalidImageError:
            opened.file.close()
            raise


def _ome(text: str, path: Path | None) -> Ome | None:
    """Parse OME-XML if the text is that; it may stand in another file, which the text names."""
    if not (text.rstrip().endswith("OME>") or "<OME" in text[:2_000]):
        return None
    ome = parse_ome(text)
    if not ome.master:
        return ome
    master = beside(path, ome.master) if path else None
    if master is None or not master.is_file():
        raise InvalidImageError(
            f"one file of an OME-TIFF whose description is missing beside it: {ome.master[:100]}"
        )
    return replace(parse_ome(_description(master)), uuid=ome.uuid)


def _description(master: Path) -> str:
    """Read OME-XML from the file that holds it for others: text, or another TIFF."""
    with master.open("rb") as file:
        content = file.read(MAX_TAG_BYTES)
    if not content.startswith(TIFF_SIGNATURES):
        return content.decode("utf-8", "replace")
    with TiffFile(master) as opened:
        return str(opened.first.description)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    turns = TURNS.get(orientation, "")
    turned = np.rot90(pixels, -turns.count("r"))
    return np.ascontiguousarray(turned[:, ::-1] if "m" in turns else turned)
